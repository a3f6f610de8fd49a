//! Messages that the tests of this crate render and tell.

use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{
    Acted, Awaited, Change, Citation, Decision, Detected, Diagnosed, Diagnosis, EvidenceItem,
    FailureClass, Incident, LogChunk, LogLine, Mode, ObjectRef, Overdue, Phase, Remedy,
    ResolvedReason, SetMemory, Step, Target, Verification, Violation,
};
use bonesetter_proto::{IncidentId, Namespace, Stage, Subject};
use prost_types::Timestamp;

use crate::notice::Notice;

const INCIDENT: &str = "abcdefghijklmnopqrstuvwx23";

pub(crate) fn subject(stage: Stage, step: &str) -> Subject {
    Subject {
        stage,
        cluster: "demo".to_owned(),
        namespace: Some(Namespace::new("shop").unwrap()),
        kind: "Deployment".to_owned(),
        incident: IncidentId::new(INCIDENT).unwrap(),
        step: step.to_owned(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

fn cart() -> ObjectRef {
    ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
        uid: "6f1c9d3e-0000-4000-8000-000000000001".to_owned(),
    }
}

fn incident() -> Incident {
    Incident {
        id: INCIDENT.to_owned(),
        cluster: "demo".to_owned(),
        root_owner: Some(cart()),
        episode: 1,
        opened_at: Some(at(1_795_600_000)),
    }
}

fn remedy() -> Remedy {
    Remedy {
        target: Some(target()),
        fix: Some(Fix::SetMemory(SetMemory {
            container: "app".to_owned(),
            limit: 128 << 20,
            request: 0,
        })),
        rationale: "the process needs more than 64Mi to start".to_owned(),
    }
}

fn target() -> Target {
    Target {
        object: Some(cart()),
        template_digest: "ab".repeat(32),
        revision: 2,
    }
}

pub(crate) fn diagnosed() -> Diagnosed {
    let line = |text: &str| LogLine {
        at: Some(at(1_795_600_001)),
        text: text.to_owned(),
        cut: false,
    };
    let log = LogChunk {
        container: "app".to_owned(),
        previous: true,
        lines: vec![
            line("loading catalogue"),
            line("allocating 96 MiB <of> cache & index"),
        ],
        ..LogChunk::default()
    };
    let id = "log/cart-5d9/app/previous";
    Diagnosed {
        incident: Some(incident()),
        failure_class: FailureClass::OomKilled.into(),
        diagnosis: Some(Diagnosis {
            summary: "Container app of cart is killed at its memory limit.".to_owned(),
            root_cause: "The limit of 64Mi is below what the process needs to start.".to_owned(),
            recommendation: "Raise the memory limit to 128Mi.".to_owned(),
            confidence: 0.9,
            citations: vec![Citation {
                evidence_id: id.to_owned(),
                quote: "allocating 96 MiB".to_owned(),
            }],
            remedy: Some(remedy()),
            diagnoser: "rules".to_owned(),
            model: "oom-killed".to_owned(),
            cause: "memory-limit-too-low".to_owned(),
            ..Diagnosis::default()
        }),
        excerpts: vec![EvidenceItem {
            id: id.to_owned(),
            content: Some(Content::Log(log)),
        }],
        target: Some(target()),
        ..Diagnosed::default()
    }
}

/// A step of svc-actuator, without the embedded diagnosis.
pub(crate) fn acted(step: Step, name: &str) -> (Subject, Acted) {
    let is_proposal = step == Step::Proposed;
    let decision = Decision {
        mode: if is_proposal {
            Mode::Suggest
        } else {
            Mode::Auto
        }
        .into(),
        allowed: !is_proposal,
        violations: if is_proposal {
            vec![Violation {
                name: "mode-suggest".to_owned(),
                detail: "changes are only suggested".to_owned(),
            }]
        } else {
            Vec::new()
        },
        reason: if is_proposal {
            "changes are only suggested".to_owned()
        } else {
            "every gate allows it".to_owned()
        },
    };
    let change = Change {
        effect_key: "e".repeat(64),
        target: Some(target()),
        remedy: Some(remedy()),
        fields: vec!["/spec/template/spec/containers/0/resources/limits/memory".to_owned()],
        change_digest: "c".repeat(64),
        inverse_digest: "d".repeat(64),
        suggested_command:
            "kubectl set resources deployment/cart -n shop -c app --limits=memory=128Mi".to_owned(),
    };
    let observed = match step {
        Step::Verified => {
            Some("2 of 2 pods are updated and available, without a restart meanwhile")
        }
        Step::RolledBack => {
            Some("0 of 2 pods are available; container app of cart-7c is in state CrashLoopBackOff")
        }
        Step::Stuck => Some("somebody else has changed the memory limit since"),
        _ => None,
    };
    let verification = observed.map(|observed| Verification {
        observed: observed.to_owned(),
        healthy_since: if step == Step::Verified {
            Some(at(1_795_600_060))
        } else {
            None
        },
        deadline: Some(at(1_795_600_180)),
    });
    let acted = Acted {
        incident: Some(incident()),
        failure_class: FailureClass::OomKilled.into(),
        step: step.into(),
        decision: Some(decision),
        change: Some(change),
        verification,
        ..Acted::default()
    };
    (subject(Stage::Acted, name), acted)
}

pub(crate) fn resolved(reason: ResolvedReason) -> (Subject, Detected) {
    let detected = Detected {
        incident: Some(incident()),
        phase: Phase::Resolved.into(),
        failure_class: FailureClass::OomKilled.into(),
        resolved_reason: reason.into(),
        resolved_at: Some(at(1_795_600_120)),
        ..Detected::default()
    };
    (subject(Stage::Detected, "resolved"), detected)
}

/// The notice of a step, with its diagnosis.
pub(crate) fn notice(step: Step, name: &str) -> Notice {
    let (subject, acted) = acted(step, name);
    Notice::of_acted(&subject, &acted, Some(diagnosed()))
        .unwrap()
        .unwrap()
}

/// Something that has not come.
pub(crate) fn overdue(awaited: Awaited, step: &str) -> Notice {
    let overdue = Overdue {
        incident: Some(incident()),
        failure_class: FailureClass::OomKilled.into(),
        awaited: awaited.into(),
        waiting_since: Some(at(1_795_600_003)),
        limit_seconds: 600,
        ..Overdue::default()
    };
    Notice::of_overdue(&subject(Stage::Overdue, step), &overdue).unwrap()
}

/// The end of the incident.
pub(crate) fn end(reason: ResolvedReason) -> Notice {
    let (subject, detected) = resolved(reason);
    Notice::of_detected(&subject, &detected).unwrap().unwrap()
}
