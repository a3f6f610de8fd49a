//! How incidents look in a terminal. Everything that came from a cluster is cleaned of control
//! characters first: a log line must not be able to move the cursor.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};
use bonesetter_proto::v1::{
    Acted, Archived, Awaited, Decision, Detected, Diagnosed, FailureClass, Incident, NoticeKind,
    Notified, Overdue, Phase, Redacted, RedriveAction, Remedy, ResolvedReason, Step as ActedStep,
    remedy::Fix,
};

use bonesetter_proto::{Stage, Subject, Unseen, from_timestamp};

use crate::timeline::{Body, Step};

mod security;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default();
/// How much of a quoted line is shown.
const MAX_QUOTE: usize = 240;

/// Text without control, bidirectional and other invisible characters, cut to a length.
pub fn clean(text: &str, limit: usize) -> String {
    let shown = |c: char| match Unseen::of(c) {
        Some(Unseen::Joint | Unseen::Direction | Unseen::Tag) => None,
        Some(Unseen::Separator) => Some(' '),
        None => Some(if c.is_control() { ' ' } else { c }),
    };
    let mut cleaned: String = text.chars().filter_map(shown).take(limit + 1).collect();
    if cleaned.chars().count() > limit {
        cleaned = cleaned.chars().take(limit.saturating_sub(1)).collect();
        cleaned.push('…');
    }
    cleaned
}

/// `Deployment shop/checkout`.
pub fn workload(incident: Option<&Incident>) -> String {
    let Some(owner) = incident.and_then(|incident| incident.root_owner.as_ref()) else {
        return "unknown workload".to_owned();
    };
    if owner.namespace.is_empty() {
        format!("{} {}", clean(&owner.kind, 64), clean(&owner.name, 253))
    } else {
        format!(
            "{} {}/{}",
            clean(&owner.kind, 64),
            clean(&owner.namespace, 63),
            clean(&owner.name, 253)
        )
    }
}

/// The name that Kubernetes users know.
pub const fn class(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Unspecified => "unknown",
        FailureClass::Failed => "Failed",
        FailureClass::CrashLoopBackOff => "CrashLoopBackOff",
        FailureClass::OomKilled => "OOMKilled",
        FailureClass::ImagePull => "ImagePullBackOff",
        FailureClass::CreateContainerConfigError => "CreateContainerConfigError",
        FailureClass::CreateContainerError => "CreateContainerError",
        FailureClass::Unschedulable => "Unschedulable",
        FailureClass::ProbeKill => "ProbeKill",
        FailureClass::Evicted => "Evicted",
        FailureClass::JobFailed => "JobFailed",
        FailureClass::ProgressDeadlineExceeded => "ProgressDeadlineExceeded",
        FailureClass::ReplicaFailure => "ReplicaFailure",
    }
}

/// `roll back to revision 3`, `raise the memory limit of app to 128Mi`.
pub fn remedy(remedy: &Remedy) -> String {
    match &remedy.fix {
        Some(Fix::RollBack(fix)) => format!("roll back to revision {}", fix.to_revision),
        Some(Fix::SetMemory(fix)) => format!(
            "set the memory limit of container {} to {}",
            clean(&fix.container, 63),
            memory(fix.limit)
        ),
        None => "a remedy that this version does not know".to_owned(),
    }
}

/// Bytes as a Kubernetes quantity.
pub fn memory(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    let unit = UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(
        || bytes.to_string(),
        |(unit, name)| format!("{}{name}", bytes / unit),
    )
}

/// `12:31:07`, UTC.
pub fn time_of_day(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at)
        .map(|at| at.strftime("%H:%M:%S").to_string())
        .unwrap_or_default()
}

/// `45s`, `12m`, `3h`, `9d`.
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// One line per step, as `watch` and the demo print it.
pub fn line(step: &Step) -> String {
    let stage = match step.subject.stage {
        Stage::Audit => "archived",
        stage => stage.as_str(),
    };
    let (style, text) = statement(&step.body);
    stage_line(step.at, &step.subject, stage, style, &text)
}

/// What a message says in one sentence, and how that looks.
pub(crate) fn statement(body: &Body) -> (Style, String) {
    match body {
        Body::Detected(detected) => detected_line(detected),
        Body::Redacted(redacted) => (DIM, redacted_line(redacted)),
        Body::Diagnosed(diagnosed) => (YELLOW, diagnosed_line(diagnosed)),
        Body::Acted(acted) => acted_line(acted),
        Body::Notified(notified) => (DIM, notified_line(notified)),
        Body::Overdue(overdue) => (RED, overdue_line(overdue)),
        Body::Security(event) => (RED, security::line(event)),
        Body::Archived(archived) => (DIM, archived_line(archived)),
        Body::Unreadable => (RED, "a message that this version cannot read".to_owned()),
    }
}

/// The stage before redaction, of which nobody sees more than that it happened: its output is raw,
/// and only svc-redactor can read it.
pub fn enriched_line(step: &Step, redacted: &Redacted) -> String {
    let evidence = redacted.evidence.as_ref();
    let at = evidence.and_then(|evidence| from_timestamp(evidence.collected_at.as_ref()?));
    let items = evidence.map_or(0, |evidence| evidence.items.len());
    let text = format!(
        "{}: {items} pieces of evidence",
        workload(redacted.incident.as_ref())
    );
    stage_line(at.unwrap_or(step.at), &step.subject, "enriched", DIM, &text)
}

fn stage_line(at: SystemTime, subject: &Subject, stage: &str, style: Style, text: &str) -> String {
    let id: String = subject.incident.as_str().chars().take(8).collect();
    format!(
        "{DIM}{} {id}{DIM:#} {BOLD}{stage:<9}{BOLD:#} {style}{text}{style:#}
",
        time_of_day(at)
    )
}

fn detected_line(detected: &Detected) -> (Style, String) {
    let name = workload(detected.incident.as_ref());
    match detected.phase() {
        Phase::Resolved => (
            GREEN,
            format!("{name} {}", resolved(detected.resolved_reason())),
        ),
        Phase::Reclassified => (
            RED,
            format!("{name} is now {}", class(detected.failure_class())),
        ),
        Phase::Update => (
            DIM,
            format!("{name}: {} failing objects", detected.failing_objects),
        ),
        Phase::Open | Phase::Unspecified => {
            (RED, format!("{name} {}", class(detected.failure_class())))
        }
    }
}

/// How an incident ended.
pub const fn resolved(reason: ResolvedReason) -> &'static str {
    match reason {
        ResolvedReason::Recovered => "has recovered",
        ResolvedReason::Gone => "is gone",
        ResolvedReason::Unspecified => "is resolved",
    }
}

fn notified_line(notified: &Notified) -> String {
    let told: Vec<String> = notified
        .deliveries
        .iter()
        .map(|delivery| {
            let mark = if delivery.delivered { "✓" } else { "✗" };
            format!("{mark} {}", clean(&delivery.channel, 40))
        })
        .collect();
    format!(
        "{}: {} ({})",
        workload(notified.incident.as_ref()),
        notice(notified.kind()),
        told.join(", ")
    )
}

fn overdue_line(overdue: &Overdue) -> String {
    let limit = age(Duration::from_secs(overdue.limit_seconds));
    format!(
        "{}: {} after {limit}",
        workload(overdue.incident.as_ref()),
        awaited(overdue.awaited())
    )
}

/// What has not come in time.
pub const fn awaited(awaited: Awaited) -> &'static str {
    match awaited {
        Awaited::Unspecified => "nothing has followed",
        Awaited::Evidence => "no evidence yet",
        Awaited::Diagnosis => "not diagnosed yet",
        Awaited::Decision => "nothing decided yet",
        Awaited::Change => "the intended change is neither applied nor refused",
        Awaited::Verification => "the change is neither verified nor taken back",
        Awaited::Notice => "nobody was told",
    }
}

fn archived_line(archived: &Archived) -> String {
    let events = if archived.events == 1 {
        "event"
    } else {
        "events"
    };
    format!("{} audit {events} under lock", archived.events)
}

fn redacted_line(redacted: &Redacted) -> String {
    let removed: u32 = redacted.removals.iter().map(|removal| removal.count).sum();
    format!(
        "{}: {removed} values removed",
        workload(redacted.incident.as_ref())
    )
}

fn diagnosed_line(diagnosed: &Diagnosed) -> String {
    let Some(diagnosis) = &diagnosed.diagnosis else {
        return "no diagnosis".to_owned();
    };
    format!(
        "{}: {} ({:.0} %)",
        workload(diagnosed.incident.as_ref()),
        summary(diagnosed),
        diagnosis.confidence * 100.0
    )
}

/// What a diagnosis says in one sentence, without the workload, which rules put first.
pub fn summary(diagnosed: &Diagnosed) -> String {
    let whole = diagnosed
        .diagnosis
        .as_ref()
        .map_or("", |diagnosis| &diagnosis.summary);
    let owner = diagnosed
        .incident
        .as_ref()
        .and_then(|incident| incident.root_owner.as_ref());
    let rest = owner.and_then(|owner| {
        let subject = format!("{} {}: ", owner.kind, owner.name);
        whole.strip_prefix(&subject)
    });
    clean(rest.unwrap_or(whole), 240)
}

fn acted_line(acted: &Acted) -> (Style, String) {
    let name = workload(acted.incident.as_ref());
    let proposed = acted
        .change
        .as_ref()
        .and_then(|change| change.remedy.as_ref());
    let fix = proposed.map_or_else(|| "change it".to_owned(), remedy);
    let reason = acted.decision.as_ref().map_or_else(String::new, decision);
    let observed = acted
        .verification
        .as_ref()
        .map_or("", |verification| &verification.observed);
    match acted.step() {
        ActedStep::Proposed | ActedStep::Unspecified if proposed.is_none() => (
            YELLOW,
            format!("{name}: explained, there is nothing to apply safely"),
        ),
        ActedStep::Proposed | ActedStep::Unspecified => {
            (YELLOW, format!("{name}: suggests to {fix}; {reason}"))
        }
        ActedStep::Intended => (YELLOW, format!("{name}: is about to {fix}")),
        ActedStep::Applied => (YELLOW, format!("{name}: applied, {fix}")),
        ActedStep::Refused => (RED, format!("{name}: refused at the last moment; {reason}")),
        ActedStep::Verified => (GREEN, format!("{name}: verified, {}", clean(observed, 200))),
        ActedStep::RolledBack => (RED, format!("{name}: taken back, {}", clean(observed, 200))),
        ActedStep::Stuck => (
            RED,
            format!("{name}: needs a person, {}", clean(observed, 200)),
        ),
    }
}

/// Why something is or is not done.
pub fn decision(decision: &Decision) -> String {
    let violations: Vec<String> = decision
        .violations
        .iter()
        .map(|violation| {
            format!(
                "{} ({})",
                clean(&violation.name, 60),
                clean(&violation.detail, 160)
            )
        })
        .collect();
    if violations.is_empty() {
        clean(&decision.reason, 200)
    } else {
        format!("not applied: {}", violations.join(", "))
    }
}

/// What a person decided about a dead letter.
pub fn verdict(action: RedriveAction) -> &'static str {
    match action {
        RedriveAction::Handle => "it is to be handled again",
        RedriveAction::Drop => "it is left",
        RedriveAction::Unspecified => "nothing that this version knows was decided",
    }
}

/// What a notice is about.
pub const fn notice(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Unspecified => "notice",
        NoticeKind::Incident => "told of the incident",
        NoticeKind::Applied => "told of the change",
        NoticeKind::Verified => "told that it helped",
        NoticeKind::RolledBack => "told that it was taken back",
        NoticeKind::Resolved => "told that it is over",
        NoticeKind::Attention => "asked for attention",
        NoticeKind::Overdue => "told what is overdue",
    }
}

/// A diagnosis as a paragraph with the evidence that it rests on.
pub fn diagnosis(diagnosed: &Diagnosed) -> String {
    let Some(diagnosis) = &diagnosed.diagnosis else {
        return String::new();
    };
    let mut text = String::new();
    field(&mut text, "Root cause", &diagnosis.root_cause);
    field(&mut text, "Recommendation", &diagnosis.recommendation);
    let by = if diagnosis.model.is_empty() || diagnosis.model == diagnosis.diagnoser {
        diagnosis.diagnoser.clone()
    } else {
        format!("{} ({})", diagnosis.diagnoser, diagnosis.model)
    };
    let by = format!("{by}, confidence {:.0} %", diagnosis.confidence * 100.0);
    field(&mut text, "Diagnosed by", &by);
    field(&mut text, "Degraded", &diagnosis.degraded_reason);
    if let Some(fix) = &diagnosis.remedy {
        let remedy = format!("{}: {}", remedy(fix), fix.rationale);
        field(&mut text, "Remedy", &remedy);
    }
    for (index, line) in svc_notifier::cited_lines(diagnosed).iter().enumerate() {
        let name = if index == 0 { "Evidence" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {BOLD}{name:<15}{BOLD:#} {DIM}{}{DIM:#} {}",
            clean(&line.evidence_id, 120),
            clean(&line.text, MAX_QUOTE)
        );
    }
    text
}

/// A named value, indented, if there is one.
pub fn field(text: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {BOLD}{name:<15}{BOLD:#} {}", clean(value, 600));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_cannot_move_the_cursor_or_hide() {
        assert_eq!(clean("a\u{1b}[2Jb\r\n\u{202e}c\u{200b}", 40), "a [2Jb  c");
        assert_eq!(clean("a\u{ad}b\u{e0041}c\u{2028}d\u{2060}", 40), "abc d");
        assert_eq!(clean("\u{200b}\u{200b}\u{200b}abcd", 4), "abcd");
        assert_eq!(clean("abcdef", 4), "abc…");
        assert_eq!(clean("äöü", 3), "äöü");
    }

    #[test]
    fn memory_is_shown_as_people_write_it() {
        for (bytes, text) in [
            (64 << 20, "64Mi"),
            (3 << 29, "1536Mi"),
            (1 << 30, "1Gi"),
            (1500, "1500"),
            (2048, "2Ki"),
        ] {
            assert_eq!(memory(bytes), text);
        }
    }

    #[test]
    fn ages_are_short() {
        for (seconds, text) in [
            (5, "5s"),
            (119, "119s"),
            (600, "10m"),
            (7200, "2h"),
            (864_000, "10d"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }
}
