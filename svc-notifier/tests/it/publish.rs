use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_chassis::bus::{Bus, StoredMessage, StreamReader, header};
use bonesetter_chassis::topology::{DIAGNOSED, DIAGNOSED_JSON, PUBLISHER};
use bonesetter_keys::{Signature, VerifyError, VerifyingKeys};
use bonesetter_proto::v1::{DeadLetter, Diagnosed, Diagnosis};
use bonesetter_proto::{Stage, Subject, Writer};
use serde_json::Value;

use crate::bed::{Bed, incident, subject};

const WAIT: Duration = Duration::from_secs(30);

fn diagnosed(summary: &str) -> Diagnosed {
    let diagnosis = Diagnosis {
        summary: summary.to_owned(),
        ..Diagnosis::default()
    };
    Diagnosed {
        incident: Some(incident()),
        diagnosis: Some(diagnosis),
        ..Diagnosed::default()
    }
}

async fn all(bus: &Bus, stream: &'static str, stage: Stage) -> Vec<StoredMessage> {
    let reader = StreamReader::new(bus.clone(), stream);
    reader.all(&stage.filter()).await.unwrap()
}

async fn twins(bed: &Bed, count: usize) -> Vec<StoredMessage> {
    let bus = bed.bus.connect("operator").await.unwrap();
    let deadline = tokio::time::Instant::now() + WAIT;
    loop {
        let found = all(&bus, DIAGNOSED_JSON.name, Stage::DiagnosedJson).await;
        if found.len() >= count {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{}", found.len());
        tokio::task::yield_now().await;
    }
}

/// Polls until that many diagnoses have been answered for.
async fn handled(bed: &Bed, count: u64) {
    let bus = bed.bus.connect("svc-notifier-publish").await.unwrap();
    let deadline = tokio::time::Instant::now() + WAIT;
    while bus.consumer_state(&PUBLISHER).await.unwrap().acknowledged < count {
        assert!(tokio::time::Instant::now() < deadline, "not handled");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diagnosis_has_one_signed_twin_however_many_processes_publish() {
    let bed = Bed::start().await;
    let count = 20;
    for step in 0..count {
        let step = format!("reclassified-{step}");
        bed.publish("svc-llm", &step, diagnosed(&step)).await;
    }
    let both = async {
        bed.while_publishing(handled(&bed, count)).await;
    };
    bed.while_publishing(both).await;

    let found = twins(&bed, usize::try_from(count).unwrap()).await;
    let operator = bed.bus.connect("operator").await.unwrap();
    let diagnoses = all(&operator, DIAGNOSED.name, Stage::Diagnosed).await;
    let trusted = VerifyingKeys::read(&bed.bus.keys.trusted()).unwrap();
    let mut expected: BTreeSet<String> = diagnoses.iter().map(|it| it.subject.clone()).collect();
    for message in &found {
        let subject: Subject = message.subject.parse().unwrap();
        let event: Value = serde_json::from_slice(&message.payload).unwrap();
        let original = subject.at(Stage::Diagnosed, subject.step.clone());
        assert_eq!(
            event["data"]["envelope"]["subject"],
            original.to_string(),
            "the twin of the diagnosis that it stands for"
        );
        assert_eq!(event["data"]["diagnosis"]["summary"], subject.step);
        assert!(expected.remove(&original.to_string()), "{original} twice");
        check_headers(message, &event, &diagnoses);
        let signature = signature(message);
        trusted
            .verify_bytes(
                Writer::Publisher,
                &message.subject,
                &message.payload,
                &signature,
            )
            .unwrap();
        let as_llm =
            trusted.verify_bytes(Writer::Llm, &message.subject, &message.payload, &signature);
        assert!(matches!(as_llm, Err(VerifyError::UnknownKey { .. })));
    }
    assert!(expected.is_empty(), "{expected:?}");
    assert_eq!(found.len() as u64, count);
}

fn signature(message: &StoredMessage) -> Signature {
    let header = |name| message.header(name).unwrap();
    Signature {
        key_id: header(header::KEY_ID).to_owned(),
        bytes: STANDARD.decode(header(header::SIGNATURE)).unwrap(),
    }
}

/// Structured mode, and the same event as the protobuf message.
fn check_headers(message: &StoredMessage, event: &Value, diagnoses: &[StoredMessage]) {
    assert_eq!(
        message.header(header::CONTENT_TYPE),
        Some("application/cloudevents+json")
    );
    for name in header::CE {
        assert_eq!(message.header(name), None, "{name} means binary mode");
    }
    let original = diagnoses
        .iter()
        .find(|it| event["data"]["envelope"]["subject"] == it.subject)
        .unwrap();
    for name in ["id", "source", "type", "time"] {
        let header = original.header(format!("ce-{name}"));
        assert_eq!(event[name].as_str(), header, "{name}");
    }
    assert_eq!(
        event["traceparent"].as_str(),
        original.header(header::TRACEPARENT)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diagnosis_that_svc_llm_did_not_sign_has_no_twin() {
    let bed = Bed::start().await;
    let forged = diagnosed("forged");
    bed.publish_signed_by("svc-llm", Writer::Actuator, "open", forged)
        .await;
    let letters = bed.while_publishing(bed.stored::<DeadLetter>(1)).await;
    assert_eq!(letters[0].1.consumer, "publisher");
    assert_eq!(
        letters[0].1.dead_subject,
        subject(Stage::Diagnosed, "open").to_string()
    );
    assert_eq!(twins(&bed, 0).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_without_a_channel_ends_and_says_why() {
    let bed = Bed::start().await;
    let error = bed.tell_nobody().await.unwrap_err().to_string();
    assert!(error.contains("nobody would be told"), "{error}");
}
