//! What svc-enricher counts besides what the runner counts.

use bonesetter_chassis::metrics::Metrics;
use bonesetter_proto::v1::Evidence;
use bonesetter_proto::v1::evidence_item::Content;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prost::Message as _;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Source {
    source: String,
}

/// Where a note can come from.
const SOURCES: [&str; 7] = [
    "budget",
    "changes",
    "events",
    "kubernetes",
    "log",
    "loki",
    "nodes",
];

/// Counters of collected evidence.
#[derive(Debug, Clone)]
pub struct EnricherMetrics {
    bytes: Histogram,
    notes: Family<Source, Counter>,
}

impl EnricherMetrics {
    /// Adds them to those of the process.
    pub fn new(metrics: &Metrics) -> Self {
        let this = Self {
            bytes: Histogram::new(exponential_buckets(1024.0, 2.0, 10)),
            notes: Family::default(),
        };
        for source in SOURCES.map(str::to_owned) {
            drop(this.notes.get_or_create(&Source { source }));
        }
        metrics.register(|registry| {
            registry.register(
                "evidence_bytes",
                "Size of evidence before it is sealed",
                this.bytes.clone(),
            );
            registry.register(
                "evidence_notes",
                "Things that could not be collected, by source",
                this.notes.clone(),
            );
        });
        this
    }

    /// Counts one piece of evidence.
    pub(crate) fn count(&self, evidence: &Evidence) {
        let bytes = u32::try_from(evidence.encoded_len()).unwrap_or(u32::MAX);
        self.bytes.observe(f64::from(bytes));
        for item in &evidence.items {
            if let Some(Content::Note(note)) = &item.content {
                let source = note.source.split('/').next().unwrap_or_default().to_owned();
                self.notes.get_or_create(&Source { source }).inc();
            }
        }
    }
}
