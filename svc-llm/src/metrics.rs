//! What svc-llm counts.

use std::time::Duration;

use bonesetter_chassis::metrics::Metrics;
use bonesetter_proto::v1::Diagnosis;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiagnosisLabels {
    diagnoser: String,
    cause: String,
    degraded: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiagnoserLabel {
    diagnoser: String,
}

/// Diagnoses, tokens and time.
#[derive(Debug, Clone)]
pub struct LlmMetrics {
    diagnoses: Family<DiagnosisLabels, Counter>,
    tokens: Family<DiagnoserLabel, Counter>,
    seconds: Family<DiagnoserLabel, Histogram>,
}

impl LlmMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Self {
        let this = Self {
            diagnoses: Family::default(),
            tokens: Family::default(),
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 18))
            }),
        };
        metrics.register(|registry| {
            registry.register(
                "diagnoses",
                "Diagnoses, by who answered, cause, and why it was not the configured diagnoser",
                this.diagnoses.clone(),
            );
            registry.register(
                "llm_tokens",
                "Tokens used, prompt and answer",
                this.tokens.clone(),
            );
            registry.register("diagnose_seconds", "Time to diagnose", this.seconds.clone());
        });
        this
    }

    pub(crate) fn count(&self, diagnosis: &Diagnosis, took: Duration) {
        let diagnoser = DiagnoserLabel {
            diagnoser: diagnosis.diagnoser.clone(),
        };
        self.diagnoses
            .get_or_create(&DiagnosisLabels {
                diagnoser: diagnosis.diagnoser.clone(),
                cause: diagnosis.cause.clone(),
                degraded: diagnosis.degraded_reason.clone(),
            })
            .inc();
        self.tokens
            .get_or_create(&diagnoser)
            .inc_by(diagnosis.tokens);
        self.seconds
            .get_or_create(&diagnoser)
            .observe(took.as_secs_f64());
    }
}
