//! What has the shape of a placeholder before anything was redacted, and so is none of ours.

use bonesetter_proto::v1::EvidenceItem;
use bonesetter_redact::Session;

use crate::removals::Tally;
use crate::texts;

/// Replaces it in every text of an item, so that nobody who has seen a placeholder can have it taken for the
/// value that it stands for.
pub(crate) fn defuse(session: &mut Session, tally: &mut Tally, item: &mut EvidenceItem) {
    let mut found = 0;
    texts::each(item, |_, text| {
        if let Some(defused) = session.defuse(text) {
            *text = defused;
            found += 1;
        }
    });
    for _ in 0..found {
        tally.forged(&item.id);
    }
}
