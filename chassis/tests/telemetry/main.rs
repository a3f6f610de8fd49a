//! What a collector of traces gets. A program of its own: a process has one subscriber and one
//! exporter, and other tests would share them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "../it/bed.rs"]
#[expect(dead_code, clippy::expect_used, reason = "shared with the other tests")]
mod bed;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use bonesetter_chassis::bus::{StoredMessage, header};
use bonesetter_chassis::config::TelemetrySettings;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::stage::{Input, Outcome, Output, Stage};
use bonesetter_chassis::topology::{ConsumerSpec, ENRICHER, LLM, REDACTOR};
use bonesetter_proto::v1::{Detected, Diagnosed, Enriched, Redacted};
use bonesetter_proto::{Message, Stage as StageName};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use tokio::task::JoinHandle;

use crate::bed::{Bed, detected, stored, subject};

/// A collector of traces: OTLP over HTTP in protobuf.
struct Collector {
    url: String,
    exports: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    async fn start() -> Self {
        let exports: Arc<Mutex<Vec<_>>> = Arc::default();
        let kept = exports.clone();
        let take = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            let export = ExportTraceServiceRequest::decode(body).unwrap();
            kept.lock().unwrap().push(export);
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, exports }
    }

    /// The spans of one trace by name, which no two of them share.
    fn spans(&self, trace: &str) -> BTreeMap<String, Span> {
        let exports = self.exports.lock().unwrap();
        let mut found = BTreeMap::new();
        for resource in exports.iter().flat_map(|export| &export.resource_spans) {
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            let service = attributes.iter().find(|it| it.key == "service.name");
            let service = service.and_then(|it| it.value.as_ref()?.value.as_ref());
            assert_eq!(text(service), "svc-test");
            for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                if hex::encode(&span.trace_id) == trace {
                    let before = found.insert(span.name.clone(), span.clone());
                    assert!(before.is_none(), "{} was done twice", span.name);
                }
            }
        }
        found
    }
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key == name);
    let value = found.and_then(|it| it.value.as_ref());
    text(value.and_then(|value| value.value.as_ref()))
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
    let collector = Collector::start().await;
    let settings = TelemetrySettings {
        otlp_endpoint: Some(collector.url.clone()),
        ..TelemetrySettings::default()
    };
    let telemetry = bonesetter_chassis::telemetry::init("svc-test", &settings).unwrap();
    let bed = Bed::start().await;
    pass_two_incidents(&bed).await;
    drop(telemetry);

    let found = stored(&bed.bus("operator").await, StageName::Detected, 2).await;
    let context = found[0].header(header::TRACEPARENT).unwrap();
    let [_, trace, first, "01"] = context.split('-').collect::<Vec<_>>()[..] else {
        panic!("{context} is no sampled trace context");
    };
    let spans = collector.spans(trace);
    assert_eq!(spans.len(), 10, "{:?}", spans.keys());
    // The span that sent a message, and then the one that processed it, is the parent of the next.
    let mut parent = hex::decode(first).unwrap();
    let sent = span(&spans, "send", STREAMS[0]);
    assert_eq!(sent.span_id, parent);
    check(sent, "send", STREAMS[0], &found[0], &bed);
    for streams in STREAMS.windows(2) {
        let process = span(&spans, "process", streams[0]);
        assert_eq!(process.kind(), SpanKind::Consumer);
        assert_eq!(process.parent_span_id, parent);
        let linked: Vec<_> = process.links.iter().map(|link| &link.span_id).collect();
        assert_eq!(linked, [&parent], "the conventions ask for a link too");
        let ack = span(&spans, "ack", streams[0]);
        assert_eq!(ack.kind(), SpanKind::Client);
        assert_eq!(ack.parent_span_id, process.span_id);
        assert_eq!(attribute(ack, "messaging.operation.type"), "settle");
        let send = span(&spans, "send", streams[1]);
        assert_eq!(send.kind(), SpanKind::Producer);
        assert_eq!(send.parent_span_id, process.span_id);
        parent.clone_from(&send.span_id);
    }
    let processed = span(&spans, "process", STREAMS[0]);
    check(processed, "process", STREAMS[0], &found[0], &bed);
    assert_eq!(
        attribute(processed, "messaging.consumer.group.name"),
        "enricher"
    );
    // Replicas of a service are told apart.
    for (span, user) in [(sent, "svc-watcher-"), (processed, "svc-enricher-")] {
        let client = attribute(span, "messaging.client.id");
        assert!(
            client.starts_with(user) && client.len() > user.len(),
            "{client}"
        );
    }

    let context = found[1].header(header::TRACEPARENT).unwrap();
    let spans = collector.spans(context.split('-').nth(1).unwrap());
    let refused = span(&spans, "process", STREAMS[2]);
    assert_eq!(attribute(refused, "error.type"), "refused");
    assert_eq!(refused.status.as_ref().unwrap().code(), StatusCode::Error);
    let ended = span(&spans, "term", STREAMS[2]);
    assert_eq!(ended.parent_span_id, refused.span_id);
}

fn span<'a>(spans: &'a BTreeMap<String, Span>, operation: &str, stream: &str) -> &'a Span {
    let name = format!("{operation} {stream}");
    spans
        .get(&name)
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
        assert_eq!(attribute(span, name), expected, "{name} of {}", span.name);
    }
}
