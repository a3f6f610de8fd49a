//! Redacted evidence in, a diagnosis out.

use std::time::Instant;

use anyhow::anyhow;
use bonesetter_chassis::stage::{Input, Outcome, Output, Stage};
use bonesetter_proto::v1::{Diagnosed, Redacted as Message};
use bonesetter_redact::Redacted;

use crate::case::Case;
use crate::metrics::LlmMetrics;
use crate::offline::conclude;
use crate::provider::Diagnosers;

/// Diagnoses every redacted message and publishes under the same step.
#[derive(Debug)]
pub struct Diagnose {
    diagnosers: Diagnosers,
    metrics: LlmMetrics,
}

impl Diagnose {
    /// A stage with these diagnosers.
    pub const fn new(diagnosers: Diagnosers, metrics: LlmMetrics) -> Self {
        Self {
            diagnosers,
            metrics,
        }
    }

    /// The diagnosis of one message; `None` if it holds no evidence.
    async fn diagnose(&self, message: &Redacted<Message>) -> Option<Diagnosed> {
        let case = Case::of_message(message)?;
        let started = Instant::now();
        let mut diagnosis = self.diagnosers.diagnose(&case).await;
        diagnosis.latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.metrics.count(&diagnosis, started.elapsed());
        let mut diagnosed = conclude(&case, diagnosis);
        diagnosed.incident.clone_from(&message.get().incident);
        Some(diagnosed)
    }
}

impl Stage for Diagnose {
    type In = Message;
    type Out = Diagnosed;
    const REASONS: &'static [&'static str] = &["unsigned", "no-evidence"];

    async fn handle(&self, input: &Input<Message>) -> Outcome<Diagnosed> {
        let Some(verified) = input.message.verified().cloned() else {
            let cause = anyhow!("evidence without a verified signature reached the stage");
            return Outcome::Reject {
                reason: "unsigned",
                cause,
            };
        };
        let message = Redacted::from_verified(verified);
        match self.diagnose(&message).await {
            Some(message) => Outcome::Done(vec![Output {
                step: input.subject.step.clone(),
                message,
            }]),
            None => Outcome::Reject {
                reason: "no-evidence",
                cause: anyhow!("the message holds no evidence to diagnose"),
            },
        }
    }
}
