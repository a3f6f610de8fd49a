//! What the messages of the stages say.

use bonesetter_proto::v1::{Acted, Detected, Notified, Redacted, Removal};
use serde_json::{Value, json};

use crate::render;
use crate::timeline::Body;

/// What a message says; `null` for one that this version cannot read.
pub(crate) fn details(body: &Body) -> Value {
    match body {
        Body::Detected(detected) => self::detected(detected),
        Body::Redacted(redacted) => self::redacted(redacted),
        Body::Diagnosed(diagnosed) => diagnosed
            .diagnosis
            .as_ref()
            .map_or(Value::Null, super::diagnosis),
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
        "evidence": super::evidence(redacted),
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
