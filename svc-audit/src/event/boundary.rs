//! What happened at the trust boundary.

use bonesetter_proto::v1::{SecurityEvent, SecurityEventKind};

use super::clean::stable;
use super::{Content, joined};

/// What of it gets into a row: the rules that found something; of what was restored, which kinds, and
/// who read them.
pub(super) fn event(message: &SecurityEvent) -> Content {
    let event_type = match message.kind() {
        SecurityEventKind::Unspecified => "security_unspecified",
        SecurityEventKind::Injection => "security_injection",
        SecurityEventKind::EgressBlocked => "security_egress_blocked",
        SecurityEventKind::Restored => "security_restored",
    };
    let findings = message.findings.iter();
    let mut names: Vec<String> = match message.kind() {
        SecurityEventKind::Restored => findings.map(|it| stable(&it.kind)).collect(),
        _ => findings.map(|it| stable(&it.rule)).collect(),
    };
    names.sort();
    names.dedup();
    if !message.reader.is_empty() {
        names.insert(0, format!("by:{}", stable(&message.reader)));
    }
    Content {
        event_type,
        failure_reason: joined(&names),
        ..Content::default()
    }
}
