use std::collections::{BTreeMap, BTreeSet};

use bonesetter_chassis::bus::{StreamReader, header};
use bonesetter_demo::scenario::{Ending, SCENARIOS};
use bonesetter_testbed::collector::{Span, SpanKind};

use crate::Outcome;

/// What an incident is sent on as, and by whom, before people are told.
const WAY: [(&str, &str); 6] = [
    ("svc-watcher", "BONESETTER_DETECTED"),
    ("svc-enricher", "BONESETTER_ENRICHED"),
    ("svc-redactor", "BONESETTER_REDACTED"),
    ("svc-llm", "BONESETTER_DIAGNOSED"),
    ("svc-actuator", "BONESETTER_ACTED"),
    ("svc-notifier", "BONESETTER_NOTIFIED"),
];

/// The spans of one trace by id.
type Trace<'a> = BTreeMap<&'a str, &'a Span>;

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
        let spans = outcome.traces.of(&trace);
        let spans: Trace<'_> = spans.map(|span| (span.id.as_str(), span)).collect();
        for span in spans.values() {
            keeps_the_conventions(&format!("{name}: {}: {}", span.service, span.name), span);
        }
        is_connected(name, &spans);
        goes_the_whole_way(name, &spans);
    }
}

/// What is done to a message, and to the messages of which stream.
fn operation(span: &Span) -> (&str, &str) {
    let words = span.name.split_once(' ');
    words.unwrap_or_else(|| panic!("the name of {span:?} is no operation and destination"))
}

/// Source: OpenTelemetry semantic conventions, "Semantic conventions for messaging spans".
fn keeps_the_conventions(at: &str, span: &Span) {
    let (operation, stream) = operation(span);
    let (operation_type, kind) = match operation {
        "send" => ("send", SpanKind::Producer),
        "process" => ("process", SpanKind::Consumer),
        "ack" | "nak" | "term" => ("settle", SpanKind::Client),
        _ => panic!("{at}: what is that?"),
    };
    assert_eq!(span.kind, kind, "{at}");
    for (attribute, expected) in [
        ("messaging.system", "nats"),
        ("messaging.operation.name", operation),
        ("messaging.operation.type", operation_type),
        ("messaging.destination.name", stream),
        ("server.address", "127.0.0.1"),
        ("error.type", span.failure.as_deref().unwrap_or_default()),
    ] {
        assert_eq!(span.attribute(attribute), expected, "{at}: {attribute}");
    }
    let mut given = vec!["messaging.message.id", "server.port"];
    if operation_type != "settle" {
        given.push("messaging.message.body.size");
    }
    if operation_type != "send" {
        given.push("messaging.consumer.group.name");
    }
    for attribute in given {
        assert_ne!(span.attribute(attribute), "", "{at}: {attribute}");
    }
    let client = span.attribute("messaging.client.id");
    assert!(client.starts_with(&span.service), "{at}: {client}");
}

/// What processes a message is the child of what sent it, across services; what sends one or answers the
/// server is the child of what processed its cause. Whatever begins the trace names the incident as its
/// parent. A message that was processed is answered once.
fn is_connected(name: &str, spans: &Trace<'_>) {
    let mut roots = BTreeSet::new();
    let mut answers: BTreeMap<&str, usize> = BTreeMap::new();
    for span in spans.values() {
        let (operation, stream) = operation(span);
        let at = format!("{name}: {}: {}", span.service, span.name);
        let parent = spans.get(span.parent.as_str());
        match (operation, parent) {
            ("process", Some(parent)) => {
                assert_eq!(parent.name, format!("send {stream}"), "{at}");
                assert_eq!(span.links, [parent.id.as_str()], "{at}");
                answers.entry(&span.id).or_default();
            }
            ("send", None) => {
                roots.insert(&span.parent);
            }
            (_, None) => panic!("{at} has no parent in the trace"),
            (_, Some(parent)) => {
                assert_eq!(parent.service, span.service, "{at}");
                assert!(parent.name.starts_with("process "), "{at}");
                if operation != "send" {
                    assert_eq!(parent.name, format!("process {stream}"), "{at}");
                    *answers.entry(&parent.id).or_default() += 1;
                }
            }
        }
    }
    assert_eq!(roots.len(), 1, "{name}: the trace has several beginnings");
    for (id, answers) in answers {
        assert_eq!(answers, 1, "{name}: {:?}", spans[id]);
    }
}

/// Some notice came of the first observation through every stage, and svc-audit recorded what was sent.
fn goes_the_whole_way(name: &str, spans: &Trace<'_>) {
    let notices = spans
        .values()
        .filter(|span| operation(span) == ("send", WAY[5].1));
    let ways: Vec<_> = notices.map(|notice| way_to(notice, spans)).collect();
    assert!(ways.iter().any(|way| way == &WAY), "{name}: {ways:#?}");
    for (_, stream) in WAY.into_iter().filter(|(_, stream)| *stream != WAY[1].1) {
        let is_recorded = |span: &&Span| {
            span.service.starts_with("svc-audit") && operation(span) == ("process", stream)
        };
        assert!(
            spans.values().any(is_recorded),
            "{name}: {stream} is not recorded"
        );
    }
}

/// Who sent what, from the beginning of the trace to a span; what a stage sends to itself counts once.
fn way_to<'a>(span: &'a Span, spans: &Trace<'a>) -> Vec<(&'a str, &'a str)> {
    let parents = |span: &&'a Span| spans.get(span.parent.as_str()).copied();
    let mut way: Vec<_> = std::iter::successors(Some(span), parents)
        .filter(|span| operation(span).0 == "send")
        .map(|span| (span.service.as_str(), operation(span).1))
        .collect();
    way.dedup();
    way.reverse();
    way
}
