//! Signed evidence, as it reaches the stage.

use std::time::SystemTime;

use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::stage::{Input, Outcome, Output, Received, Stage as _};
use bonesetter_keys::{SigningKey, VerifyingKeys, incident_id};
use bonesetter_proto::v1::{self, Diagnosed, Diagnosis, Redacted};
use bonesetter_proto::{IncidentId, Namespace, Stage, Subject, Writer};
use prost::Message as _;
use svc_llm::config::Config;
use svc_llm::evidence_json::Document;
use svc_llm::stage::Diagnose;
use svc_llm::{Diagnosers, LlmMetrics};

/// A Deployment whose new revision has a bad value; the rules roll it back.
pub(crate) const BAD_VALUE: &str = include_str!("bad-value.json");

/// The message of a document, signed by the redactor.
pub(crate) fn input(document: &str) -> Input<Redacted> {
    let incident = IncidentId::new(incident_id("demo", "uid", 1)).unwrap();
    let subject = Subject {
        stage: Stage::Redacted,
        cluster: "demo".to_owned(),
        namespace: Some(Namespace::new("shop").unwrap()),
        kind: "Deployment".to_owned(),
        incident,
        step: "open".to_owned(),
    };
    let mut message = Document::parse(document.as_bytes())
        .unwrap()
        .into_message()
        .unwrap();
    let text = subject.to_string();
    message.envelope = Some(v1::Envelope {
        subject: text.clone(),
        ..v1::Envelope::default()
    });
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let mut trusted = VerifyingKeys::default();
    trusted.trust(Writer::Redactor, key.public_key());
    let payload = message.encode_to_vec();
    let verified = trusted
        .verify(&text, &payload, &key.sign(&text, &payload))
        .unwrap();
    Input {
        message: Received::Verified(verified),
        subject,
        signed: None,
        deliveries: 1,
        sequence: 1,
        stream: "BONESETTER_REDACTED",
        stored_at: SystemTime::UNIX_EPOCH,
        traceparent: None,
    }
}

/// What the stage publishes for it.
pub(crate) async fn handle(config: &Config, input: &Input<Redacted>) -> Output<Diagnosed> {
    let stage = stage(config);
    let Outcome::Done(mut outputs) = stage.handle(input).await else {
        panic!("not diagnosed")
    };
    assert_eq!(outputs.len(), 1);
    outputs.remove(0)
}

pub(crate) fn stage(config: &Config) -> Diagnose {
    let diagnosers = Diagnosers::new(config).unwrap();
    let metrics = LlmMetrics::new(&Metrics::default(), diagnosers.names());
    Diagnose::new(diagnosers, metrics)
}

pub(crate) fn diagnosis(output: &Output<Diagnosed>) -> &Diagnosis {
    output.message.diagnosis.as_ref().unwrap()
}

#[tokio::test]
async fn the_rules_answer_under_the_step_of_the_input_with_target_and_excerpts() {
    let output = handle(&Config::default(), &input(BAD_VALUE)).await;
    assert_eq!(output.step, "open");
    let diagnosed = &output.message;
    let diagnosis = diagnosis(&output);
    assert_eq!(
        (diagnosis.cause.as_str(), diagnosis.diagnoser.as_str()),
        ("bad-config-value", "rules")
    );
    assert!(diagnosis.remedy.is_some() && diagnosis.degraded_reason.is_empty());
    assert_eq!(diagnosed.target.as_ref().unwrap().revision, 2);
    assert_eq!(
        diagnosed.failure_class(),
        v1::FailureClass::CrashLoopBackOff
    );
    let is_shown = |cited: &v1::Citation| {
        diagnosed
            .excerpts
            .iter()
            .any(|item| item.id == cited.evidence_id)
    };
    assert!(diagnosis.citations.iter().all(is_shown));
}

#[tokio::test]
async fn a_message_without_evidence_or_proof_is_rejected() {
    let mut unsigned = input(BAD_VALUE);
    unsigned.message = Received::Unsigned((*unsigned.message).clone());
    let stage = stage(&Config::default());
    let Outcome::Reject { reason, .. } = stage.handle(&unsigned).await else {
        panic!()
    };
    assert_eq!(reason, "unsigned");
}
