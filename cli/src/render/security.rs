//! What happened at the trust boundary, in one sentence.

use bonesetter_proto::v1::{SecurityEvent, SecurityEventKind};

use super::{clean, workload};

pub(super) fn line(event: &SecurityEvent) -> String {
    let count: u32 = event.findings.iter().map(|finding| finding.count).sum();
    let what = match event.kind() {
        SecurityEventKind::Unspecified => "something happened at the trust boundary".to_owned(),
        SecurityEventKind::Injection => format!("{count} attempts to instruct the reader"),
        SecurityEventKind::EgressBlocked => {
            "held back what a redacted value was still in".to_owned()
        }
        SecurityEventKind::Restored => format!(
            "{} has read {count} redacted values: {}",
            clean(&event.reader, 64),
            clean(&event.reason, 120)
        ),
    };
    format!("{}: {what}", workload(event.incident.as_ref()))
}
