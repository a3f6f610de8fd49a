//! What svc-redactor counts besides what the runner counts.

use bonesetter_chassis::metrics::Metrics;
use bonesetter_proto::v1::Removal;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::removals::INJECTION;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: String,
}

/// Counters of what was taken out.
#[derive(Debug, Clone)]
pub struct RedactorMetrics {
    removals: Family<Kind, Counter>,
}

impl RedactorMetrics {
    /// Adds them to those of the process; the kinds are those of placeholders.
    pub fn new<'a>(metrics: &Metrics, kinds: impl IntoIterator<Item = &'a str>) -> Self {
        let this = Self {
            removals: Family::default(),
        };
        for kind in kinds.into_iter().chain([INJECTION]) {
            let kind = kind.to_owned();
            drop(this.removals.get_or_create(&Kind { kind }));
        }
        metrics.register(|registry| {
            registry.register(
                "removals",
                "Values taken out of evidence, by kind",
                this.removals.clone(),
            );
        });
        this
    }

    /// Counts the removals of one message.
    pub(crate) fn count(&self, removals: &[Removal]) {
        for removal in removals {
            let kind = Kind {
                kind: removal.kind.clone(),
            };
            self.removals
                .get_or_create(&kind)
                .inc_by(u64::from(removal.count));
        }
    }
}
