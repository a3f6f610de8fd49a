//! What every service counts. Names and help texts are listed in `docs/metrics.md`.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The metrics of one process.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Those of a process about one cluster, which every series names: who scrapes two installations
    /// must not take one for the other.
    pub fn of(cluster: &str) -> Self {
        let label = (Cow::Borrowed("cluster"), Cow::Owned(cluster.to_owned()));
        let registry = Registry::with_labels(std::iter::once(label));
        Self {
            registry: Arc::new(Mutex::new(registry)),
        }
    }

    /// Adds metrics of the service's own.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        add(registry.sub_registry_with_prefix("bonesetter"));
    }

    /// Whether a process is ready; begins with 0.
    pub(crate) fn ready(&self, service: &'static str) -> Gauge {
        let ready: Family<ServiceLabel, Gauge> = Family::default();
        self.register(|registry| {
            registry.register(
                "ready",
                "Whether the process is ready: 1, or 0 while it waits for something",
                ready.clone(),
            );
        });
        ready.get_or_create_owned(&ServiceLabel { service })
    }

    /// The `OpenMetrics` text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabel {
    service: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ConsumerLabel {
    pub(crate) consumer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DeadLabel {
    pub(crate) consumer: &'static str,
    pub(crate) reason: &'static str,
}

/// What the runner counts, per durable consumer.
#[derive(Debug, Clone)]
pub(crate) struct RunnerMetrics {
    pub(crate) received: Family<ConsumerLabel, Counter>,
    pub(crate) published: Family<ConsumerLabel, Counter>,
    pub(crate) retried: Family<ConsumerLabel, Counter>,
    pub(crate) panicked: Family<ConsumerLabel, Counter>,
    pub(crate) dead: Family<DeadLabel, Counter>,
    pub(crate) unburied: Family<ConsumerLabel, Counter>,
    pub(crate) in_flight: Family<ConsumerLabel, Gauge>,
    pub(crate) pending: Family<ConsumerLabel, Gauge>,
    pub(crate) lag: Family<ConsumerLabel, Gauge>,
    pub(crate) seconds: Family<ConsumerLabel, Histogram>,
    pub(crate) age: Family<ConsumerLabel, Histogram>,
}

impl RunnerMetrics {
    /// Begins the series of a consumer at zero; what is there already stays. Those of gauges begin
    /// when their value is known.
    pub(crate) fn begin(&self, consumer: &'static str) {
        let label = ConsumerLabel { consumer };
        let counters = [
            &self.received,
            &self.published,
            &self.retried,
            &self.panicked,
        ];
        for counter in counters {
            drop(counter.get_or_create(&label));
        }
        drop(self.in_flight.get_or_create(&label));
        for histogram in [&self.seconds, &self.age] {
            drop(histogram.get_or_create(&label));
        }
    }

    /// The same for the dead letters about a consumer's messages.
    pub(crate) fn begin_dead(
        &self,
        consumer: &'static str,
        reasons: impl IntoIterator<Item = &'static str>,
    ) {
        for reason in reasons {
            drop(self.dead.get_or_create(&DeadLabel { consumer, reason }));
        }
    }

    /// The same for dead letters that cannot be stored.
    pub(crate) fn begin_unburied(&self, consumer: &'static str) {
        drop(self.unburied.get_or_create(&ConsumerLabel { consumer }));
    }

    pub(crate) fn new(metrics: &Metrics) -> Self {
        let this = Self {
            received: Family::default(),
            published: Family::default(),
            retried: Family::default(),
            panicked: Family::default(),
            dead: Family::default(),
            unburied: Family::default(),
            in_flight: Family::default(),
            pending: Family::default(),
            lag: Family::default(),
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 18))
            }),
            age: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 24))
            }),
        };
        metrics.register(|registry| {
            registry.register(
                "messages_received",
                "Deliveries taken",
                this.received.clone(),
            );
            registry.register(
                "messages_published",
                "Outputs stored",
                this.published.clone(),
            );
            registry.register(
                "messages_retried",
                "Deliveries given back",
                this.retried.clone(),
            );
            registry.register(
                "messages_panicked",
                "Deliveries whose handler panicked",
                this.panicked.clone(),
            );
            registry.register(
                "messages_dead",
                "Messages sent to the dead letters",
                this.dead.clone(),
            );
            registry.register(
                "dead_letters_not_stored",
                "Attempts to store a dead letter that failed",
                this.unburied.clone(),
            );
            registry.register(
                "messages_in_flight",
                "Deliveries being handled",
                this.in_flight.clone(),
            );
            registry.register(
                "messages_pending",
                "Messages not yet delivered",
                this.pending.clone(),
            );
            registry.register(
                "consumer_lag",
                "Messages that are not done: not yet delivered, or not acknowledged",
                this.lag.clone(),
            );
            registry.register(
                "handle_seconds",
                "Time to handle a delivery",
                this.seconds.clone(),
            );
            registry.register(
                "message_age_seconds",
                "Time between storing a message and first taking it",
                this.age.clone(),
            );
        });
        this
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_names_the_cluster_that_it_is_about() {
        let metrics = Metrics::of("prod");
        metrics.ready("svc-test").set(1);
        let text = metrics.encode().unwrap();
        let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = "bonesetter_ready{cluster=\"prod\",service=\"svc-test\"} 1";
        assert_eq!(series, [expected]);
    }
}
