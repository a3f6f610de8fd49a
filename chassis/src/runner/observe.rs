//! What is counted of a delivery, and its span.

use async_nats::header::NATS_MESSAGE_ID;
use prometheus_client::metrics::gauge::Gauge;
use tracing::Instrument as _;
use tracing::instrument::Instrumented;

use super::Runner;
use crate::bus::{Pulled, header};
use crate::metrics::{ConsumerLabel, RunnerMetrics};
use crate::telemetry::{Messaging, TRACES_ONLY, join_trace, set_body_size};

/// One delivery that is being handled, whatever becomes of that.
pub(super) struct InFlight(Gauge);

impl InFlight {
    fn begin(metrics: &RunnerMetrics, label: &ConsumerLabel) -> Self {
        let gauge = metrics.in_flight.get_or_create_owned(label);
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Runner {
    /// Counts a delivery, which is in flight until what is returned is dropped.
    pub(super) fn received(&self, pulled: &Pulled) -> (ConsumerLabel, InFlight) {
        let label = ConsumerLabel {
            consumer: pulled.consumer,
        };
        self.metrics.received.get_or_create(&label).inc();
        let in_flight = InFlight::begin(&self.metrics, &label);
        // How long something is tried again is not how long it waits.
        if pulled.deliveries == 1
            && let Ok(age) = self.clock.now().duration_since(pulled.stored_at)
        {
            let age = age.as_secs_f64();
            self.metrics.age.get_or_create(&label).observe(age);
        }
        (label, in_flight)
    }

    /// The span is linked to the one that sent the message, and is its child, so that an incident is
    /// one trace.
    pub(super) fn span(&self, pulled: &Pulled) -> tracing::Span {
        let messaging = self.messaging(pulled, "process", "process");
        let span = tracing::info_span!(
            "process",
            otel.name = messaging.name(),
            otel.kind = "consumer",
            consumer = pulled.consumer,
            subject = %pulled.subject,
            delivery = pulled.deliveries,
        );
        messaging.describe(&span);
        set_body_size(&span, pulled.payload.len());
        let sender = pulled.headers.get(header::TRACEPARENT);
        join_trace(&span, sender.map(String::as_str), &pulled.subject);
        span
    }

    /// Gives the server its answer about a delivery, under a span of that; `operation` is the word of
    /// the protocol.
    pub(super) fn settle<F: Future>(
        &self,
        pulled: &Pulled,
        operation: &'static str,
        answer: F,
    ) -> Instrumented<F> {
        let messaging = self.messaging(pulled, operation, "settle");
        let span = tracing::info_span!(
            target: TRACES_ONLY,
            "settle",
            otel.name = messaging.name(),
            otel.kind = "client",
            consumer = pulled.consumer,
            subject = %pulled.subject,
        );
        messaging.describe(&span);
        answer.instrument(span)
    }

    fn messaging<'a>(
        &'a self,
        pulled: &'a Pulled,
        operation: &'static str,
        operation_type: &'static str,
    ) -> Messaging<'a> {
        let id = pulled.headers.get(NATS_MESSAGE_ID.as_ref() as &str);
        Messaging {
            operation,
            operation_type,
            stream: self.spec.stream.name,
            consumer: Some(pulled.consumer),
            message_id: id.map(String::as_str),
            bus: &self.bus,
        }
    }
}
