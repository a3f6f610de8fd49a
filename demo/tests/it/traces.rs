use std::collections::{BTreeMap, BTreeSet};

use bonesetter_chassis::bus::{StreamReader, header};
use bonesetter_demo::scenario::{Ending, SCENARIOS};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::Outcome;

/// From the first observation to the archive, whoever wrote it: one incident is one trace, of which
/// the collector got spans of every service.
pub(crate) async fn every_incident_is_one_trace(outcome: &Outcome) {
    let bus = outcome
        .environment
        .connect("operator")
        .await
        .expect("connected");
    let broken = SCENARIOS
        .iter()
        .filter(|scenario| scenario.ending != Ending::Silence);
    for scenario in broken {
        let name = scenario.workload;
        let record = outcome.story.record(name).expect("a record");
        let mut traces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for step in &record.steps {
            let stored = StreamReader::new(bus.clone(), step.stream)
                .at(step.sequence)
                .await
                .expect("readable")
                .expect("stored");
            let context = stored.header(header::TRACEPARENT).unwrap_or_default();
            let trace = context.split('-').nth(1).unwrap_or_default();
            let subject = step.subject.to_string();
            traces.entry(trace.to_owned()).or_default().insert(subject);
        }
        let trace = traces.keys().next().expect("steps").clone();
        assert!(
            traces.len() == 1 && trace.len() == 32,
            "{name}: {traces:#?}"
        );
        let spans = spans(outcome, &trace);
        for service in [
            "watcher", "enricher", "redactor", "llm", "actuator", "notifier", "audit",
        ] {
            let service = format!("svc-{service}");
            assert!(
                spans.values().any(|exported| exported.service == service),
                "{name}: no span of {service} in trace {trace}"
            );
        }
        are_connected(name, &spans);
    }
}

/// A span and the service that exported it.
struct Exported {
    service: String,
    span: Span,
}

/// What the collector got of one trace, by span id.
fn spans(outcome: &Outcome, trace: &str) -> BTreeMap<Vec<u8>, Exported> {
    let mut found = BTreeMap::new();
    for request in outcome.receiver.received("/v1/traces") {
        let export = ExportTraceServiceRequest::decode(request.body).expect("an export");
        for resource in export.resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = attribute(&attributes, "service.name");
            let spans = resource.scope_spans.into_iter().flat_map(|it| it.spans);
            for span in spans.filter(|span| hex::encode(&span.trace_id) == trace) {
                let service = service.clone();
                found.insert(span.span_id.clone(), Exported { service, span });
            }
        }
    }
    found
}

fn attribute(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|it| it.key == name);
    match found.and_then(|it| it.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}

/// What processes a message is the child of what sent it, across services; what sends one is the
/// child of what processed its cause. Whatever begins the trace names the incident as its parent.
fn are_connected(name: &str, spans: &BTreeMap<Vec<u8>, Exported>) {
    let mut roots = BTreeSet::new();
    for Exported { service, span } in spans.values() {
        let Some((operation, stream)) = span.name.split_once(" BONESETTER_") else {
            continue;
        };
        let at = format!("{name}: {service}: {}", span.name);
        assert_eq!(
            attribute(&span.attributes, "messaging.system"),
            "nats",
            "{at}"
        );
        let parent = spans.get(&span.parent_span_id);
        match (operation, parent) {
            ("process", Some(parent)) => {
                assert_eq!(
                    parent.span.name,
                    format!("send BONESETTER_{stream}"),
                    "{at}"
                );
            }
            ("process", None) => panic!("{at} has no parent in the trace"),
            (_, Some(parent)) => assert_eq!(&parent.service, service, "{at}"),
            (_, None) => {
                roots.insert(span.parent_span_id.clone());
            }
        }
    }
    assert_eq!(roots.len(), 1, "{name}: the trace has several beginnings");
}
