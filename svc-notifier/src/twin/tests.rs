use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{Diagnosis, EvidenceItem, KubernetesObject, Remedy, SetMemory};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::samples::subject;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// A diagnosis with every field set, as the first release writes it.
const GOLDEN: &[u8] = include_bytes!("../../../proto/tests/golden/0.1/diagnosed.bin");

fn event(diagnosed: &Diagnosed, traceparent: Option<&str>) -> Value {
    let subject = subject(bonesetter_proto::Stage::Diagnosed, "open");
    let twins = Twins::new().unwrap();
    let twin = twins.twin(&subject, diagnosed, traceparent).unwrap();
    serde_json::from_slice(twin.as_bytes()).unwrap()
}

/// The protobuf message of a twin's data.
fn back(event: &Value) -> Diagnosed {
    let descriptor = Twins::new().unwrap().descriptor;
    let message = DynamicMessage::deserialize(descriptor, &event["data"]).unwrap();
    message.transcode_to().unwrap()
}

#[test]
fn a_diagnosis_with_every_field_set() {
    let diagnosed = Diagnosed::decode(GOLDEN).unwrap();
    let event = event(&diagnosed, Some(TRACE));
    assert_eq!(back(&event), diagnosed);
    insta::assert_json_snapshot!(event);
}

#[test]
fn what_a_header_says_is_a_trace_context_or_is_left_out() {
    for hostile in [
        "",
        "00",
        "\"",
        &TRACE.replace('b', "g"),
        &TRACE.replace('-', "\n"),
        &format!("{TRACE}-"),
    ] {
        let event = event(&Diagnosed::default(), Some(hostile));
        assert_eq!(event.get("traceparent"), None, "{hostile:?}");
    }
    let event = event(&Diagnosed::default(), Some(TRACE));
    assert_eq!(event["traceparent"], TRACE);
}

/// CloudEvents forbids empty values, and a reader may depend on those that are required.
#[test]
fn what_is_required_is_there_for_whatever_was_signed() {
    let event = event(&Diagnosed::default(), None);
    for name in ["specversion", "source", "type", "subject", "dataschema"] {
        assert!(!event[name].as_str().unwrap().is_empty(), "{name}");
    }
    assert!(event.get("time").is_none());
}

proptest! {
    #[test]
    fn nothing_is_lost_or_changed(
        summary in any::<String>(),
        tokens in any::<u64>(),
        // Few digits: the reader of this test is not exact in the last one.
        confidence in (0_u32..=1000).prop_map(|it| f64::from(it) / 1000.0),
        json in any::<Vec<u8>>(),
        limit in any::<u64>(),
        failure_class in any::<i32>(),
    ) {
        let fix = Fix::SetMemory(SetMemory { container: summary.clone(), limit, request: tokens });
        let diagnosis = Diagnosis {
            summary,
            tokens,
            confidence,
            remedy: Some(Remedy { fix: Some(fix), ..Remedy::default() }),
            ..Diagnosis::default()
        };
        let object = KubernetesObject { r#ref: None, json };
        let item = EvidenceItem { id: "a".to_owned(), content: Some(Content::Object(object)) };
        let diagnosed = Diagnosed {
            failure_class,
            diagnosis: Some(diagnosis),
            excerpts: vec![item],
            ..Diagnosed::default()
        };
        prop_assert_eq!(back(&event(&diagnosed, None)), diagnosed);
    }
}
