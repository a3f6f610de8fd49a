//! Logs on standard error (JSON unless it is a terminal) and traces over OTLP.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use bonesetter_proto::Subject;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    TracerProvider as _,
};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Metadata;
use tracing_opentelemetry::{OpenTelemetrySpanExt as _, SetParentError};
use tracing_subscriber::filter::{FilterExt as _, FilterFn, LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::bus::Bus;
use crate::config::TelemetrySettings;
use crate::http::{self, HttpError, HttpOptions};

use lines::{Lines, Members};

mod lines;

const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The target of spans that only traces show: a log line is about the message that is handled.
pub(crate) const TRACES_ONLY: &str = "bonesetter_traces";

/// Whether anything in this process exports spans. Where nothing does, what would describe them is not made.
static TRACED: AtomicBool = AtomicBool::new(false);

tokio::task_local! {
    /// The trace context of the message that is handled.
    static HANDLED: Context;
}

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("telemetry.log: {0}; for example \"info\" or \"info,svc_llm=debug\"")]
    Filter(#[from] ParseError),
    /// The exporter does not start.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Nor does its client.
    #[error("telemetry.otlp_endpoint: {0}")]
    Client(#[from] HttpError),
}

/// Ends telemetry when it is dropped, after what is buffered has been sent.
#[derive(Debug)]
pub struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        let Some(provider) = &self.0 else { return };
        if let Err(error) = provider.shutdown_with_timeout(EXPORT_TIMEOUT) {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

/// Starts logs for this process, and traces where there is an endpoint. Without one no span is made that
/// nobody would see, and trace context is passed on as it came.
pub fn init(
    service: &'static str,
    settings: &TelemetrySettings,
) -> Result<Telemetry, TelemetryError> {
    let endpoint = settings.otlp_endpoint.as_deref();
    let provider = endpoint.map(|endpoint| provider(service, endpoint));
    let provider = provider.transpose()?;
    let traces = provider
        .as_ref()
        .map(|provider| traces(provider.tracer(service)));
    let log = filter(settings)?.and(logged());
    let registry = tracing_subscriber::registry().with(traces);
    let result = if std::io::stderr().is_terminal() {
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false);
        registry.with(lines.with_filter(log)).try_init()
    } else {
        let lines = tracing_subscriber::fmt::layer()
            .fmt_fields(Members)
            .event_format(Lines)
            .with_writer(std::io::stderr);
        registry.with(lines.with_filter(log)).try_init()
    };
    if let Err(error) = result {
        tracing::debug!(%error, "telemetry was started before by the same process");
    }
    Ok(Telemetry(provider))
}

/// Exports spans over OTLP.
fn provider(service: &'static str, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let client = http::client(&HttpOptions {
        timeout: EXPORT_TIMEOUT,
        ..HttpOptions::to(endpoint)
    })?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    // The exporter's HTTP client needs the runtime; the default processor exports from a thread without one.
    let processor = BatchSpanProcessor::builder(exporter, Tokio).build();
    Ok(SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build())
        .with_span_processor(processor)
        .build())
}

/// What is logged.
pub(crate) fn filter(settings: &TelemetrySettings) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(&settings.log)
}

/// Whatever the settings say, what only traces show is not logged.
fn logged() -> FilterFn {
    let is_logged: fn(&Metadata<'_>) -> bool = |metadata| metadata.target() != TRACES_ONLY;
    FilterFn::new(is_logged).with_max_level_hint(LevelFilter::TRACE)
}

/// Spans are made whatever is logged: a quiet log must not break the traces of other services.
fn traces<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    TRACED.store(true, Ordering::Relaxed);
    // Places in our sources and times between awaits cost more than the rest of a span, and say nothing
    // to who looks at a trace.
    tracing_opentelemetry::layer()
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_tracer(tracer)
        .with_filter(LevelFilter::INFO)
}

struct HeaderInjector<'a>(&'a mut HeaderMap);

impl Injector for HeaderInjector<'_> {
    fn set(&mut self, key: &str, value: String) {
        // The state of other vendors is not passed on, and the propagator writes an empty one.
        if !value.is_empty() {
            self.0.insert(key, value);
        }
    }
}

struct OneHeader<'a>(&'a str);

impl Extractor for OneHeader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == crate::bus::header::TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![crate::bus::header::TRACEPARENT]
    }
}

/// Does what a delivery asks for. Where no spans are made, the trace context that came with it goes out
/// with what is sent meanwhile.
pub(crate) fn hand_on<F: Future>(
    traceparent: Option<&str>,
    handling: F,
) -> impl Future<Output = F::Output> {
    let context = traceparent.map(context_of).unwrap_or_default();
    HANDLED.scope(context, handling)
}

/// Writes a trace context into the headers of a message about an incident: that of the current span; where
/// no spans are made, that of the message that is handled, or else the incident's own.
pub(crate) fn inject(headers: &mut HeaderMap, incident: &str) {
    let is_valid = |context: &Context| context.span().span_context().is_valid();
    let current = is_exporting().then(|| tracing::Span::current().context());
    let context = current
        .filter(is_valid)
        .or_else(|| HANDLED.try_with(Context::clone).ok().filter(is_valid))
        .or_else(|| context_of_incident(incident));
    let context = context.unwrap_or_default();
    TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(headers));
}

/// Puts a span that continues no trace into the trace of its incident.
pub(crate) fn begin_trace(span: &tracing::Span, incident: &str) {
    if !is_traced(span) {
        return;
    }
    let current = tracing::Span::current().context();
    if current.span().span_context().is_valid() {
        return;
    }
    if let Some(context) = context_of_incident(incident) {
        set_parent(span, context);
    }
}

fn is_exporting() -> bool {
    TRACED.load(Ordering::Relaxed)
}

fn is_traced(span: &tracing::Span) -> bool {
    is_exporting() && !span.is_disabled()
}

/// The trace context of an incident.
///
/// The ids are a hash of the incident's, so that every replica and every later observation finds the
/// same ones without remembering them. The parent that they name is the incident itself, which is no span.
fn context_of_incident(incident: &str) -> Option<Context> {
    let hash = bonesetter_keys::content_hash(incident.as_bytes());
    let incident = SpanContext::new(
        TraceId::from_hex(&hash[..32]).ok()?,
        SpanId::from_hex(&hash[32..48]).ok()?,
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    Some(Context::new().with_remote_span_context(incident))
}

/// The trace context that a header holds: an invalid one where it cannot be read.
fn context_of(traceparent: &str) -> Context {
    TraceContextPropagator::new().extract(&OneHeader(traceparent))
}

fn set_parent(span: &tracing::Span, context: Context) {
    match span.set_parent(context) {
        // Where no spans are made, `inject` passes on what there is.
        Ok(()) | Err(SetParentError::LayerNotFound) => {}
        Err(error) => tracing::debug!(%error, "trace context was not continued"),
    }
}

/// What is done to a message, in the words of the OpenTelemetry semantic conventions for messaging
/// spans. The destination is the stream: a subject names an incident and would be a destination of
/// one message.
#[derive(Debug)]
pub(crate) struct Messaging<'a> {
    /// What is done: `send`, `process`, or one of the answers to the server.
    pub(crate) operation: &'static str,
    /// Which of the conventions' types that is.
    pub(crate) operation_type: &'static str,
    pub(crate) stream: &'static str,
    pub(crate) consumer: Option<&'static str>,
    pub(crate) message_id: Option<&'a str>,
    pub(crate) bus: &'a Bus,
}

impl Messaging<'_> {
    /// The name of the span.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.operation, self.stream)
    }

    /// Sets the attributes on the span alone: log lines say what is theirs in fewer words.
    pub(crate) fn describe(&self, span: &tracing::Span) {
        if !is_traced(span) {
            return;
        }
        span.set_attribute("messaging.system", "nats");
        span.set_attribute("messaging.operation.name", self.operation);
        span.set_attribute("messaging.operation.type", self.operation_type);
        span.set_attribute("messaging.destination.name", self.stream);
        if let Some(consumer) = self.consumer {
            span.set_attribute("messaging.consumer.group.name", consumer);
        }
        if let Some(id) = self.message_id {
            span.set_attribute("messaging.message.id", id.to_owned());
        }
        span.set_attribute("messaging.client.id", self.bus.client_id.clone());
        span.set_attribute("server.address", self.bus.server.host.clone());
        span.set_attribute("server.port", i64::from(self.bus.server.port));
    }
}

/// Sets the size of the message that a span is about.
pub(crate) fn set_body_size(span: &tracing::Span, bytes: usize) {
    if !is_traced(span) {
        return;
    }
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    span.set_attribute("messaging.message.body.size", bytes);
}

/// Marks a span as failed, with the reason as `error.type`.
pub(crate) fn fail(span: &tracing::Span, reason: &'static str) {
    span.set_status(Status::error(reason));
    span.set_attribute("error.type", reason);
}

/// Puts the span of a message that was delivered into the trace of its incident: under the span that
/// sent the message or, where no context that can be read came with it, by itself.
pub(crate) fn join_trace(span: &tracing::Span, traceparent: Option<&str>, subject: &str) {
    if !is_traced(span) {
        return;
    }
    if traceparent.is_some_and(|sender| continue_trace(span, sender)) {
        return;
    }
    // What the server tells of itself is about no incident.
    if let Ok(subject) = subject.parse::<Subject>() {
        begin_trace(span, subject.incident.as_str());
    }
}

/// Links the span to the one that sent the message, and makes it its child; one incident is one trace.
/// Says whether there was one.
fn continue_trace(span: &tracing::Span, traceparent: &str) -> bool {
    let context = context_of(traceparent);
    let sender = context.span().span_context().clone();
    if !sender.is_valid() {
        return false;
    }
    span.add_link(sender);
    set_parent(span, context);
    true
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tracing::Instrument as _;

    use super::*;

    const SENDER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    const INCIDENT: &str = "abcdefghijklmnopqrstuvwx23";

    /// The trace context that goes out with what is sent while a message is handled.
    fn handled(subscriber: impl tracing::Subscriber + Send + Sync, sender: Option<&str>) -> String {
        let subject = format!("bonesetter.v1.detected.test.shop.Deployment.{INCIDENT}.open");
        let mut headers = HeaderMap::new();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("process");
            join_trace(&span, sender, &subject);
            let sending = async { inject(&mut headers, INCIDENT) };
            let sending = hand_on(sender, sending).instrument(span);
            sending.now_or_never().unwrap();
        });
        let sent = headers.get(crate::bus::header::TRACEPARENT).unwrap();
        sent.as_str().to_owned()
    }

    #[test]
    fn what_comes_without_a_readable_context_is_in_the_trace_of_its_incident() {
        let hash = bonesetter_keys::content_hash(INCIDENT.as_bytes());
        let own = format!("00-{}-{}-01", &hash[..32], &hash[32..48]);
        for (sender, before) in [
            (Some(SENDER), SENDER),
            (None, own.as_str()),
            (Some("00-nonsense"), &own),
            (
                Some("00-00000000000000000000000000000000-0000000000000000-01"),
                &own,
            ),
        ] {
            let provider = SdkTracerProvider::builder().build();
            let subscriber = tracing_subscriber::registry().with(traces(provider.tracer("test")));
            let sent = handled(subscriber, sender);
            assert!(sent.starts_with(&before[..36]), "{sender:?}: {sent}");
            assert_ne!(sent, before, "it names the span that sends");

            let lines = tracing_subscriber::fmt::layer().with_filter(logged());
            let sent = handled(tracing_subscriber::registry().with(lines), sender);
            assert_eq!(sent, before, "no span comes between");
        }
    }

    #[test]
    fn a_log_makes_no_span_that_only_traces_show() {
        let log = filter(&TelemetrySettings::default()).unwrap().and(logged());
        let lines = tracing_subscriber::fmt::layer().with_filter(log);
        let quiet = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(quiet, || {
            assert!(tracing::info_span!(target: TRACES_ONLY, "send").is_disabled());
            assert!(!tracing::info_span!("process").is_disabled());
        });
    }

    #[test]
    fn a_quiet_log_does_not_break_a_trace() {
        let provider = SdkTracerProvider::builder().build();
        let settings = TelemetrySettings {
            log: "off".to_owned(),
            ..TelemetrySettings::default()
        };
        let lines =
            tracing_subscriber::fmt::layer().with_filter(filter(&settings).unwrap().and(logged()));
        let subscriber = tracing_subscriber::registry()
            .with(traces(provider.tracer("test")))
            .with(lines);
        let after = handled(subscriber, Some(SENDER));
        assert!(after.starts_with(&SENDER[..36]), "{after}");
        assert_ne!(after, SENDER);
    }
}
