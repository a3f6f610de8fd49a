use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_chassis::bus::header;
use bonesetter_keys::SigningKey;
use bonesetter_proto::v1::evidence_item::Content as Item;
use bonesetter_proto::v1::{
    Decision, Delivery as Sent, Diagnosis, Evidence, EvidenceItem, LogChunk, LogLine, ObjectRef,
    Removal, SecurityEvent, SecurityEventKind, Violation,
};
use bonesetter_proto::{IncidentId, Namespace, Subject, Writer, to_timestamp, values};
use bytes::Bytes;

use super::*;

const CANARY: &str = "canary s3cr3t";

fn subject(stage: Stage, step: &str) -> Subject {
    Subject {
        stage,
        cluster: "demo".to_owned(),
        namespace: Some(Namespace::new("shop").unwrap()),
        kind: "Deployment".to_owned(),
        incident: IncidentId::new("abcdefghijklmnopqrstuvwx23").unwrap(),
        step: step.to_owned(),
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

/// Everybody signs with the same key here; that keys of one writer are not those of another is tested where it is decided.
fn trusted() -> VerifyingKeys {
    let mut trusted = VerifyingKeys::default();
    for writer in Writer::ALL {
        trusted.trust(writer, key().public_key());
    }
    trusted
}

/// As the runner would deliver it.
fn delivered<M: Message>(step: &str, mut message: M) -> Delivery {
    let subject = subject(M::STAGE, step);
    *message.envelope_mut() = Some(Envelope {
        subject: subject.to_string(),
        produced_at: Some(to_timestamp(
            UNIX_EPOCH + Duration::from_millis(1_795_600_000_500),
        )),
        producer_version: "0.1.0+3f2a9c0d1e2b".to_owned(),
        ..Envelope::default()
    });
    let payload = message.encode_to_vec();
    let mut headers = BTreeMap::new();
    if M::SIGNED_BY.is_some() {
        let signature = key().sign(&subject.to_string(), &payload);
        headers.insert(header::KEY_ID.to_owned(), signature.key_id);
        headers.insert(
            header::SIGNATURE.to_owned(),
            STANDARD.encode(signature.bytes),
        );
    }
    Delivery {
        subject,
        payload: Bytes::from(payload),
        headers,
        sequence: 7,
        stream: "BONESETTER_TEST",
        stored_at: UNIX_EPOCH + Duration::from_nanos(1_795_600_001_123_456_789),
        deliveries: 1,
    }
}

/// An incident of a root owner of that name.
fn incident_of(name: &str) -> Incident {
    let root_owner = ObjectRef {
        name: name.to_owned(),
        ..ObjectRef::default()
    };
    Incident {
        root_owner: Some(root_owner),
        ..Incident::default()
    }
}

fn redacted_message() -> Redacted {
    let line = LogLine {
        text: CANARY.to_owned(),
        ..LogLine::default()
    };
    let log = LogChunk {
        lines: vec![line],
        ..LogChunk::default()
    };
    let query = |tool: &str, hash: &str| QueryRecord {
        tool: tool.to_owned(),
        inputs_hash: hash.repeat(64),
        result_hash: hash.repeat(64),
    };
    Redacted {
        evidence: Some(Evidence {
            items: vec![EvidenceItem {
                id: "log/p".to_owned(),
                content: Some(Item::Log(log)),
            }],
            queries: vec![query("kubernetes.list_events", "a"), query(CANARY, "z")],
            ..Evidence::default()
        }),
        ..Redacted::default()
    }
}

fn diagnosed_message() -> Diagnosed {
    Diagnosed {
        diagnosis: Some(Diagnosis {
            summary: CANARY.to_owned(),
            root_cause: CANARY.to_owned(),
            cause: CANARY.to_owned(),
            model: CANARY.to_owned(),
            degraded_reason: CANARY.to_owned(),
            response_hash: "b".repeat(64),
            latency_ms: 1200,
            tokens: 345,
            ..Diagnosis::default()
        }),
        incident: Some(incident_of(CANARY)),
        failure_class: FailureClass::OomKilled.into(),
        ..Diagnosed::default()
    }
}

fn acted_message(step: Step) -> Acted {
    let violation = |name: &str| Violation {
        name: name.to_owned(),
        detail: CANARY.to_owned(),
    };
    Acted {
        step: step.into(),
        decision: Some(Decision {
            violations: vec![violation("mode-suggest"), violation(CANARY)],
            reason: CANARY.to_owned(),
            ..Decision::default()
        }),
        ..Acted::default()
    }
}

fn notified_message() -> Notified {
    let sent = |channel: &str, delivered: bool, failure: &str| Sent {
        channel: channel.to_owned(),
        delivered,
        failure: failure.to_owned(),
        ..Sent::default()
    };
    Notified {
        deliveries: vec![sent("slack", false, "http-404"), sent("webhook", true, "")],
        ..Notified::default()
    }
}

#[test]
fn rows_of_every_stage() {
    let resolved = Detected {
        phase: Phase::Resolved.into(),
        ..Detected::default()
    };
    let deliveries = [
        ("detected", delivered("resolved", resolved)),
        ("redacted", delivered("open", redacted_message())),
        ("diagnosed", delivered("open", diagnosed_message())),
        ("acted", delivered("refused", acted_message(Step::Refused))),
        (
            "notified",
            delivered("attention-refused", notified_message()),
        ),
    ];
    for (name, delivery) in deliveries {
        insta::assert_json_snapshot!(name, AuditEvent::of(&delivery, &trusted()));
    }
}

#[test]
fn no_text_of_a_message_gets_into_a_row() {
    let deliveries = [
        delivered("open", redacted_message()),
        delivered("open", diagnosed_message()),
        delivered("proposed", acted_message(Step::Proposed)),
    ];
    for mut delivery in deliveries {
        for garbled in [false, true] {
            if garbled {
                delivery.payload = Bytes::from_static(CANARY.as_bytes());
            }
            let row = serde_json::to_string(&AuditEvent::of(&delivery, &trusted())).unwrap();
            assert!(!row.contains("canary") && !row.contains("s3cr3t"), "{row}");
        }
    }
}

#[test]
fn what_cannot_be_believed_is_a_row_of_nobody() {
    let notified = delivered("open", Notified::default());
    let acted = delivered("applied", acted_message(Step::Applied));
    let garbled = |delivery: &Delivery| Delivery {
        payload: Bytes::from_static(b"\xff"),
        ..delivery.clone()
    };
    let unsigned = Delivery {
        headers: BTreeMap::new(),
        ..acted.clone()
    };
    let moved = |delivery: &Delivery| Delivery {
        subject: delivery.subject.at(delivery.subject.stage, "elsewhere"),
        ..delivery.clone()
    };
    let raw = Delivery {
        subject: subject(Stage::Enriched, "open"),
        ..notified.clone()
    };
    let cases = [
        (garbled(&notified), "malformed", "undecodable"),
        (moved(&notified), "malformed", "subject-differs"),
        (raw, "malformed", "undecodable"),
        (garbled(&acted), "auth_failure", "forged"),
        (moved(&acted), "auth_failure", "forged"),
        (unsigned, "auth_failure", "unsigned"),
    ];
    for (delivery, event_type, reason) in cases {
        let event = AuditEvent::of(&delivery, &trusted());
        assert_eq!(event.event_type, event_type, "{reason}");
        assert_eq!(event.failure_reason.as_deref(), Some(reason));
        assert_eq!(event.user_id, UNVERIFIED);
        assert_eq!(event.payload_hash, content_hash(&delivery.payload));
    }
}

#[test]
fn a_redelivery_is_the_same_row_and_a_stream_made_anew_another() {
    let first = delivered("open", Detected::default());
    let again = Delivery {
        deliveries: 2,
        ..first.clone()
    };
    let id = |delivery: &Delivery| AuditEvent::of(delivery, &trusted()).id;
    assert_eq!(id(&first), id(&again));
    let others = [
        Delivery {
            sequence: 8,
            ..first.clone()
        },
        Delivery {
            stream: "BONESETTER_OTHER",
            ..first.clone()
        },
        Delivery {
            stored_at: first.stored_at + Duration::from_secs(1),
            ..first.clone()
        },
    ];
    for other in others {
        assert_ne!(id(&first), id(&other));
    }
}

#[test]
fn names_and_hashes_have_one_form() {
    for (text, expected) in [
        ("kubernetes.list_events", "kubernetes.list_events"),
        ("http-404", "http-404"),
        ("", "invalid"),
        ("Upper", "invalid"),
        ("two words", "invalid"),
        ("a/b", "invalid"),
    ] {
        assert_eq!(stable(text), expected, "{text}");
    }
    assert_eq!(hash(&"a".repeat(64)), Some("a".repeat(64)));
    for text in ["", "aa", &"A".repeat(64), &"g".repeat(64)] {
        assert_eq!(hash(text), None, "{text}");
    }
    assert_eq!(version("0.1.0+abc"), "0.1.0+abc");
    assert_eq!(version("a b"), "invalid");
}

#[test]
fn names_classes_and_conclusions_of_ours_are_recorded() {
    let resolved = Detected {
        incident: Some(incident_of("checkout-v2.eu")),
        phase: Phase::Resolved.into(),
        failure_class: FailureClass::CrashLoopBackOff.into(),
        resolved_reason: ResolvedReason::Gone.into(),
        ..Detected::default()
    };
    let event = AuditEvent::of(&delivered("resolved", resolved), &trusted());
    assert_eq!(event.object_name.as_deref(), Some("checkout-v2.eu"));
    assert_eq!(event.conclusion.as_deref(), Some(GONE));
    let class = event.failure_class.unwrap();
    assert_eq!(class_of(&class), FailureClass::CrashLoopBackOff);
    let mut diagnosed = diagnosed_message();
    diagnosed.incident = Some(incident_of("checkout"));
    let diagnosis = diagnosed.diagnosis.get_or_insert_default();
    diagnosis.cause = "memory-limit-too-low".to_owned();
    let event = AuditEvent::of(&delivered("open", diagnosed), &trusted());
    assert_eq!(event.conclusion.as_deref(), Some("memory-limit-too-low"));
}

#[test]
fn what_happened_at_the_boundary_is_a_row_with_names_only() {
    let event = |kind: SecurityEventKind, reader: &str| {
        let finding = |rule: &str, kind: &str| Removal {
            kind: kind.to_owned(),
            rule: rule.to_owned(),
            place: CANARY.to_owned(),
            count: 2,
        };
        let message = SecurityEvent {
            kind: kind.into(),
            findings: vec![
                finding("override", "email"),
                finding(CANARY, "email"),
                finding("override", CANARY),
            ],
            reader: reader.to_owned(),
            reason: CANARY.to_owned(),
            ..SecurityEvent::default()
        };
        let row = AuditEvent::of(&delivered("injection-open", message), &trusted());
        assert!(!serde_json::to_string(&row).unwrap().contains(CANARY));
        assert_eq!(row.user_id, "svc-redactor");
        (row.event_type, row.failure_reason.unwrap())
    };
    for (kind, reader, event_type, reason) in [
        (
            SecurityEventKind::Injection,
            "",
            "security_injection",
            "invalid,override",
        ),
        (
            SecurityEventKind::EgressBlocked,
            "",
            "security_egress_blocked",
            "invalid,override",
        ),
        (
            SecurityEventKind::Restored,
            "ada",
            "security_restored",
            "by:ada,email,invalid",
        ),
    ] {
        assert_eq!(event(kind, reader), (event_type, reason.to_owned()));
    }
}

#[test]
fn every_type_of_event_is_known_beforehand() {
    let of_phase = |phase: Phase| {
        detected(&Detected {
            phase: phase.into(),
            ..Detected::default()
        })
    };
    let of_kind = |kind: SecurityEventKind| {
        boundary::event(&SecurityEvent {
            kind: kind.into(),
            ..SecurityEvent::default()
        })
    };
    let others = [
        redacted(&Redacted::default()),
        diagnosed(&Diagnosed::default()),
        notified(&Notified::default()),
        overdue(&Overdue::default()),
    ];
    let contents = values().map(of_phase).chain(others);
    let contents = contents.chain(values().map(|step| acted(&acted_message(step))));
    let contents = contents.chain(values().map(of_kind));
    let doubts = [Doubt::Undecodable, Doubt::Forged].map(Doubt::event_type);
    let types = contents.map(|content| content.event_type).chain(doubts);
    assert_eq!(types.collect::<BTreeSet<_>>(), EVENT_TYPES.into());
}
