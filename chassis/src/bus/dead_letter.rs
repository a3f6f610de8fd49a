use std::time::SystemTime;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use bonesetter_keys::{base32, content_hash};
use bonesetter_proto::v1::{DeadLetter, Envelope};
use bonesetter_proto::{IncidentId, Message as _, Stage, Subject, from_timestamp, to_timestamp};
use prost::Message as _;

use super::publish::Producer;
use super::{Bus, Pulled, ReadError, StreamReader};
use crate::clock::{Clock, rfc3339};
use crate::topology::{ConsumerSpec, DLQ, STREAMS};

/// Stands in the subject of a dead letter whose own subject cannot be read.
const UNKNOWN_INCIDENT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
const MAX_CAUSE: usize = 500;

/// A message that a consumer could not handle, as far as its dead letter says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dead {
    /// Where it is.
    pub(crate) stream: String,
    pub(crate) sequence: u64,
    /// Who could not handle it.
    pub(crate) consumer: String,
    /// When it was stored; `None` where it may not be read.
    pub(crate) stored_at: Option<SystemTime>,
    /// Of the message; empty for what is no stage's.
    pub(crate) stage: &'static str,
    /// Of the message; empty where that cannot be known.
    pub(crate) subject: String,
    /// The subject of what led to the letter: the message itself, or the request to handle it again.
    pub(crate) caused_by: String,
    pub(crate) deliveries: u64,
    pub(crate) traceparent: String,
}

impl Dead {
    /// What was delivered.
    pub(crate) fn of(consumer: &ConsumerSpec, pulled: &Pulled) -> Self {
        Self {
            stream: consumer.stream.name.to_owned(),
            sequence: pulled.sequence,
            consumer: consumer.name.to_owned(),
            stored_at: Some(pulled.stored_at),
            stage: consumer.stream.stage.map_or("", Stage::as_str),
            subject: pulled.subject.clone(),
            caused_by: pulled.subject.clone(),
            deliveries: pulled.deliveries,
            traceparent: pulled
                .headers
                .get(super::header::TRACEPARENT)
                .cloned()
                .unwrap_or_default(),
        }
    }

    fn id(&self) -> String {
        format!("dlq/{}/{}/{}", self.stream, self.sequence, self.consumer)
    }

    /// Whether a letter is about the same message and consumer.
    pub(crate) fn is_in(&self, letter: &DeadLetter) -> bool {
        letter.stream == self.stream
            && letter.sequence == self.sequence
            && letter.consumer == self.consumer
            && may_be_same(
                self.stored_at,
                letter.stored_at.as_ref().and_then(from_timestamp),
            )
    }

    /// Whether a letter from so long ago is about a message that is gone: a place is given to another message
    /// when a stream is made anew.
    fn is_after(&self, written_at: SystemTime, now: SystemTime) -> bool {
        let stream = STREAMS.iter().find(|stream| stream.name == self.stream);
        let gone = stream.and_then(|stream| written_at.checked_add(stream.max_age));
        self.stored_at.is_none() && gone.is_some_and(|gone| gone < now)
    }
}

/// Whether what was stored at the same place may be the same message, as far as the times are known.
pub fn may_be_same(one: Option<SystemTime>, other: Option<SystemTime>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// Why a dead letter was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuryError {
    #[error("the dead letter was not stored: {0}")]
    Publish(#[from] async_nats::jetstream::context::PublishError),
    #[error("the dead letters cannot be searched: {0}")]
    Search(#[from] ReadError),
    #[error("another dead letter was stored under the same subject at the same time")]
    Overtaken,
}

/// Writes references to messages that a stage could not handle.
///
/// A dead letter carries no message id: its stream has many writers, and who may write to it could
/// suppress another's by its id. A worker's is written without looking, and a reference that is
/// stored twice after a lost ack says the same thing twice.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    bus: Bus,
    clock: Clock,
    producer: Producer,
}

impl DeadLetters {
    pub(crate) fn new(bus: Bus, clock: Clock, producer: Producer) -> Self {
        Self {
            bus,
            clock,
            producer,
        }
    }

    /// Stores a reference and waits until it is stored; returns its place in the dead letters.
    pub(crate) async fn bury(
        &self,
        dead: &Dead,
        reason: &str,
        cause: &str,
    ) -> Result<u64, BuryError> {
        self.store(dead, self.subject(dead), reason, cause, None)
            .await
    }

    /// Stores a reference unless a letter after `after` refers to the same message and consumer,
    /// whoever wrote it. Returns its place, or `None` when there was one. Takes the permission to read
    /// the dead letters.
    pub(crate) async fn bury_once(
        &self,
        dead: &Dead,
        reason: &str,
        cause: &str,
        after: u64,
    ) -> Result<Option<u64>, BuryError> {
        let reader = StreamReader::new(self.bus.clone(), DLQ.name);
        let subject = match dead.subject.parse::<Subject>() {
            Ok(_) => self.subject(dead),
            // Others that are as unknown must not stand under the same subject.
            Err(_) => named_by(&dead.id()).at(Stage::Dlq, self.producer.name),
        };
        let last = reader.last(&subject.to_string()).await?;
        let last = last.map_or(0, |letter| letter.sequence);
        let mut from = after.saturating_add(1);
        // Its writer may have known the incident when we do not.
        let filter = match dead.subject.parse::<Subject>() {
            Ok(subject) => Stage::Dlq.incident_filter(&subject.incident),
            Err(_) => Stage::Dlq.filter(),
        };
        while let Some(stored) = reader.next(&filter, from).await? {
            from = stored.sequence + 1;
            let letter = DeadLetter::decode(stored.payload);
            let is_past = dead.is_after(stored.stored_at, self.clock.now());
            if !is_past && letter.is_ok_and(|letter| dead.is_in(&letter)) {
                return Ok(None);
            }
        }
        match self.store(dead, subject, reason, cause, Some(last)).await {
            Ok(sequence) => Ok(Some(sequence)),
            Err(BuryError::Publish(error))
                if error.kind() == PublishErrorKind::WrongLastSequence =>
            {
                Err(BuryError::Overtaken)
            }
            Err(error) => Err(error),
        }
    }

    async fn store(
        &self,
        dead: &Dead,
        subject: Subject,
        reason: &str,
        cause: &str,
        last: Option<u64>,
    ) -> Result<u64, BuryError> {
        let now = self.clock.now();
        let subject = subject.to_string();
        let letter = DeadLetter {
            envelope: Some(Envelope {
                subject: subject.clone(),
                message_id: dead.id(),
                caused_by: dead.caused_by.clone(),
                produced_at: Some(to_timestamp(now)),
                producer: self.producer.name.to_owned(),
                producer_version: self.producer.version.clone(),
            }),
            stream: dead.stream.clone(),
            sequence: dead.sequence,
            dead_subject: dead.subject.clone(),
            consumer: dead.consumer.clone(),
            stage: dead.stage.to_owned(),
            reason: reason.to_owned(),
            cause: cause.chars().take(MAX_CAUSE).collect(),
            deliveries: u32::try_from(dead.deliveries).unwrap_or(u32::MAX),
            traceparent: dead.traceparent.clone(),
            stored_at: dead.stored_at.map(to_timestamp),
        };
        let mut headers = HeaderMap::new();
        headers.insert(super::header::TRACEPARENT, letter.traceparent.as_str());
        headers.insert("ce-specversion", "1.0");
        headers.insert("ce-type", DeadLetter::EVENT_TYPE);
        headers.insert("ce-time", rfc3339(now));
        let mut message = PublishMessage::build()
            .headers(headers)
            .payload(letter.encode_to_vec().into());
        if let Some(last) = last {
            message = message.expected_last_subject_sequence(last);
        }
        let ack = self.bus.js.send_publish(subject, message).await?.await?;
        Ok(ack.sequence)
    }

    fn subject(&self, dead: &Dead) -> Subject {
        let known = [&dead.subject, &dead.caused_by];
        let known = known.into_iter().find_map(|subject| subject.parse().ok());
        known
            .unwrap_or_else(unknown_subject)
            .at(Stage::Dlq, self.producer.name)
    }
}

/// A subject that stands for something whose own cannot be known.
fn named_by(id: &str) -> Subject {
    let hash = content_hash(id.as_bytes());
    let id = base32(hash.as_bytes(), IncidentId::LENGTH);
    IncidentId::new(id).map_or_else(|_| unknown_subject(), without_place)
}

fn unknown_subject() -> Subject {
    #[expect(
        clippy::expect_used,
        reason = "the constant has the form of an id; a test reads it"
    )]
    let incident = IncidentId::new(UNKNOWN_INCIDENT).expect("a valid id");
    without_place(incident)
}

fn without_place(incident: IncidentId) -> Subject {
    Subject {
        stage: Stage::Dlq,
        cluster: String::new(),
        namespace: None,
        kind: String::new(),
        incident,
        step: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn even_what_has_no_subject_of_ours_gets_a_dead_letter() {
        assert_eq!(
            unknown_subject().at(Stage::Dlq, "svc-llm").to_string(),
            "bonesetter.v1.dlq._._._.aaaaaaaaaaaaaaaaaaaaaaaaaa.svc-llm"
        );
    }

    #[test]
    fn a_message_of_a_stream_that_was_made_anew_is_another() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let dead = |stored_at: Option<u64>| Dead {
            stream: "BONESETTER_ENRICHED".to_owned(),
            sequence: 7,
            consumer: "redactor".to_owned(),
            stored_at: stored_at.map(at),
            ..Dead::default()
        };
        let letter = |stored_at: Option<u64>| DeadLetter {
            stream: "BONESETTER_ENRICHED".to_owned(),
            sequence: 7,
            consumer: "redactor".to_owned(),
            stored_at: stored_at.map(at).map(to_timestamp),
            ..DeadLetter::default()
        };
        for (ours, theirs, expected) in [
            (Some(5), Some(5), true),
            (Some(5), Some(6), false),
            (None, Some(6), true),
            (Some(5), None, true),
        ] {
            assert_eq!(dead(ours).is_in(&letter(theirs)), expected);
        }
        // Raw messages are kept for two days.
        let day = 24 * 60 * 60;
        for (ours, now, expected) in [
            (None, 2 * day + 1, true),
            (None, 2 * day, false),
            (Some(5), 9 * day, false),
        ] {
            assert_eq!(dead(ours).is_after(at(0), at(now)), expected, "{now}");
        }
    }

    #[test]
    fn what_is_named_by_its_place_alone_is_not_taken_for_another() {
        let one = named_by("dlq/S/1/c").incident;
        assert_ne!(one.as_str(), UNKNOWN_INCIDENT);
        assert_eq!(one, named_by("dlq/S/1/c").incident);
        assert_ne!(one, named_by("dlq/S/11/c").incident);
    }
}
