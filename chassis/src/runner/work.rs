//! What is done with one delivery, by the shape of the handler.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bonesetter_keys::VerifyingKeys;
use bonesetter_proto::Event;

use super::input::{read_input, read_subject};
use crate::bus::{PublishError, Publisher, Pulled, Stored};
use crate::stage::{Delivery, Outcome, Sink, Stage};

/// Turns one delivery into an end that the broker can be told.
pub(super) trait Work: Send + Sync + 'static {
    /// See [`Stage::IS_REPEATABLE`].
    const IS_REPEATABLE: bool = false;
    /// See [`Stage::REASONS`].
    const REASONS: &'static [&'static str] = &[];

    fn work(&self, pulled: &Pulled) -> impl Future<Output = End> + Send;
}

/// How a delivery ended.
pub(super) enum End {
    Done {
        published: usize,
    },
    Retry {
        after: Duration,
        cause: anyhow::Error,
    },
    Dead {
        reason: &'static str,
        cause: anyhow::Error,
    },
    /// Shutting down: somebody else will do it.
    HandBack,
    /// The handler panicked.
    Panicked,
}

pub(super) struct StageWork<S: Stage> {
    pub(super) stage: S,
    pub(super) publisher: Publisher<S::Out>,
    pub(super) trusted: Arc<VerifyingKeys>,
    pub(super) stream: &'static str,
}

impl<S: Stage> Work for StageWork<S> {
    const IS_REPEATABLE: bool = S::IS_REPEATABLE;
    const REASONS: &'static [&'static str] = S::REASONS;

    async fn work(&self, pulled: &Pulled) -> End {
        let input = match read_input::<S::In>(pulled, self.stream, &self.trusted) {
            Ok(input) => input,
            Err(error) => {
                return End::Dead {
                    reason: error.reason(),
                    cause: error.into(),
                };
            }
        };
        let (outputs, guard) = match self.stage.handle(&input).await {
            Outcome::Done(outputs) => (outputs, None),
            Outcome::Guarded(outputs, guard) => (outputs, Some(guard)),
            Outcome::Retry { after, cause } => return End::Retry { after, cause },
            Outcome::Reject { reason, cause } => return End::Dead { reason, cause },
        };
        let published = outputs.len();
        for output in outputs {
            let subject = input.subject.at(S::Out::STAGE, output.step);
            match self
                .publisher
                .publish_past(guard.as_deref(), &subject, output.message, &pulled.subject)
                .await
            {
                Ok(Stored::Now(sequence)) => {
                    tracing::info!(published = %subject, sequence, "passed on");
                }
                Ok(Stored::Before(sequence)) => {
                    tracing::info!(published = %subject, sequence, "was passed on before");
                }
                Err(error) => return publish_end(error),
            }
        }
        End::Done { published }
    }
}

fn publish_end(error: PublishError) -> End {
    match error {
        PublishError::ShuttingDown { .. } => End::HandBack,
        PublishError::TooLarge { .. } => End::Dead {
            reason: "too-large",
            cause: error.into(),
        },
        PublishError::Foreign { .. } => End::Dead {
            reason: "foreign-output",
            cause: error.into(),
        },
        PublishError::HeldBack { .. } => End::Dead {
            reason: "held-back",
            cause: error.into(),
        },
        // Somebody must mend the installation; the message waits.
        PublishError::NotAllowed { .. } => End::Retry {
            after: Duration::from_secs(5),
            cause: error.into(),
        },
    }
}

pub(super) struct SinkWork<S> {
    pub(super) sink: S,
    pub(super) stream: &'static str,
}

impl<S: Sink> Work for SinkWork<S> {
    const REASONS: &'static [&'static str] = S::REASONS;

    async fn work(&self, pulled: &Pulled) -> End {
        let subject = match read_subject(pulled) {
            Ok(subject) => subject,
            Err(error) => {
                return End::Dead {
                    reason: error.reason(),
                    cause: error.into(),
                };
            }
        };
        let delivery = Delivery {
            subject,
            payload: pulled.payload.clone(),
            headers: pulled.headers.clone(),
            sequence: pulled.sequence,
            stream: self.stream,
            stored_at: pulled.stored_at,
            deliveries: pulled.deliveries,
        };
        match self.sink.handle(&delivery).await {
            Outcome::Done(outputs) | Outcome::Guarded(outputs, _) => End::Done {
                published: no_outputs(&outputs),
            },
            Outcome::Retry { after, cause } => End::Retry { after, cause },
            Outcome::Reject { reason, cause } => End::Dead { reason, cause },
        }
    }
}

const fn no_outputs(outputs: &[crate::stage::Output<Infallible>]) -> usize {
    outputs.len()
}
