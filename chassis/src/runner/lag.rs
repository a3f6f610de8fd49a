//! How far the consumer is behind, for people and scalers.

use std::time::Duration;

use super::Runner;
use crate::metrics::ConsumerLabel;

/// How often the server is asked.
const EVERY: Duration = Duration::from_secs(10);

impl Runner {
    /// Keeps the lag of the consumer up to date also while nothing is delivered: what a scaler goes by
    /// must not stand still because nobody takes messages.
    pub(super) async fn watch_lag(&self) {
        let label = ConsumerLabel {
            consumer: self.spec.name,
        };
        loop {
            match self.bus.consumer_state(&self.spec).await {
                Ok(state) => {
                    let lag = i64::try_from(state.lag()).unwrap_or(i64::MAX);
                    self.metrics.lag.get_or_create(&label).set(lag);
                }
                Err(error) => tracing::debug!(%error, "the lag is not known"),
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = self.shutdown.cancelled() => return,
            }
        }
    }
}
