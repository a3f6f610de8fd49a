//! One incident in, its sealed evidence out.

use std::time::Duration;

use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::stage::{Input, Outcome, Output, Stage};
use bonesetter_keys::SealingKeys;
use bonesetter_proto::Message as _;
use bonesetter_proto::v1::{Detected, Enriched};
use prost::Message as _;

use crate::collect::{CollectError, Collector};
use crate::metrics::EnricherMetrics;

const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Handles `open` and `reclassified-N`; an update or an end needs no new evidence.
#[derive(Debug)]
pub(crate) struct Enricher {
    pub(crate) collector: Collector,
    pub(crate) seal: SealingKeys,
    pub(crate) clock: Clock,
    pub(crate) metrics: EnricherMetrics,
}

impl Stage for Enricher {
    type In = Detected;
    type Out = Enriched;
    const IS_REPEATABLE: bool = true;
    const REASONS: &'static [&'static str] = &["no-object"];

    async fn handle(&self, input: &Input<Detected>) -> Outcome<Enriched> {
        if !needs_evidence(&input.subject.step) {
            return Outcome::Done(Vec::new());
        }
        let evidence = match self
            .collector
            .collect(&input.message, self.clock.now())
            .await
        {
            Ok(evidence) => evidence,
            Err(error @ CollectError::NoObject) => {
                return Outcome::Reject {
                    reason: "no-object",
                    cause: error.into(),
                };
            }
            Err(error @ CollectError::Kubernetes(_)) => {
                return Outcome::Retry {
                    after: RETRY_AFTER,
                    cause: error.into(),
                };
            }
        };
        self.metrics.count(&evidence);
        let step = input.subject.step.clone();
        let subject = input.subject.at(Enriched::STAGE, &step).to_string();
        let sealed = match self.seal.seal(&subject, &evidence.encode_to_vec()) {
            Ok(sealed) => sealed,
            Err(error) => {
                return Outcome::Retry {
                    after: RETRY_AFTER,
                    cause: error.into(),
                };
            }
        };
        let detected = &input.message;
        let message = Enriched {
            envelope: None,
            incident: detected.incident.clone(),
            failure_class: detected.failure_class,
            symptoms: detected.symptoms.clone(),
            evidence: Some(sealed),
        };
        Outcome::Done(vec![Output { step, message }])
    }
}

fn needs_evidence(step: &str) -> bool {
    step == "open" || step.starts_with("reclassified-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_or_another_failure_needs_evidence() {
        for step in ["open", "reclassified-1", "reclassified-12"] {
            assert!(needs_evidence(step), "{step}");
        }
        for step in ["update-3", "resolved", "opened", "reclassified"] {
            assert!(!needs_evidence(step), "{step}");
        }
    }
}
