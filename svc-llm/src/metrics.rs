//! What svc-llm counts.

use std::time::Duration;

use bonesetter_chassis::metrics::Metrics;
use bonesetter_proto::v1::Diagnosis;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::diagnoser::DiagnoseError;
use crate::rules::CAUSES;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiagnosisLabels {
    diagnoser: String,
    cause: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DegradedLabel {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiagnoserLabel {
    diagnoser: String,
}

/// Diagnoses, tokens and time.
#[derive(Debug, Clone)]
pub struct LlmMetrics {
    diagnoses: Family<DiagnosisLabels, Counter>,
    degraded: Family<DegradedLabel, Counter>,
    tokens: Family<DiagnoserLabel, Counter>,
    seconds: Family<DiagnoserLabel, Histogram>,
}

impl LlmMetrics {
    /// Registers them, for those who may answer.
    pub fn new(metrics: &Metrics, diagnosers: &[&str]) -> Self {
        let this = Self {
            diagnoses: Family::default(),
            degraded: Family::default(),
            tokens: Family::default(),
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 18))
            }),
        };
        this.begin(diagnosers);
        metrics.register(|registry| {
            registry.register(
                "diagnoses",
                "Diagnoses, by who answered and cause",
                this.diagnoses.clone(),
            );
            registry.register(
                "diagnoses_degraded",
                "Diagnoses by the rules where a model was to be asked, by why it gave none",
                this.degraded.clone(),
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

    /// Begins the series of every answer that is known beforehand.
    fn begin(&self, diagnosers: &[&str]) {
        for diagnoser in diagnosers.iter().map(|name| (*name).to_owned()) {
            for cause in CAUSES.iter().map(|name| (*name).to_owned()) {
                let diagnoser = diagnoser.clone();
                let label = DiagnosisLabels { diagnoser, cause };
                drop(self.diagnoses.get_or_create(&label));
            }
            let label = DiagnoserLabel { diagnoser };
            drop(self.tokens.get_or_create(&label));
            drop(self.seconds.get_or_create(&label));
        }
        for reason in DiagnoseError::REASONS.iter().map(|name| (*name).to_owned()) {
            drop(self.degraded.get_or_create(&DegradedLabel { reason }));
        }
    }

    pub(crate) fn count(&self, diagnosis: &Diagnosis, took: Duration) {
        let diagnoser = DiagnoserLabel {
            diagnoser: diagnosis.diagnoser.clone(),
        };
        self.diagnoses
            .get_or_create(&DiagnosisLabels {
                diagnoser: diagnosis.diagnoser.clone(),
                cause: diagnosis.cause.clone(),
            })
            .inc();
        if !diagnosis.degraded_reason.is_empty() {
            let reason = diagnosis.degraded_reason.clone();
            self.degraded.get_or_create(&DegradedLabel { reason }).inc();
        }
        self.tokens
            .get_or_create(&diagnoser)
            .inc_by(diagnosis.tokens);
        self.seconds
            .get_or_create(&diagnoser)
            .observe(took.as_secs_f64());
    }
}
