//! A record for programs.

use bonesetter_chassis::clock::rfc3339;
use bonesetter_proto::v1::{
    Acted, DeadLetter, Detected, Notified, Redacted, Redrive, RedriveAction, Removal,
};
use serde_json::{Map, Value, json};

use super::record::{Content, Entry, Record, SignatureState};
use super::text::{absent, is_incomplete, size_of, trace_of};
use super::tree::{Node, What, trees};
use crate::render;
use crate::timeline::Body;

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
            of_body(&step.body),
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

fn of_body(body: &Body) -> Value {
    match body {
        Body::Detected(detected) => self::detected(detected),
        Body::Redacted(redacted) => self::redacted(redacted),
        Body::Diagnosed(diagnosed) => diagnosed
            .diagnosis
            .as_ref()
            .map_or(Value::Null, crate::json::diagnosis),
        Body::Acted(acted) => self::acted(acted),
        Body::Notified(notified) => self::notified(notified),
        Body::Archived(archived) => json!({
            "bucket": archived.bucket,
            "key": archived.key,
            "sha256": archived.sha256,
            "events": archived.events,
        }),
        Body::Overdue(overdue) => json!({
            "awaited": render::awaited(overdue.awaited()),
            "limit_seconds": overdue.limit_seconds,
        }),
        Body::Security(event) => json!({
            "kind": event.kind().as_str_name(),
            "findings": event.findings.iter().map(removal).collect::<Vec<_>>(),
            "reader": event.reader,
            "reason": event.reason,
        }),
        Body::Unreadable => Value::Null,
    }
}

fn detected(detected: &Detected) -> Value {
    json!({
        "class": render::class(detected.failure_class()),
        "failing_objects": detected.failing_objects,
    })
}

fn redacted(redacted: &Redacted) -> Value {
    json!({
        "removals": removals(redacted),
        "evidence": crate::json::evidence(redacted),
    })
}

/// What was taken out of which place by which rule; never what it was.
pub(crate) fn removals(redacted: &Redacted) -> Vec<Value> {
    redacted.removals.iter().map(removal).collect()
}

fn removal(removal: &Removal) -> Value {
    json!({
        "kind": removal.kind, "rule": removal.rule,
        "place": removal.place, "count": removal.count,
    })
}

fn acted(acted: &Acted) -> Value {
    let change = acted.change.as_ref().map(|change| {
        json!({
            "effect_key": change.effect_key,
            "fields": change.fields,
            "change_digest": change.change_digest,
            "inverse_digest": change.inverse_digest,
            "command": change.suggested_command,
        })
    });
    json!({
        "decision": acted.decision.as_ref().map(decision),
        "change": change,
        "observed": acted.verification.as_ref().map(|it| &it.observed),
    })
}

/// A decision with its reasons.
pub(crate) fn decision(decision: &bonesetter_proto::v1::Decision) -> Value {
    let violations: Vec<Value> = decision
        .violations
        .iter()
        .map(|violation| json!({"name": violation.name, "detail": violation.detail}))
        .collect();
    let mode = decision
        .mode()
        .as_str_name()
        .trim_start_matches("MODE_")
        .to_lowercase();
    json!({
        "mode": mode,
        "allowed": decision.allowed,
        "violations": violations,
        "reason": decision.reason,
    })
}

fn notified(notified: &Notified) -> Value {
    let deliveries: Vec<Value> = notified
        .deliveries
        .iter()
        .map(|delivery| {
            json!({
                "channel": delivery.channel, "type": delivery.channel_type,
                "delivered": delivery.delivered, "failure": delivery.failure,
                "body_hash": delivery.body_hash,
            })
        })
        .collect();
    json!({"kind": render::notice(notified.kind()), "deliveries": deliveries})
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
