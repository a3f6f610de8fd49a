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

/// What an attempt can come to.
const OUTCOMES: [&str; 3] = ["delivered", "refused", "again"];

/// Attempts to deliver.
#[derive(Debug, Clone)]
pub struct NotifierMetrics {
    attempts: Family<Attempts, Counter>,
}

impl NotifierMetrics {
    /// Registers them; those of the channels begin at zero.
    pub fn new(metrics: &Metrics, channels: impl IntoIterator<Item = &'static str>) -> Self {
        let this = Self {
            attempts: Family::default(),
        };
        for channel in channels {
            for outcome in OUTCOMES {
                drop(this.attempts.get_or_create(&Attempts { channel, outcome }));
            }
        }
        metrics.register(|registry| {
            registry.register(
                "notifier_attempts",
                "Attempts to deliver a notice, by channel and outcome",
                this.attempts.clone(),
            );
        });
        this
    }

    /// `outcome` is one of [`OUTCOMES`].
    pub(crate) fn count(&self, channel: &'static str, outcome: &'static str) {
        self.attempts
            .get_or_create(&Attempts { channel, outcome })
            .inc();
    }
}
