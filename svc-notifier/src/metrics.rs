//! What svc-notifier counts.

use bonesetter_chassis::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempts {
    channel: &'static str,
    outcome: &'static str,
}

/// Attempts to deliver.
#[derive(Debug, Clone)]
pub(crate) struct NotifierMetrics {
    attempts: Family<Attempts, Counter>,
}

impl NotifierMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let this = Self {
            attempts: Family::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "notifier_attempts",
                "Attempts to deliver a notice, by channel and outcome",
                this.attempts.clone(),
            );
        });
        this
    }

    /// `outcome` is `delivered`, `refused` or `again`.
    pub(crate) fn count(&self, channel: &'static str, outcome: &'static str) {
        self.attempts
            .get_or_create(&Attempts { channel, outcome })
            .inc();
    }
}
