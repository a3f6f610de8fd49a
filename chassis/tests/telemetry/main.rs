//! What a collector of traces gets. A program of its own: a process has one subscriber and one
//! exporter, and other tests would share them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "../it/bed.rs"]
#[expect(dead_code, clippy::expect_used, reason = "shared with the other tests")]
mod bed;

use std::collections::BTreeMap;
use std::marker::PhantomData;

use bonesetter_chassis::bus::{StoredMessage, header};
use bonesetter_chassis::config::TelemetrySettings;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::stage::{Input, Outcome, Output, Stage};
use bonesetter_chassis::topology::{ConsumerSpec, ENRICHER, LLM, REDACTOR};
use bonesetter_proto::v1::{Detected, Diagnosed, Enriched, Redacted};
use bonesetter_proto::{Message, Stage as StageName};
use bonesetter_testbed::Collector;
use bonesetter_testbed::collector::{Span, SpanKind, Traces};
use tokio::task::JoinHandle;

use crate::bed::{Bed, detected, stored, subject};

/// The spans of one trace by name, which no two of them share.
fn spans<'a>(traces: &'a Traces, trace: &str) -> BTreeMap<&'a str, &'a Span> {
    let mut found = BTreeMap::new();
    for span in traces.of(trace) {
        assert_eq!(span.service, "svc-test");
        let before = found.insert(span.name.as_str(), span);
        assert!(before.is_none(), "{} was done twice", span.name);
    }
    found
}

/// Passes messages on, and refuses those of the first incident at the last stage.
struct Pass<I, O>(PhantomData<fn(I) -> O>);

impl<I: Message, O: Message> Stage for Pass<I, O> {
    type In = I;
    type Out = O;
    const REASONS: &'static [&'static str] = &["refused"];

    async fn handle(&self, input: &Input<I>) -> Outcome<O> {
        if I::STAGE == StageName::Redacted && input.subject.incident == subject(1, "open").incident
        {
            return Outcome::Reject {
                reason: "refused",
                cause: anyhow::anyhow!("as the test wants it"),
            };
        }
        let step = input.subject.step.clone();
        Outcome::Done(vec![Output {
            step,
            message: O::default(),
        }])
    }
}

fn run<I: Message, O: Message>(
    service: &Service,
    spec: ConsumerSpec,
) -> JoinHandle<anyhow::Result<()>> {
    let service = service.clone();
    tokio::spawn(async move {
        let stage = Pass::<I, O>(PhantomData);
        service.run_stage(&spec, stage).await
    })
}

/// Two incidents through three services. Of the first everything is passed on, the second ends in the
/// dead letters.
async fn pass_two_incidents(bed: &Bed) {
    let watcher = bed.service("svc-watcher").await;
    for number in 0..2 {
        let subject = subject(number, "open");
        let publisher = watcher.publisher::<Detected>().unwrap();
        let message = detected(&subject);
        publisher.publish(&subject, message, "").await.unwrap();
    }
    let enricher = bed.service("svc-enricher").await;
    let redactor = bed.service("svc-redactor").await;
    let llm = bed.service("svc-llm").await;
    let running = [
        run::<Detected, Enriched>(&enricher, ENRICHER),
        run::<Enriched, Redacted>(&redactor, REDACTOR),
        run::<Redacted, Diagnosed>(&llm, LLM),
    ];
    let operator = bed.bus("operator").await;
    stored(&operator, StageName::Diagnosed, 1).await;
    stored(&operator, StageName::Dlq, 1).await;
    for service in [&enricher, &redactor, &llm] {
        service.shutdown.cancel();
    }
    for task in running {
        task.await.unwrap().unwrap();
    }
}

const STREAMS: [&str; 4] = [
    "BONESETTER_DETECTED",
    "BONESETTER_ENRICHED",
    "BONESETTER_REDACTED",
    "BONESETTER_DIAGNOSED",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_one_trace_of_an_incident_with_a_span_for_each_thing_done_to_a_message() {
    let collector = Collector::start().await.unwrap();
    let settings = TelemetrySettings {
        otlp_endpoint: Some(collector.url()),
        ..TelemetrySettings::default()
    };
    let telemetry = bonesetter_chassis::telemetry::init("svc-test", &settings).unwrap();
    let bed = Bed::start().await;
    pass_two_incidents(&bed).await;
    drop(telemetry);
    let traces = collector.stop().await.unwrap();

    let found = stored(&bed.bus("operator").await, StageName::Detected, 2).await;
    let context = found[0].header(header::TRACEPARENT).unwrap();
    let [_, trace, first, "01"] = context.split('-').collect::<Vec<_>>()[..] else {
        panic!("{context} is no sampled trace context");
    };
    let spans = spans(&traces, trace);
    assert_eq!(spans.len(), 10, "{:?}", spans.keys());
    // The span that sent a message, and then the one that processed it, is the parent of the next.
    let mut parent = first;
    let sent = span(&spans, "send", STREAMS[0]);
    assert_eq!(sent.id, parent);
    check(sent, "send", STREAMS[0], &found[0], &bed);
    for streams in STREAMS.windows(2) {
        let process = span(&spans, "process", streams[0]);
        assert_eq!(process.kind, SpanKind::Consumer);
        assert_eq!(process.parent, parent);
        assert_eq!(
            process.links,
            [parent],
            "the conventions ask for a link too"
        );
        let ack = span(&spans, "ack", streams[0]);
        assert_eq!(ack.kind, SpanKind::Client);
        assert_eq!(ack.parent, process.id);
        assert_eq!(ack.attribute("messaging.operation.type"), "settle");
        let send = span(&spans, "send", streams[1]);
        assert_eq!(send.kind, SpanKind::Producer);
        assert_eq!(send.parent, process.id);
        parent = &send.id;
    }
    let processed = span(&spans, "process", STREAMS[0]);
    check(processed, "process", STREAMS[0], &found[0], &bed);
    assert_eq!(
        processed.attribute("messaging.consumer.group.name"),
        "enricher"
    );
    // Replicas of a service are told apart.
    for (span, user) in [(sent, "svc-watcher-"), (processed, "svc-enricher-")] {
        let client = span.attribute("messaging.client.id");
        assert!(
            client.starts_with(user) && client.len() > user.len(),
            "{client}"
        );
    }
    assert!(spans.values().all(|span| span.failure.is_none()));
    the_refused_one_has_failed(&traces, &found[1]);
}

fn the_refused_one_has_failed(traces: &Traces, first: &StoredMessage) {
    let context = first.header(header::TRACEPARENT).unwrap();
    let spans = spans(traces, context.split('-').nth(1).unwrap());
    let refused = span(&spans, "process", STREAMS[2]);
    assert_eq!(refused.attribute("error.type"), "refused");
    assert_eq!(refused.failure.as_deref(), Some("refused"));
    let ended = span(&spans, "term", STREAMS[2]);
    assert_eq!(ended.parent, refused.id);
}

fn span<'a>(spans: &BTreeMap<&str, &'a Span>, operation: &str, stream: &str) -> &'a Span {
    let name = format!("{operation} {stream}");
    spans
        .get(name.as_str())
        .unwrap_or_else(|| panic!("no span {name:?}, only {:?}", spans.keys()))
}

/// What the conventions for messaging ask of every span.
fn check(span: &Span, operation: &str, stream: &str, message: &StoredMessage, bed: &Bed) {
    let (_, port) = bed.nats.url().rsplit_once(':').map_or_else(
        || panic!("a URL with a port"),
        |(host, port)| (host.to_owned(), port.to_owned()),
    );
    let id = format!("detected/{}/open", subject(0, "open").incident);
    for (name, expected) in [
        ("messaging.system", "nats"),
        ("messaging.operation.name", operation),
        ("messaging.operation.type", operation),
        ("messaging.destination.name", stream),
        ("messaging.message.id", &id),
        (
            "messaging.message.body.size",
            &message.payload.len().to_string(),
        ),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ] {
        assert_eq!(span.attribute(name), expected, "{name} of {}", span.name);
    }
}
