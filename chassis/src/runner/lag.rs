//! How far consumers are behind, for people and scalers.

use std::time::Duration;

use super::Runner;
use crate::metrics::ConsumerLabel;
use crate::topology::ConsumerSpec;

/// How often the server is asked.
const EVERY: Duration = Duration::from_secs(10);

impl Runner {
    /// Keeps the lag of the consumers up to date also while nothing is delivered: what a scaler goes by
    /// must not stand still because nobody takes messages.
    pub(super) async fn watch_lag(&self, specs: &[ConsumerSpec]) {
        loop {
            for spec in specs {
                self.measure_lag(spec).await;
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    /// What is not known is not exported: the last value known would hide that.
    async fn measure_lag(&self, spec: &ConsumerSpec) {
        let label = ConsumerLabel {
            consumer: spec.name,
        };
        let (lag, pending) = (&self.metrics.lag, &self.metrics.pending);
        match self.bus.consumer_state(spec).await {
            Ok(state) => {
                for (gauge, count) in [(lag, state.lag()), (pending, state.pending)] {
                    let count = i64::try_from(count).unwrap_or(i64::MAX);
                    gauge.get_or_create(&label).set(count);
                }
            }
            Err(error) => {
                for gauge in [lag, pending] {
                    gauge.remove(&label);
                }
                tracing::debug!(%error, "the lag is not known");
            }
        }
    }
}
