//! Second layer of the dead letters: what no worker has buried.
//!
//! A worker that dies or hangs over a message every time never says that it gives up; the server
//! counts, stops delivering, and says so once, in an advisory. Where no dead letter is found for such
//! a message, one is written, by reference: nothing of the message is needed. Advisories are sent at
//! most once, so this layer is not complete either; an incident that does not get on is found by the
//! third, which looks at incidents and not at messages.

use std::time::Duration;

use anyhow::Context as _;
use bonesetter_proto::v1::{DeadLetter, Redrive};
use bonesetter_proto::{Stage, from_timestamp};
use prost::Message as _;
use serde::Deserialize;

use super::{End, Work};
use crate::bus::{
    BuryError, Bus, Dead, DeadLetters, Pulled, ReadError, StreamReader, header, may_be_same,
};
use crate::metrics::{DeadLabel, RunnerMetrics};
use crate::topology::{CONSUMERS, ConsumerSpec, DLQ, REDRIVE, consumers};

const RETRY: Duration = Duration::from_secs(5);

/// A message was ended, and nobody says where its dead letter is.
const ENDED: &str = "ended";
/// A message was delivered as often as it may be, and never answered.
const UNANSWERED: &str = "unanswered";

/// Begins what is said of a message whose dead letter could not be stored.
const NO_LETTER: &str = "no dead letter: ";
/// Of what is said of it, in characters; of the reason, in bytes.
const MAX_CAUSE: usize = 500;
const MAX_REASON: usize = 40;

/// What the server says of a message that it will not deliver again.
/// Source: nats-server, `JSConsumerDeliveryExceededAdvisory` and `JSConsumerDeliveryTerminatedAdvisory`.
#[derive(Debug, Deserialize)]
struct Advisory {
    stream: String,
    consumer: String,
    stream_seq: u64,
    #[serde(default)]
    deliveries: u64,
    /// Set when somebody ended the message, to what they said.
    #[serde(default)]
    reason: Option<String>,
    #[serde(rename = "type")]
    kind: String,
}

impl Advisory {
    /// Who may acknowledge can have the server send one about any number: it takes what is said in the subject
    /// of an ack, and minus one where that is no number.
    fn read(payload: &[u8]) -> anyhow::Result<Self> {
        let advisory: Self =
            serde_json::from_slice(payload).context("this is no advisory about a message")?;
        anyhow::ensure!(
            (1..u64::MAX).contains(&advisory.stream_seq),
            "no message can have the sequence {} that this advisory is about; a client of {} has acknowledged \
             what it was not sent",
            advisory.stream_seq,
            advisory.consumer
        );
        Ok(advisory)
    }

    /// Why the message is dead: the reason of ours, by which it is counted, the one that is told, and words.
    fn why(&self) -> (&'static str, &str, String) {
        if !self.kind.ends_with(".terminated") {
            let cause = format!(
                "it was delivered {} times, at last without an answer: the process died or hung over it",
                self.deliveries
            );
            return (UNANSWERED, UNANSWERED, cause);
        }
        let said = self.reason.as_deref().and_then(unburied_in);
        let (reason, cause) = said.unwrap_or((ENDED, "it was ended without a dead letter"));
        (ENDED, reason, cause.to_owned())
    }
}

/// Says in the end of a message where its dead letter is.
pub(super) fn epitaph(letter: u64, reason: &str) -> String {
    format!("dead letter {letter}: {reason}")
}

/// What [`epitaph`] wrote.
fn letter_in(reason: &str) -> Option<u64> {
    let rest = reason.strip_prefix("dead letter ")?;
    rest.split_once(':')?.0.parse().ok()
}

/// Says in the end of a message why it has no dead letter, which could not be stored.
pub(super) fn unburied(reason: &str, cause: &str) -> String {
    let cause: String = cause.chars().take(MAX_CAUSE).collect();
    format!("{NO_LETTER}{reason}: {cause}")
}

/// What [`unburied`] wrote: reason and cause. Who may acknowledge can have written anything.
fn unburied_in(said: &str) -> Option<(&str, &str)> {
    let (reason, cause) = said.strip_prefix(NO_LETTER)?.split_once(": ")?;
    let is_word = |b: u8| b.is_ascii_lowercase() || b == b'-';
    let is_reason = (1..=MAX_REASON).contains(&reason.len()) && reason.bytes().all(is_word);
    is_reason.then_some((reason, cause))
}

pub(super) struct AdvisoryWork {
    pub(super) bus: Bus,
    pub(super) letters: DeadLetters,
    pub(super) metrics: RunnerMetrics,
    /// Who works; decides which streams can be read.
    pub(super) user: &'static str,
}

/// The message and the consumer that an advisory is about.
struct About {
    dead: Dead,
    consumer: &'static str,
    /// Dead letters up to here are about an earlier time.
    after: u64,
}

impl Work for AdvisoryWork {
    async fn work(&self, pulled: &Pulled) -> End {
        let advisory = match Advisory::read(&pulled.payload) {
            Ok(advisory) => advisory,
            Err(cause) => {
                return End::Dead {
                    reason: "undecodable",
                    cause,
                };
            }
        };
        match self.see_to(&advisory).await {
            Ok(()) => End::Done { published: 0 },
            Err(cause) => End::Retry {
                after: RETRY,
                cause: cause.into(),
            },
        }
    }
}

impl AdvisoryWork {
    /// Begins the series of what it may have to bury for others.
    pub(super) fn begin(&self) {
        for consumer in CONSUMERS {
            self.metrics.begin_dead(consumer.name, [ENDED, UNANSWERED]);
        }
    }

    async fn see_to(&self, advisory: &Advisory) -> Result<(), BuryError> {
        let is_meant = |consumer: &&ConsumerSpec| {
            consumer.name == advisory.consumer && consumer.stream.name == advisory.stream
        };
        let Some(spec) = consumers().find(is_meant) else {
            tracing::debug!(
                stream = advisory.stream,
                consumer = advisory.consumer,
                "an advisory about a consumer that is not ours"
            );
            return Ok(());
        };
        let about = self.about(spec, advisory).await?;
        if self.is_buried(&about, advisory).await? {
            return Ok(());
        }
        // As it is counted, as the letter has it, and why.
        let (counted, reason, cause) = advisory.why();
        let About {
            dead,
            consumer,
            after,
        } = about;
        if let Some(letter) = self.letters.bury_once(&dead, reason, &cause, after).await? {
            tracing::error!(
                reason,
                consumer,
                stream = dead.stream,
                sequence = dead.sequence,
                letter,
                "wrote a dead letter for what no worker buried"
            );
            let label = DeadLabel {
                consumer,
                reason: counted,
            };
            self.metrics.dead.get_or_create(&label).inc();
        }
        Ok(())
    }

    /// A request to handle a message again stands for that message.
    async fn about(
        &self,
        spec: &'static ConsumerSpec,
        advisory: &Advisory,
    ) -> Result<About, ReadError> {
        let itself = self.reference(spec, advisory.stream_seq, advisory).await?;
        if spec.stream != REDRIVE {
            return Ok(About {
                dead: itself,
                consumer: spec.name,
                after: 0,
            });
        }
        let reader = StreamReader::new(self.bus.clone(), REDRIVE.name);
        let request = reader.at(advisory.stream_seq).await?;
        let request = request.and_then(|stored| Redrive::decode(stored.payload).ok());
        let original = request.and_then(|request| {
            let is_meant = |consumer: &&ConsumerSpec| {
                Some(consumer.name) == spec.step
                    && consumer.name == request.consumer
                    && consumer.stream.name == request.stream
            };
            Some((CONSUMERS.iter().find(is_meant)?, request))
        });
        let Some((original, request)) = original else {
            return Ok(About {
                dead: itself,
                consumer: spec.name,
                after: 0,
            });
        };
        let dead = self.reference(original, request.sequence, advisory).await?;
        let asked_for = request.stored_at.as_ref().and_then(from_timestamp);
        // Another message may stand there since.
        let subject = if may_be_same(dead.stored_at, asked_for) {
            dead.subject
        } else {
            String::new()
        };
        Ok(About {
            dead: Dead {
                subject,
                caused_by: itself.subject,
                stored_at: asked_for.or(dead.stored_at),
                ..dead
            },
            consumer: original.name,
            after: request.letter,
        })
    }

    /// The reference to a message, with what can be known of it: it is read where it may be read.
    async fn reference(
        &self,
        spec: &ConsumerSpec,
        sequence: u64,
        advisory: &Advisory,
    ) -> Result<Dead, ReadError> {
        let stream = spec.stream;
        let may_read = |consumer: &ConsumerSpec| {
            consumer.user == self.user && (consumer.stream == stream || stream == REDRIVE)
        };
        let stored = if CONSUMERS.iter().any(may_read) {
            let reader = StreamReader::new(self.bus.clone(), stream.name);
            reader.at(sequence).await?
        } else {
            None
        };
        let stored_at = stored.as_ref().map(|stored| stored.stored_at);
        let (subject, traceparent) = stored.map_or_else(Default::default, |stored| {
            let traceparent = stored.header(header::TRACEPARENT).unwrap_or_default();
            (stored.subject.clone(), traceparent.to_owned())
        });
        Ok(Dead {
            stream: stream.name.to_owned(),
            sequence,
            consumer: spec.name.to_owned(),
            stored_at,
            stage: stream.stage.map_or("", Stage::as_str),
            caused_by: subject.clone(),
            subject,
            deliveries: advisory.deliveries,
            traceparent,
        })
    }

    /// Whether the worker that ended the message has named its dead letter. What it says is checked.
    async fn is_buried(&self, about: &About, advisory: &Advisory) -> Result<bool, ReadError> {
        let Some(letter) = advisory.reason.as_deref().and_then(letter_in) else {
            return Ok(false);
        };
        let reader = StreamReader::new(self.bus.clone(), DLQ.name);
        let stored = reader.at(letter).await?;
        let letter = stored.and_then(|stored| DeadLetter::decode(stored.payload).ok());
        Ok(letter.is_some_and(|letter| about.dead.is_in(&letter)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_names_its_dead_letter() {
        assert_eq!(letter_in(&epitaph(17, "undecodable")), Some(17));
        for other in ["", "dead letter", "dead letter x: y", "17: y"] {
            assert_eq!(letter_in(other), None, "{other}");
        }
    }

    #[test]
    fn an_end_without_a_dead_letter_says_what_would_stand_there() {
        let said = unburied("forged", "signature: no key");
        assert_eq!(unburied_in(&said), Some(("forged", "signature: no key")));
        assert_eq!(letter_in(&said), None);
        let long = unburied("forged", &"x".repeat(9999));
        assert_eq!(unburied_in(&long).unwrap().1.len(), MAX_CAUSE);
        for other in [
            "",
            "no dead letter: ",
            "no dead letter: For ged: x",
            "forged: x",
        ] {
            assert_eq!(unburied_in(other), None, "{other}");
        }
    }
}
