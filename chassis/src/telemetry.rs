//! Logs on standard error (JSON unless it is a terminal) and traces over OTLP.

use std::io::IsTerminal as _;
use std::time::Duration;

use async_nats::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::SdkTracerProvider;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::TelemetrySettings;
use crate::http::{self, HttpError, HttpOptions};

const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("telemetry.log: {0}; for example \"info\" or \"info,svc_llm=debug\"")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The exporter does not start.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Nor does its client.
    #[error("telemetry.otlp_endpoint: {0}")]
    Client(#[from] HttpError),
}

/// Ends telemetry when it is dropped, after what is buffered has been sent.
#[derive(Debug)]
pub struct Telemetry(SdkTracerProvider);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(EXPORT_TIMEOUT) {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

/// Starts logs and traces for this process. Without an endpoint trace context is still made and passed on.
pub fn init(
    service: &'static str,
    settings: &TelemetrySettings,
) -> Result<Telemetry, TelemetryError> {
    let mut builder = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build());
    if let Some(endpoint) = &settings.otlp_endpoint {
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
        builder = builder.with_span_processor(BatchSpanProcessor::builder(exporter, Tokio).build());
    }
    let provider = builder.build();
    let filter = EnvFilter::builder().parse(&settings.log)?;
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer(service));
    let registry = tracing_subscriber::registry().with(filter).with(traces);
    let result = if std::io::stderr().is_terminal() {
        registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_target(false),
            )
            .try_init()
    } else {
        registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false)
                    .with_writer(std::io::stderr),
            )
            .try_init()
    };
    if let Err(error) = result {
        tracing::debug!(%error, "telemetry was started before by the same process");
    }
    Ok(Telemetry(provider))
}

struct HeaderInjector<'a>(&'a mut HeaderMap);

impl Injector for HeaderInjector<'_> {
    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key, value);
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

/// Writes the trace context of the current span into the headers of a message.
pub(crate) fn inject(headers: &mut HeaderMap) {
    let context = tracing::Span::current().context();
    TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(headers));
}

/// Makes the span a child of the one that published the message; one incident is one trace.
pub(crate) fn continue_trace(span: &tracing::Span, traceparent: &str) {
    let context = TraceContextPropagator::new().extract(&OneHeader(traceparent));
    if let Err(error) = span.set_parent(context) {
        tracing::debug!(%error, "trace context was not continued");
    }
}
