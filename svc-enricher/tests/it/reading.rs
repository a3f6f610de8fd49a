//! Reading evidence in tests.

use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{Evidence, LogChunk};

pub(crate) fn ids(evidence: &Evidence) -> Vec<&str> {
    evidence.items.iter().map(|item| item.id.as_str()).collect()
}

pub(crate) fn content<'a>(evidence: &'a Evidence, id: &str) -> &'a Content {
    let item = evidence.items.iter().find(|item| item.id == id);
    let item = item.unwrap_or_else(|| panic!("{id} is not among {:?}", ids(evidence)));
    item.content.as_ref().unwrap()
}

pub(crate) fn log<'a>(evidence: &'a Evidence, id: &str) -> &'a LogChunk {
    match content(evidence, id) {
        Content::Log(chunk) => chunk,
        other => panic!("{id} is not a log: {other:?}"),
    }
}

pub(crate) fn note<'a>(evidence: &'a Evidence, id: &str) -> &'a str {
    match content(evidence, id) {
        Content::Note(note) => &note.text,
        other => panic!("{id} is not a note: {other:?}"),
    }
}

/// Whether an event of this reason is there.
pub(crate) fn has_event(evidence: &Evidence, reason: &str) -> bool {
    evidence
        .items
        .iter()
        .any(|item| matches!(&item.content, Some(Content::Event(event)) if event.reason == reason))
}
