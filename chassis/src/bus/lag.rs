use async_nats::jetstream::consumer::pull;

use super::Bus;
use crate::topology::ConsumerSpec;

/// How far a durable consumer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConsumerState {
    /// Messages not yet delivered.
    pub pending: u64,
    /// Deliveries that are not acknowledged.
    pub ack_pending: u64,
    /// Place in the stream up to which everything was delivered.
    pub delivered: u64,
    /// Place in the stream up to which everything is acknowledged. A consumer with a filter only
    /// moves on with what fits it: when it [`is_idle`](Self::is_idle), it has had more.
    pub acknowledged: u64,
}

impl ConsumerState {
    /// What scalers go by: messages that are not done.
    pub const fn lag(&self) -> u64 {
        self.pending + self.ack_pending
    }

    /// Whether it has had everything.
    pub const fn is_idle(&self) -> bool {
        self.lag() == 0
    }
}

/// Why it is not known how far a consumer is.
#[derive(Debug, thiserror::Error)]
#[error("cannot ask how far consumer {consumer} of {stream} is: {reason}")]
pub struct LagError {
    consumer: &'static str,
    stream: &'static str,
    reason: String,
}

impl Bus {
    /// Asks the server how far a durable consumer is.
    pub async fn consumer_state(&self, spec: &ConsumerSpec) -> Result<ConsumerState, LagError> {
        let (consumer, stream) = (spec.name, spec.stream.name);
        let asked = self
            .js
            .get_consumer_from_stream::<pull::Config, _, _>(consumer, stream)
            .await;
        let info = asked.map_err(|error| {
            let subject = format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}");
            LagError {
                consumer,
                stream,
                reason: self
                    .violations
                    .take(&subject)
                    .unwrap_or_else(|| error.to_string()),
            }
        })?;
        let info = info.cached_info();
        Ok(ConsumerState {
            pending: info.num_pending,
            ack_pending: u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX),
            delivered: info.delivered.stream_sequence,
            acknowledged: info.ack_floor.stream_sequence,
        })
    }
}
