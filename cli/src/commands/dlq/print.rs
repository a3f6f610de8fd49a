//! How dead letters are printed.

use std::fmt::Write as _;
use std::time::SystemTime;

use bonesetter_chassis::clock::rfc3339;
use bonesetter_chassis::errors::chain;
use bonesetter_proto::Namespace;
use bonesetter_proto::v1::{DeadLetter, Redrive, RedriveAction};
use serde_json::{Value, json};

use super::{MAX_CAUSE, MAX_NAME};
use crate::layout;
use crate::letters::{At, Entry, State};
use crate::render::{self, clean, field};

pub(super) fn table(entries: &[Entry], now: SystemTime) -> String {
    let mut table = layout::table(
        [
            "LETTER", "STATE", "CONSUMER", "REASON", "INCIDENT", "AGE", "CAUSE",
        ],
        &[0, 1, 2, 3, 4, 5],
    );
    for entry in entries {
        let Some(newest) = entry.newest() else {
            continue;
        };
        let age = now.duration_since(newest.at).unwrap_or_default();
        let incident = entry.incident().map_or_else(
            || "-".to_owned(),
            |subject| subject.incident.as_str().chars().take(8).collect(),
        );
        table.add_row([
            newest.sequence.to_string(),
            entry.state().as_str().to_owned(),
            clean(&newest.message.consumer, MAX_NAME),
            clean(&newest.message.reason, MAX_NAME),
            incident,
            render::age(age),
            clean(&newest.message.cause, MAX_CAUSE),
        ]);
    }
    format!("{table}\n")
}

pub(super) fn text(entry: &Entry, is_there: Option<bool>) -> String {
    let Some(newest) = entry.newest() else {
        return String::new();
    };
    let letter = &newest.message;
    let mut text = format!(
        "Dead letter {}, {}\n\n",
        newest.sequence,
        entry.state().as_str()
    );
    let there = match is_there {
        Some(true) => "",
        Some(false) => ", which is no longer there",
        None => ", which only svc-redactor may read",
    };
    field(
        &mut text,
        "message",
        &format!("{} of {}{there}", letter.sequence, letter.stream),
    );
    field(
        &mut text,
        "subject",
        entry.dead_subject().unwrap_or_default(),
    );
    if let Some(subject) = entry.incident() {
        let namespace = subject.namespace.as_ref().map_or("-", Namespace::as_str);
        let incident = format!("{}, namespace {namespace}", subject.incident);
        field(&mut text, "incident", &incident);
    }
    field(&mut text, "consumer", &letter.consumer);
    field(&mut text, "reason", &letter.reason);
    field(&mut text, "cause", &letter.cause);
    field(&mut text, "deliveries", &letter.deliveries.to_string());
    field(&mut text, "trace", trace(&letter.traceparent));
    text.push('\n');
    for line in history(entry) {
        let _ = writeln!(text, "  {line}");
    }
    if entry.state() == State::Open {
        let number = newest.sequence;
        let _ = match (entry.consumer(), is_there) {
            (Some(_), Some(true) | None) => writeln!(
                text,
                "\n  bonesetter dlq redrive {number}   has {} handle it again",
                clean(&letter.consumer, MAX_NAME)
            ),
            _ => writeln!(text, "\n  bonesetter dlq drop {number}   leaves it"),
        };
    }
    text
}

/// The 32 digits of a W3C trace context.
fn trace(traceparent: &str) -> &str {
    traceparent.split('-').nth(1).unwrap_or_default()
}

/// What happened, in the order in which letters and their answers follow each other.
fn history(entry: &Entry) -> Vec<String> {
    let mut lines = Vec::new();
    let answers = |letter: u64| {
        let is_answer = move |decision: &&At<Redrive>| decision.message.letter == letter;
        entry.decisions.iter().filter(is_answer)
    };
    for letter in &entry.letters {
        let writer = letter.message.envelope.as_ref();
        let writer = writer.map_or("", |envelope| envelope.producer.as_str());
        lines.push(format!(
            "{}  died: {} (letter {}, by {})",
            rfc3339(letter.at),
            clean(&letter.message.reason, MAX_NAME),
            letter.sequence,
            clean(writer, MAX_NAME)
        ));
        for decision in answers(letter.sequence) {
            let done = match decision.message.action() {
                RedriveAction::Handle => "redriven",
                RedriveAction::Drop => "dropped",
                RedriveAction::Unspecified => "undecided",
            };
            let note = clean(&decision.message.note, MAX_CAUSE);
            let note = if note.is_empty() {
                note
            } else {
                format!(": {note}")
            };
            lines.push(format!("{}  {done}{note}", rfc3339(decision.at)));
        }
    }
    lines
}

pub(super) fn as_json(entry: &Entry) -> Value {
    let incident = entry.incident();
    let letters: Vec<Value> = entry.letters.iter().map(letter_json).collect();
    let decisions: Vec<Value> = entry.decisions.iter().map(decision_json).collect();
    let newest = entry.newest().map(|letter| &letter.message);
    json!({
        "letter": entry.number(),
        "state": entry.state().as_str(),
        "consumer": newest.map(|letter| &letter.consumer),
        "stream": newest.map(|letter| &letter.stream),
        "sequence": newest.map(|letter| letter.sequence),
        "subject": entry.dead_subject(),
        "incident": incident.as_ref().map(|subject| subject.incident.as_str()),
        "namespace": incident.as_ref().and_then(|it| it.namespace.as_ref()).map(Namespace::as_str),
        "reason": newest.map(|letter| &letter.reason),
        "cause": newest.map(|letter| &letter.cause),
        "letters": letters,
        "decisions": decisions,
    })
}

fn letter_json(letter: &At<DeadLetter>) -> Value {
    let message = &letter.message;
    json!({
        "letter": letter.sequence,
        "at": rfc3339(letter.at),
        "writer": message.envelope.as_ref().map(|envelope| &envelope.producer),
        "reason": message.reason,
        "cause": message.cause,
        "deliveries": message.deliveries,
        "traceparent": message.traceparent,
    })
}

fn decision_json(decision: &At<Redrive>) -> Value {
    let message = &decision.message;
    json!({
        "decision": decision.sequence,
        "at": rfc3339(decision.at),
        "action": name(message.action()),
        "letter": message.letter,
        "note": message.note,
    })
}

/// What was decided, as the command that decides it is called.
const fn name(action: RedriveAction) -> &'static str {
    match action {
        RedriveAction::Handle => "redrive",
        RedriveAction::Drop => "drop",
        RedriveAction::Unspecified => "unspecified",
    }
}

/// A line about what was decided just now.
pub(super) fn outcome(entry: &Entry, action: RedriveAction) -> String {
    let number = entry.number();
    match (action, entry.newest()) {
        (RedriveAction::Handle, Some(newest)) => {
            let letter = &newest.message;
            format!(
                "{number}: {} is to handle message {} of {} again\n",
                clean(&letter.consumer, MAX_NAME),
                letter.sequence,
                letter.stream
            )
        }
        _ => format!("{number}: dropped\n"),
    }
}

/// The same for programs, and why it was not decided.
pub(super) fn outcome_json(
    entry: &Entry,
    action: RedriveAction,
    decided: &anyhow::Result<u64>,
) -> Value {
    let letter = entry.newest().map(|newest| &newest.message);
    json!({
        "letter": entry.number(),
        "action": name(action),
        "consumer": letter.map(|letter| &letter.consumer),
        "stream": letter.map(|letter| &letter.stream),
        "sequence": letter.map(|letter| letter.sequence),
        "decision": decided.as_ref().ok(),
        "error": decided.as_ref().err().map(chain),
    })
}
