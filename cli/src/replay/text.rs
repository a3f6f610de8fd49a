//! A record as people read it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bonesetter_chassis::bus::header;
use bonesetter_chassis::clock::rfc3339;
use bonesetter_proto::Stage;
use bonesetter_proto::v1::{Acted, DeadLetter, Mode, Notified, Redacted, Redrive, ResolvedReason};

use super::record::{Content, Entry, Record, SignatureState};
use super::tree::{Absence, Node, What, trees};
use super::words::{BOLD, DIM, GREEN, RED, YELLOW, bytes, duration, hang};
use crate::commands::show::removals;
use crate::render::{self, clean, field};
use crate::timeline::Body;

/// Where the text of a field begins.
const INDENT: usize = 18;

/// The whole incident: what it was, then every message under what caused it.
pub(crate) fn whole(record: &Record) -> String {
    let mut text = heading(record);
    let trees = trees(record);
    for node in &trees {
        text.push('\n');
        draw(record, node, "", "", &mut text);
    }
    text.push_str(&notes(record, &trees));
    text
}

fn heading(record: &Record) -> String {
    let mut text = format!(
        "{BOLD}Incident {}{BOLD:#}  {}\n",
        record.id,
        render::workload(record.incident())
    );
    let classes: Vec<&str> = unique(record.of(Stage::Detected).filter_map(
        |entry| match entry.body() {
            Some(Body::Detected(it)) if it.resolved_reason() == ResolvedReason::Unspecified => {
                Some(render::class(it.failure_class()))
            }
            _ => None,
        },
    ));
    field(&mut text, "Class", &classes.join(", then "));
    if let (Some(first), Some(last)) = (record.entries.first(), record.entries.last()) {
        let (from, to) = (first.stored.stored_at, last.stored.stored_at);
        let lasted = to.duration_since(from).unwrap_or_default();
        let span = format!(
            "{} to {} ({})",
            rfc3339(from),
            rfc3339(to),
            duration(lasted)
        );
        field(&mut text, "Recorded", &span);
    }
    let size: usize = record.entries.iter().map(size_of).sum();
    let messages = format!("{}, {}", record.entries.len(), bytes(size));
    field(&mut text, "Messages", &messages);
    let traces: Vec<&str> = unique(record.entries.iter().filter_map(trace_of));
    field(&mut text, "Trace", &traces.join(", "));
    field(&mut text, "Ended", ended(record));
    text
}

fn unique<'a>(items: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(*item)).collect()
}

fn ended(record: &Record) -> &'static str {
    let reasons = record.of(Stage::Detected).filter_map(|entry| {
        let Some(Body::Detected(detected)) = entry.body() else {
            return None;
        };
        match detected.resolved_reason() {
            ResolvedReason::Unspecified => None,
            ResolvedReason::Recovered => Some("the workload has recovered"),
            ResolvedReason::Gone => Some("the workload is gone"),
        }
    });
    reasons
        .last()
        .unwrap_or("not that the streams know; it is open, or what ended it has aged out")
}

/// The trace id of a W3C `traceparent`.
pub(crate) fn trace_of(entry: &Entry) -> Option<&str> {
    entry.stored.header(header::TRACEPARENT)?.split('-').nth(1)
}

pub(crate) fn size_of(entry: &Entry) -> usize {
    entry.stored.payload.len()
}

fn draw(record: &Record, node: &Node<'_>, first: &str, rest: &str, text: &mut String) {
    let mut block = head(node);
    match &node.what {
        What::Stored(entry) => block.push_str(&details(record, entry)),
        What::Absent { why, .. } => {
            let _ = writeln!(block, "  {DIM}{}{DIM:#}", absent(*why));
        }
    }
    let below = if node.children.is_empty() {
        format!("{rest}  ")
    } else {
        format!("{rest}│ ")
    };
    text.push_str(&hang(&block, first, &below, INDENT));
    for (index, child) in node.children.iter().enumerate() {
        let is_last = index + 1 == node.children.len();
        let (branch, trunk) = if is_last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        draw(
            record,
            child,
            &format!("{rest}{branch}"),
            &format!("{rest}{trunk}"),
            text,
        );
    }
}

fn head(node: &Node<'_>) -> String {
    let mut text = String::new();
    match &node.what {
        What::Stored(entry) => {
            let stage = name_of(entry.subject.stage);
            let at = render::time_of_day(entry.stored.stored_at);
            let _ = write!(
                text,
                "{DIM}{at}{DIM:#} {BOLD}{stage}{BOLD:#} {}",
                clean(&entry.subject.step, 60)
            );
            if let Some(after) = node.after {
                let _ = write!(text, "  {DIM}after {}{DIM:#}", duration(after));
            }
            if let Some(envelope) = entry.envelope() {
                let by = format!("{} {}", envelope.producer, envelope.producer_version);
                let _ = write!(text, "  {DIM}by {}{DIM:#}", clean(&by, 80));
            }
        }
        What::Absent { subject, .. } => {
            let (stage, step) = subject
                .parse::<bonesetter_proto::Subject>()
                .map_or(("message", clean(subject, 80)), |subject| {
                    (name_of(subject.stage), clean(&subject.step, 60))
                });
            let _ = write!(text, "{BOLD}{stage}{BOLD:#} {step}");
        }
    }
    text.push('\n');
    text
}

/// A stage as people know it.
pub(crate) const fn name_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Dlq => "dead letter",
        Stage::Redrive => "decision",
        stage => stage.as_str(),
    }
}

/// Why a message is not there.
pub(crate) fn absent(why: Absence) -> String {
    match why {
        Absence::Sealed => {
            "raw evidence, sealed: only svc-redactor can open it, and it is kept for two days"
                .to_owned()
        }
        Absence::AgedOut(kept) => format!(
            "not stored any more: its stream keeps messages for {} days",
            kept.as_secs() / 86_400
        ),
        Absence::Unknown => "not a message of this version".to_owned(),
    }
}

fn details(record: &Record, entry: &Entry) -> String {
    let mut text = String::new();
    match &entry.content {
        Content::Step(step) => {
            let (style, statement) = render::statement(&step.body);
            let _ = writeln!(text, "  {style}{statement}{style:#}");
            transport(record, entry, &mut text);
            text.push_str(&of_body(&step.body));
        }
        Content::Dead(letter) => {
            transport(record, entry, &mut text);
            dead(letter, &mut text);
        }
        Content::Decided(decision) => {
            let _ = writeln!(text, "  {}", render::verdict(decision.action()));
            transport(record, entry, &mut text);
            decided(decision, &mut text);
        }
    }
    text
}

/// What went in, what came out, and who vouches for it.
fn transport(record: &Record, entry: &Entry, text: &mut String) {
    if let Some(cause) = record.cause_of(entry) {
        let input = format!("{} ({})", place(cause), bytes(size_of(cause)));
        field(text, "In", &input);
    }
    let id = entry
        .envelope()
        .map_or("", |envelope| envelope.message_id.as_str());
    let output = format!("{} ({}), id {id}", place(entry), bytes(size_of(entry)));
    field(text, "Out", &output);
    let (style, said) = signature(&entry.signature);
    if let Some(said) = said {
        let _ = writeln!(
            text,
            "  {BOLD}{:<15}{BOLD:#} {style}{}{style:#}",
            "Signature",
            clean(&said, 200)
        );
    }
}

fn place(entry: &Entry) -> String {
    format!("{}/{}", entry.stream.name, entry.stored.sequence)
}

fn signature(state: &SignatureState) -> (anstyle::Style, Option<String>) {
    match state {
        SignatureState::NotSigned => (DIM, None),
        SignatureState::Unchecked { key_id } => (
            YELLOW,
            Some(format!("by key {key_id}, not checked: give --trusted-dir")),
        ),
        SignatureState::Valid { key_id } => (GREEN, Some(format!("✓ holds, key {key_id}"))),
        SignatureState::Missing => (RED, Some("✗ there is none, and there should be".to_owned())),
        SignatureState::Invalid(error) => (RED, Some(format!("✗ {error}"))),
    }
}

fn of_body(body: &Body) -> String {
    let mut text = String::new();
    match body {
        Body::Redacted(redacted) => {
            evidence(redacted, &mut text);
            text.push_str(&removals(redacted, true));
        }
        Body::Diagnosed(diagnosed) => text.push_str(&render::diagnosis(diagnosed)),
        Body::Acted(acted) => decision(acted, &mut text),
        Body::Notified(notified) => told(notified, &mut text),
        Body::Archived(archived) => {
            let place = format!("{}/{}", archived.bucket, archived.key);
            field(&mut text, "Object", &place);
        }
        Body::Detected(_) | Body::Overdue(_) | Body::Security(_) | Body::Unreadable => {}
    }
    text
}

fn evidence(redacted: &Redacted, text: &mut String) {
    if let Some(evidence) = &redacted.evidence {
        let collected = format!(
            "{} items, {} queries on record",
            evidence.items.len(),
            evidence.queries.len()
        );
        field(text, "Evidence", &collected);
    }
}

/// Who decided what, and why.
fn decision(acted: &Acted, text: &mut String) {
    if let Some(decision) = &acted.decision {
        let verdict = if decision.allowed {
            "allowed"
        } else {
            "not allowed"
        };
        let mode = match decision.mode() {
            Mode::Auto => "auto",
            Mode::Suggest => "suggest",
            Mode::Unspecified => "unknown",
        };
        field(text, "Decision", &format!("{verdict}, mode {mode}"));
        for (index, violation) in decision.violations.iter().enumerate() {
            let name = if index == 0 { "Because" } else { " " };
            field(
                text,
                name,
                &format!("{}: {}", violation.name, violation.detail),
            );
        }
        if decision.violations.is_empty() {
            field(text, "Because", &decision.reason);
        }
    }
    if let Some(change) = &acted.change {
        field(text, "Fields", &change.fields.join(", "));
        field(text, "Effect", &change.effect_key);
        field(text, "Command", &change.suggested_command);
    }
    if let Some(verification) = &acted.verification {
        field(text, "Observed", &verification.observed);
    }
}

fn told(notified: &Notified, text: &mut String) {
    for delivery in &notified.deliveries {
        let outcome = if delivery.delivered {
            "delivered"
        } else {
            delivery.failure.as_str()
        };
        let line = format!(
            "{} ({}): {outcome}",
            delivery.channel, delivery.channel_type
        );
        field(text, "Told", &line);
    }
}

fn dead(letter: &DeadLetter, text: &mut String) {
    let what = format!("{} by {}", letter.reason, letter.consumer);
    field(text, "Reason", &what);
    field(text, "Cause", &letter.cause);
    let reference = format!(
        "{}/{}, {} deliveries",
        letter.stream, letter.sequence, letter.deliveries
    );
    field(text, "Message", &reference);
}

fn decided(decision: &Redrive, text: &mut String) {
    let reference = format!(
        "{}/{} for {}, dead letter {}",
        decision.stream, decision.sequence, decision.consumer, decision.letter
    );
    field(text, "Message", &reference);
    field(text, "Note", &decision.note);
}

/// What a reader should know about the record as a whole.
fn notes(record: &Record, trees: &[Node<'_>]) -> String {
    let mut text = String::new();
    let mut note = |style: anstyle::Style, line: &str| {
        let _ = writeln!(text, "\n{style}{line}{style:#}");
    };
    if trees.iter().any(is_incomplete) {
        note(
            YELLOW,
            "Parts of this incident are not in the streams any more; what is shown is what is left.",
        );
    }
    let is_bad = |entry: &&Entry| {
        matches!(
            entry.signature,
            SignatureState::Missing | SignatureState::Invalid(_)
        )
    };
    let bad = record.entries.iter().filter(is_bad).count();
    if bad > 0 {
        note(
            RED,
            &format!("{bad} message(s) are not signed by who should have: do not rely on them."),
        );
    }
    text
}

/// Whether something that was stored once cannot be read any more.
pub(crate) fn is_incomplete(node: &Node<'_>) -> bool {
    matches!(
        node.what,
        What::Absent {
            why: Absence::AgedOut(_),
            ..
        }
    ) || node.children.iter().any(is_incomplete)
}
