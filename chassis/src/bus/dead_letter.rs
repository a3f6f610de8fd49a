use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use bonesetter_proto::v1::{DeadLetter, Envelope};
use bonesetter_proto::{Message as _, Stage, Subject, to_timestamp};
use prost::Message as _;

use super::publish::Producer;
use super::{Bus, Pulled};
use crate::clock::{Clock, rfc3339};
use crate::topology::ConsumerSpec;

/// Stands in the subject of a dead letter whose own subject cannot be read.
const UNKNOWN_INCIDENT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Writes references to messages that a stage could not handle.
///
/// A dead letter carries no message id and no expected sequence: its stream has many writers, and a
/// reference that is stored twice after a lost ack says the same thing twice.
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

    /// Stores a reference and waits until it is stored.
    pub(crate) async fn bury(
        &self,
        consumer: &ConsumerSpec,
        pulled: &Pulled,
        reason: &str,
        cause: &str,
    ) -> Result<(), async_nats::jetstream::context::PublishError> {
        let now = self.clock.now();
        let subject = self.subject(&pulled.subject).to_string();
        let letter = DeadLetter {
            envelope: Some(Envelope {
                subject: subject.clone(),
                message_id: format!(
                    "dlq/{}/{}/{}",
                    consumer.stream.name, pulled.sequence, consumer.name
                ),
                caused_by: pulled.subject.clone(),
                produced_at: Some(to_timestamp(now)),
                producer: self.producer.name.to_owned(),
                producer_version: self.producer.version.clone(),
            }),
            stream: consumer.stream.name.to_owned(),
            sequence: pulled.sequence,
            dead_subject: pulled.subject.clone(),
            consumer: consumer.name.to_owned(),
            stage: consumer.stream.stage.map_or("", Stage::as_str).to_owned(),
            reason: reason.to_owned(),
            cause: cause.chars().take(500).collect(),
            deliveries: u32::try_from(pulled.deliveries).unwrap_or(u32::MAX),
            traceparent: pulled
                .headers
                .get(super::header::TRACEPARENT)
                .cloned()
                .unwrap_or_default(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(super::header::TRACEPARENT, letter.traceparent.as_str());
        headers.insert("ce-specversion", "1.0");
        headers.insert("ce-type", DeadLetter::EVENT_TYPE);
        headers.insert("ce-time", rfc3339(now));
        let message = PublishMessage::build()
            .headers(headers)
            .payload(letter.encode_to_vec().into());
        self.bus
            .js
            .send_publish(subject, message)
            .await?
            .await
            .map(|_| ())
    }

    fn subject(&self, dead: &str) -> Subject {
        match dead.parse::<Subject>() {
            Ok(subject) => subject.at(Stage::Dlq, self.producer.name),
            Err(_) => unknown_subject(self.producer.name),
        }
    }
}

fn unknown_subject(writer: &str) -> Subject {
    #[expect(
        clippy::expect_used,
        reason = "the constant has the form of an id; a test reads it"
    )]
    let incident = bonesetter_proto::IncidentId::new(UNKNOWN_INCIDENT).expect("a valid id");
    Subject {
        stage: Stage::Dlq,
        cluster: String::new(),
        namespace: None,
        kind: String::new(),
        incident,
        step: writer.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_what_has_no_subject_of_ours_gets_a_dead_letter() {
        assert_eq!(
            unknown_subject("svc-llm").to_string(),
            "bonesetter.v1.dlq._._._.aaaaaaaaaaaaaaaaaaaaaaaaaa.svc-llm"
        );
    }
}
