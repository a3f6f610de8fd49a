//! One message of each type with every field set, spelled out: a new field does not compile here
//! until somebody has said what its absence means.
#![expect(
    clippy::unnecessary_wraps,
    reason = "fields of messages are optional in the generated types"
)]

use std::collections::BTreeMap;

use bonesetter_proto::v1::{
    Acted, Archived, Awaited, Change, Citation, DeadLetter, Decision, Delivery, Detected,
    Diagnosed, Diagnosis, Enriched, Envelope, Evidence, EvidenceItem, FailureClass, FieldChange,
    Incident, KubernetesEvent, KubernetesObject, LogChunk, LogLine, LogSource, Mode, NodeCondition,
    NodeState, Note, NoticeKind, Notified, ObjectRef, Overdue, Phase, QueryRecord, Redacted,
    Redrive, RedriveAction, Remedy, Removal, ResolvedReason, RollBack, RolloutChange, Sealed,
    SecurityEvent, SecurityEventKind, SetMemory, SignedMessage, Step, Symptom, Target,
    Verification, Violation, evidence_item::Content, remedy::Fix,
};
use prost_types::Timestamp;

const ID: &str = "abcdefghijklmnopqrstuvwx23";

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds,
        nanos: 123_000_000,
    })
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn subject(stage: &str, step: &str) -> String {
    format!("bonesetter.v1.{stage}.demo.shop.Deployment.{ID}.{step}")
}

fn envelope(stage: &str, step: &str, caused_by: &str) -> Option<Envelope> {
    Some(Envelope {
        subject: subject(stage, step),
        message_id: format!("{stage}/{ID}/{step}"),
        caused_by: text(caused_by),
        produced_at: at(1_700_000_001),
        producer: text("svc-test"),
        producer_version: text("0.1.0+0123456789ab"),
    })
}

fn object(kind: &str, name: &str) -> Option<ObjectRef> {
    Some(ObjectRef {
        api_version: text("apps/v1"),
        kind: text(kind),
        namespace: text("shop"),
        name: text(name),
        uid: text("11111111-2222-3333-4444-555555555555"),
    })
}

fn incident() -> Option<Incident> {
    Some(Incident {
        id: text(ID),
        cluster: text("demo"),
        root_owner: object("Deployment", "checkout"),
        episode: 3,
        opened_at: at(1_700_000_000),
    })
}

fn target() -> Option<Target> {
    Some(Target {
        object: object("Deployment", "checkout"),
        template_digest: "ab".repeat(32),
        revision: 7,
    })
}

fn symptoms() -> Vec<Symptom> {
    vec![Symptom {
        object: object("Pod", "checkout-1"),
        container: text("app"),
        init_container: true,
        failure_class: FailureClass::OomKilled.into(),
        exit_code: Some(137),
        signal: Some(9),
        restart_count: 4,
        since: at(1_700_000_000),
    }]
}

fn item(id: &str, content: Content) -> EvidenceItem {
    EvidenceItem {
        id: text(id),
        content: Some(content),
    }
}

fn log() -> EvidenceItem {
    let line = LogLine {
        at: at(1_700_000_000),
        text: text("FATAL config: key \"pool_size\""),
        cut: true,
    };
    item(
        "log/checkout-1/app/previous",
        Content::Log(LogChunk {
            pod: object("Pod", "checkout-1"),
            container: text("app"),
            init_container: true,
            previous: true,
            source: LogSource::Kubernetes.into(),
            lines: vec![line],
            lines_left_out: 12,
        }),
    )
}

fn event() -> EvidenceItem {
    item(
        "event/u",
        Content::Event(KubernetesEvent {
            uid: text("u"),
            r#type: text("Warning"),
            reason: text("BackOff"),
            message: text("Back-off restarting failed container"),
            count: 5,
            first_seen: at(1_700_000_000),
            last_seen: at(1_700_000_060),
            involved: object("Pod", "checkout-1"),
            source: text("kubelet"),
            field_path: text("spec.containers{app}"),
        }),
    )
}

fn change() -> EvidenceItem {
    let change = FieldChange {
        path: text("/spec/containers/0/image"),
        before: text("\"app:1\""),
        after: text("\"app:2\""),
    };
    item(
        "change/Deployment/checkout",
        Content::Change(RolloutChange {
            workload: object("Deployment", "checkout"),
            from_revision: 6,
            to_revision: 7,
            rolled_out_at: at(1_700_000_000),
            changes: vec![change],
            from_revision_was_healthy: true,
        }),
    )
}

fn node() -> EvidenceItem {
    let condition = NodeCondition {
        r#type: text("MemoryPressure"),
        status: text("False"),
        reason: text("KubeletHasSufficientMemory"),
        message: text("kubelet has sufficient memory available"),
    };
    item(
        "node/n1",
        Content::Node(NodeState {
            r#ref: object("Node", "n1"),
            conditions: vec![condition],
            allocatable: BTreeMap::from([(text("cpu"), text("2"))]),
            unschedulable: true,
            taints: vec![text("dedicated=db:NoSchedule")],
        }),
    )
}

fn evidence() -> Evidence {
    let raw = Content::Object(KubernetesObject {
        r#ref: object("Pod", "checkout-1"),
        json: b"{\"kind\":\"Pod\"}".to_vec(),
    });
    let note = Content::Note(Note {
        source: text("loki"),
        text: text("not configured"),
    });
    Evidence {
        items: vec![
            item("object/Pod/checkout-1", raw),
            event(),
            log(),
            change(),
            node(),
            item("note/loki", note),
        ],
        queries: vec![QueryRecord {
            tool: text("kubernetes.list_events"),
            inputs_hash: "cd".repeat(32),
            result_hash: "ef".repeat(32),
        }],
        target: target(),
        collected_at: at(1_700_000_002),
    }
}

fn remedy(fix: Fix) -> Remedy {
    Remedy {
        target: target(),
        fix: Some(fix),
        rationale: text("revision 6 was healthy"),
    }
}

pub(crate) fn detected() -> Detected {
    Detected {
        envelope: envelope("detected", "open", ""),
        incident: incident(),
        phase: Phase::Resolved.into(),
        failure_class: FailureClass::ReplicaFailure.into(),
        resolved_reason: ResolvedReason::Gone.into(),
        symptoms: symptoms(),
        failing_objects: 21,
        resolved_at: at(1_700_000_090),
    }
}

pub(crate) fn enriched() -> Enriched {
    Enriched {
        envelope: envelope("enriched", "open", &subject("detected", "open")),
        incident: incident(),
        failure_class: FailureClass::Failed.into(),
        symptoms: symptoms(),
        evidence: Some(Sealed {
            key_id: text("0123456789abcdef"),
            nonce: vec![1; 12],
            ciphertext: vec![2; 40],
        }),
    }
}

pub(crate) fn redacted() -> Redacted {
    Redacted {
        envelope: envelope("redacted", "open", &subject("enriched", "open")),
        incident: incident(),
        failure_class: FailureClass::CrashLoopBackOff.into(),
        symptoms: symptoms(),
        evidence: Some(evidence()),
        removals: vec![Removal {
            kind: text("secret"),
            rule: text("secret-field"),
            place: text("object/Pod/checkout-1#/spec/containers/0/env/0/value"),
            count: 2,
        }],
    }
}

pub(crate) fn diagnosed() -> Diagnosed {
    let diagnosis = Diagnosis {
        summary: text("the new revision is not valid"),
        root_cause: text("pool_size"),
        recommendation: text("roll back"),
        confidence: 0.93,
        citations: vec![Citation {
            evidence_id: text("log/checkout-1/app/previous"),
            quote: text("FATAL config"),
        }],
        remedy: Some(remedy(Fix::RollBack(RollBack { to_revision: 6 }))),
        diagnoser: text("openai"),
        model: text("some-model"),
        cause: text("bad-config-value"),
        degraded_reason: text("the provider timed out"),
        tokens: 1234,
        latency_ms: 567,
        response_hash: "01".repeat(32),
    };
    Diagnosed {
        envelope: envelope("diagnosed", "open", &subject("redacted", "open")),
        incident: incident(),
        failure_class: FailureClass::ProgressDeadlineExceeded.into(),
        diagnosis: Some(diagnosis),
        excerpts: vec![log()],
        target: target(),
    }
}

pub(crate) fn acted() -> Acted {
    let change = Change {
        effect_key: "23".repeat(32),
        target: target(),
        remedy: Some(remedy(Fix::SetMemory(SetMemory {
            container: text("app"),
            limit: 64 << 20,
            request: 32 << 20,
        }))),
        fields: vec![text("/spec/template/spec/containers/0/resources")],
        change_digest: "45".repeat(32),
        inverse_digest: "67".repeat(32),
        suggested_command: text("kubectl set resources deployment/checkout -n shop"),
    };
    let violation = Violation {
        name: text("namespace-not-allowed"),
        detail: text("shop"),
    };
    Acted {
        envelope: envelope("acted", "rolled-back", &subject("acted", "applied")),
        incident: incident(),
        failure_class: FailureClass::OomKilled.into(),
        step: Step::RolledBack.into(),
        decision: Some(Decision {
            mode: Mode::Auto.into(),
            allowed: true,
            violations: vec![violation],
            reason: text("allowed"),
        }),
        change: Some(change),
        verification: Some(Verification {
            observed: text("2 of 2 pods are available"),
            healthy_since: at(1_700_000_070),
            deadline: at(1_700_000_080),
        }),
        diagnosis: Some(SignedMessage {
            subject: subject("diagnosed", "open"),
            payload: vec![3; 20].into(),
            key_id: text("0011223344556677"),
            signature: vec![4; 64],
        }),
    }
}

pub(crate) fn notified() -> Notified {
    Notified {
        envelope: envelope("notified", "incident-open", &subject("acted", "proposed")),
        incident: incident(),
        failure_class: FailureClass::ImagePull.into(),
        kind: NoticeKind::Attention.into(),
        deliveries: vec![Delivery {
            channel: text("ops"),
            channel_type: text("webhook"),
            delivered: true,
            failure: text("refused with status 410"),
            body_hash: "89".repeat(32),
            idempotency_key: text("key"),
        }],
    }
}

pub(crate) fn archived() -> Archived {
    Archived {
        envelope: envelope("audit", "archived-9", ""),
        incident: incident(),
        bucket: text("bonesetter"),
        key: text("events/demo/2026/11/25/1-9.jsonl"),
        sha256: "ab".repeat(32),
        version_id: text("v"),
        through_event: 9,
        events: 4,
        exported_at: at(1_700_000_100),
    }
}

pub(crate) fn dead_letter() -> DeadLetter {
    DeadLetter {
        envelope: envelope("dlq", "svc-llm", &subject("redacted", "open")),
        stream: text("BONESETTER_REDACTED"),
        sequence: 42,
        dead_subject: subject("redacted", "open"),
        consumer: text("llm"),
        stage: text("redacted"),
        reason: text("forged"),
        cause: text("the signature does not fit"),
        deliveries: 1,
        traceparent: text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        stored_at: None,
    }
}

pub(crate) fn redrive() -> Redrive {
    Redrive {
        envelope: envelope("redrive", "llm", &subject("dlq", "svc-llm")),
        stream: text("BONESETTER_REDACTED"),
        sequence: 42,
        consumer: text("llm"),
        letter: 7,
        action: RedriveAction::Handle.into(),
        note: text("the provider is back"),
        stored_at: None,
    }
}

pub(crate) fn overdue() -> Overdue {
    Overdue {
        envelope: envelope("overdue", "diagnosis-open", &subject("redacted", "open")),
        incident: incident(),
        failure_class: FailureClass::ProbeKill.into(),
        awaited: Awaited::Diagnosis.into(),
        waiting_since: at(1_700_000_003),
        limit_seconds: 600,
    }
}

pub(crate) fn security() -> SecurityEvent {
    SecurityEvent {
        envelope: envelope("security", "restored-1", ""),
        incident: incident(),
        kind: SecurityEventKind::Restored.into(),
        findings: vec![Removal {
            kind: text("email"),
            rule: text("restored"),
            place: text("text"),
            count: 2,
        }],
        reader: text("ada"),
        reason: text("who is locked out"),
    }
}
