//! What has happened in an incident: one form for what the streams hold and what the ledger knows, which
//! has no texts. The fields are described in `docs/output.md`.

use bonesetter_chassis::clock::rfc3339;
use bonesetter_proto::v1::{FailureClass, IncidentEvent};
use bonesetter_proto::{Subject, from_timestamp};
use serde_json::{Value, json};

use super::body;
use crate::render;
use crate::timeline::Step;

/// How much of a sentence is told.
const MAX_SUMMARY: usize = 600;

/// A message that a stream holds.
pub(crate) fn of_stream(step: &Step) -> Value {
    let sentence = render::statement(&step.body).1;
    json!({
        "incident": step.subject.incident.as_str(),
        "at": rfc3339(step.at),
        "stage": step.subject.stage.as_str(),
        "step": step.subject.step,
        "subject": step.subject.to_string(),
        "stream": step.stream,
        "sequence": step.sequence,
        "writer": step.body.envelope().map(|envelope| &envelope.producer),
        "class": step.body.failure_class().and_then(class),
        "summary": render::clean(&sentence, MAX_SUMMARY),
        "details": body::details(&step.body),
        "ledger_sequence": null,
        "event": null,
        "failure_reason": null,
        "conclusion": null,
        "latency_ms": null,
        "tokens": null,
        "payload_hash": null,
    })
}

/// An event of the ledger.
pub(crate) fn of_ledger(event: &IncidentEvent) -> Value {
    let subject: Option<Subject> = event.subject.parse().ok();
    json!({
        "incident": event.incident_id,
        "at": event.stored_at.as_ref().and_then(from_timestamp).map(rfc3339),
        "stage": subject.as_ref().map(|subject| subject.stage.as_str()),
        "step": subject.as_ref().map(|subject| &subject.step),
        "subject": event.subject,
        "stream": event.stream,
        "sequence": event.stream_sequence,
        "writer": event.writer,
        "class": class(event.failure_class()),
        "summary": null,
        "details": null,
        "ledger_sequence": event.sequence,
        "event": event.event_type,
        "failure_reason": said(&event.failure_reason),
        "conclusion": said(&event.conclusion),
        "latency_ms": event.latency_ms,
        "tokens": event.tokens,
        "payload_hash": event.payload_hash,
    })
}

fn class(class: FailureClass) -> Option<&'static str> {
    (class != FailureClass::Unspecified).then(|| render::class(class))
}

fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::timeline::Body;

    const SUBJECT: &str =
        "bonesetter.v1.diagnosed.c.shop.Deployment.aaaaaaaaaaaaaaaaaaaaaaaaaa.open";

    #[test]
    fn programs_read_the_same_fields_from_the_streams_and_from_the_ledger() {
        let step = Step {
            subject: SUBJECT.parse().unwrap(),
            at: UNIX_EPOCH,
            stream: "BONESETTER_DIAGNOSED",
            sequence: 7,
            body: Body::Diagnosed(Box::default()),
        };
        let event = IncidentEvent {
            sequence: 99,
            incident_id: "a".repeat(26),
            subject: SUBJECT.to_owned(),
            stream: "BONESETTER_DIAGNOSED".to_owned(),
            stream_sequence: 7,
            ..IncidentEvent::default()
        };
        let (step, event) = (of_stream(&step), of_ledger(&event));
        let names =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(names(&step), names(&event));
        for name in ["incident", "stage", "step", "subject", "stream", "sequence"] {
            assert_eq!(step[name], event[name], "{name}");
        }
        let documented = include_str!("../../../docs/output.md");
        for name in names(&step) {
            assert!(documented.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}
