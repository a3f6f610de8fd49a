//! A record for programs.

use bonesetter_chassis::clock::rfc3339;
use bonesetter_proto::v1::{DeadLetter, Redrive, RedriveAction};
use serde_json::{Map, Value, json};

use super::record::{Content, Entry, Record, SignatureState};
use super::text::{absent, is_incomplete, size_of, trace_of};
use super::tree::{Node, What, trees};
use crate::render;

/// The incident with the trees of its messages: each holds what it caused under `caused`.
pub(crate) fn whole(record: &Record) -> Value {
    let incident = record.incident();
    let owner = incident.and_then(|incident| incident.root_owner.as_ref());
    let trees = trees(record);
    json!({
        "id": record.id.as_str(),
        "cluster": incident.map(|incident| &incident.cluster),
        "namespace": owner.map(|owner| &owner.namespace),
        "kind": owner.map(|owner| &owner.kind),
        "name": owner.map(|owner| &owner.name),
        "complete": !trees.iter().any(is_incomplete),
        "messages": trees.iter().map(|tree| node(record, tree)).collect::<Vec<_>>(),
    })
}

fn node(record: &Record, node: &Node<'_>) -> Value {
    let mut map = match &node.what {
        What::Stored(entry) => stored(record, entry),
        What::Absent { subject, why } => {
            let mut map = Map::new();
            map.insert("subject".to_owned(), json!(subject));
            map.insert("absent".to_owned(), json!(absent(*why)));
            map
        }
    };
    if let Some(after) = node.after {
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        map.insert("after_ms".to_owned(), json!(millis));
    }
    let caused: Vec<Value> = node
        .children
        .iter()
        .map(|child| self::node(record, child))
        .collect();
    map.insert("caused".to_owned(), json!(caused));
    Value::Object(map)
}

fn stored(record: &Record, entry: &Entry) -> Map<String, Value> {
    let envelope = entry.envelope();
    let input = record.cause_of(entry).map(|cause| {
        json!({
            "stream": cause.stream.name,
            "sequence": cause.stored.sequence,
            "bytes": size_of(cause),
        })
    });
    let (what, details) = match &entry.content {
        Content::Step(step) => (
            render::clean(
                &anstream::adapter::strip_str(&render::statement(&step.body).1).to_string(),
                600,
            ),
            crate::json::body::details(&step.body),
        ),
        Content::Dead(letter) => (format!("dead letter: {}", letter.reason), dead(letter)),
        Content::Decided(it) => (render::verdict(it.action()).to_owned(), decided(it)),
    };
    let value = json!({
        "at": rfc3339(entry.stored.stored_at),
        "produced_at": rfc3339(entry.produced_at()),
        "stage": entry.subject.stage.as_str(),
        "step": entry.subject.step,
        "subject": entry.stored.subject,
        "caused_by": entry.caused_by(),
        "message_id": envelope.map(|envelope| &envelope.message_id),
        "producer": envelope.map(|envelope| &envelope.producer),
        "producer_version": envelope.map(|envelope| &envelope.producer_version),
        "trace_id": trace_of(entry),
        "input": input,
        "output": {
            "stream": entry.stream.name,
            "sequence": entry.stored.sequence,
            "bytes": size_of(entry),
        },
        "signature": signature(&entry.signature),
        "summary": what,
        "details": details,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn signature(state: &SignatureState) -> Value {
    match state {
        SignatureState::NotSigned => json!({"state": "not-signed"}),
        SignatureState::Unchecked { key_id } => json!({"state": "unchecked", "key_id": key_id}),
        SignatureState::Valid { key_id } => json!({"state": "valid", "key_id": key_id}),
        SignatureState::Missing => json!({"state": "missing"}),
        SignatureState::Invalid(error) => json!({"state": "invalid", "error": error.to_string()}),
    }
}

fn decided(decision: &Redrive) -> Value {
    json!({
        "handle_again": decision.action() == RedriveAction::Handle, "consumer": decision.consumer,
        "stream": decision.stream, "sequence": decision.sequence, "letter": decision.letter,
        "note": decision.note,
    })
}

fn dead(letter: &DeadLetter) -> Value {
    json!({
        "reason": letter.reason, "cause": letter.cause, "consumer": letter.consumer,
        "stream": letter.stream, "sequence": letter.sequence, "deliveries": letter.deliveries,
    })
}
