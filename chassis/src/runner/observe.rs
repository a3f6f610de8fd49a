//! What is counted of a delivery, and its span.

use async_nats::header::NATS_MESSAGE_ID;
use tracing::Instrument as _;

use super::Runner;
use crate::bus::{Pulled, header};
use crate::metrics::ConsumerLabel;
use crate::telemetry::{Messaging, TRACES_ONLY, join_trace, set_body_size};

impl Runner {
    pub(super) fn received(&self, pulled: &Pulled) -> ConsumerLabel {
        let label = ConsumerLabel {
            consumer: pulled.consumer,
        };
        self.metrics.received.get_or_create(&label).inc();
        self.metrics.in_flight.get_or_create(&label).inc();
        let pending = i64::try_from(pulled.pending).unwrap_or(i64::MAX);
        self.metrics.pending.get_or_create(&label).set(pending);
        if let Ok(age) = self.clock.now().duration_since(pulled.stored_at) {
            let age = age.as_secs_f64();
            self.metrics.age.get_or_create(&label).observe(age);
        }
        label
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
    pub(super) async fn settle<T>(
        &self,
        pulled: &Pulled,
        operation: &'static str,
        answer: impl Future<Output = T>,
    ) -> T {
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
        answer.instrument(span).await
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
