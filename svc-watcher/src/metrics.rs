//! Names and help texts.

use bonesetter_chassis::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::facts::Kind;

/// The kinds of steps.
const STEPS: [&str; 4] = ["open", "update", "reclassified", "resolved"];

/// The kind of a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StepLabel {
    pub(crate) step: &'static str,
}

impl StepLabel {
    /// By the kind of a step: `update` of `update-3`.
    pub(crate) fn of(step: &str) -> Self {
        let kind = step.split('-').next();
        let known = STEPS.into_iter().find(|known| kind == Some(known));
        Self {
            step: known.unwrap_or("open"),
        }
    }
}

/// A kind of Kubernetes objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabel {
    pub(crate) kind: &'static str,
}

/// What svc-watcher counts.
#[derive(Debug, Clone, Default)]
pub struct WatcherMetrics {
    pub(crate) objects: Gauge,
    pub(crate) open: Gauge,
    pub(crate) steps: Family<StepLabel, Counter>,
    pub(crate) undecodable: Family<KindLabel, Counter>,
    pub(crate) refused: Gauge,
    pub(crate) failed_rounds: Counter,
    pub(crate) shards: Gauge,
    pub(crate) shards_held: Gauge,
    pub(crate) takeovers: Counter,
}

impl WatcherMetrics {
    /// Registers it; what is known beforehand begins at zero.
    pub fn new(metrics: &Metrics) -> Self {
        let this = Self::default();
        for step in STEPS {
            drop(this.steps.get_or_create(&StepLabel { step }));
        }
        for kind in Kind::ALL {
            let kind = kind.as_str();
            drop(this.undecodable.get_or_create(&KindLabel { kind }));
        }
        metrics.register(|registry| {
            registry.register(
                "watcher_objects",
                "Kubernetes objects known",
                this.objects.clone(),
            );
            registry.register(
                "watcher_incidents_open",
                "Incidents that are open",
                this.open.clone(),
            );
            registry.register(
                "watcher_steps",
                "Steps of incidents published",
                this.steps.clone(),
            );
            registry.register(
                "watcher_undecodable",
                "Kubernetes objects that could not be decoded",
                this.undecodable.clone(),
            );
            registry.register(
                "watcher_refused_lists",
                "Lists that the API server does not let us have",
                this.refused.clone(),
            );
            registry.register(
                "watcher_failed_rounds",
                "Rounds in which the bus could not be used",
                this.failed_rounds.clone(),
            );
            registry.register(
                "watcher_shards",
                "Shards that there are",
                this.shards.clone(),
            );
            registry.register(
                "watcher_shards_held",
                "Shards that this replica holds",
                this.shards_held.clone(),
            );
            registry.register(
                "watcher_takeovers",
                "Shards taken from a replica that did not give them back",
                this.takeovers.clone(),
            );
        });
        this
    }
}
