use async_nats::HeaderMap;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bonesetter_proto::v1::{Envelope, Redrive, RedriveAction};
use bonesetter_proto::{Message as _, Stage, Subject, to_timestamp};
use prost::Message as _;

use super::{Bus, header};
use crate::clock::{Clock, rfc3339};
use crate::telemetry::inject;
use crate::topology::DROPPED;

/// Who decides, by the name of the user on the bus.
const DECIDER: &str = "redriver";

/// Under which subjects the expected last message is looked for.
/// Source: nats-server, `JSExpectedLastSubjSeqSubj`.
const EXPECTED_LAST_OF: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// Why a decision about a dead letter was not stored, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The user may not decide.
    #[error(
        "not allowed to decide about dead letters: {0}; this takes the nkey of the user \"redriver\""
    )]
    NotAllowed(String),
    /// Something was decided about the incident since it was looked at.
    #[error(
        "somebody else has decided about this incident meanwhile; look again with `bonesetter dlq list`"
    )]
    Overtaken,
    /// The server refused it, or did not answer in time, and it may be stored nevertheless.
    #[error(
        "the decision was not confirmed: {0}; look whether it is there with `bonesetter dlq show`"
    )]
    Publish(PublishError),
}

/// The subject under which it stands what is to become of a message about an incident.
pub fn decision_subject(about: &Subject, action: RedriveAction, consumer: &str) -> Subject {
    let step = match action {
        RedriveAction::Handle => consumer,
        RedriveAction::Drop | RedriveAction::Unspecified => DROPPED,
    };
    about.at(Stage::Redrive, step)
}

impl Bus {
    /// Stores what a person has decided about a dead letter and returns its place in the stream of
    /// decisions. `last` is the place of the newest decision about the same incident, 0 where there is
    /// none: nobody decides without having seen what others have, whether to handle a message or to leave it.
    pub async fn decide(
        &self,
        clock: &Clock,
        subject: &Subject,
        mut decision: Redrive,
        last: u64,
    ) -> Result<u64, DecideError> {
        let now = clock.now();
        let name = subject.to_string();
        let envelope = decision.envelope.take().unwrap_or_default();
        decision.envelope = Some(Envelope {
            subject: name.clone(),
            message_id: format!(
                "redrive/{}/{}/{}/{}",
                decision.stream, decision.sequence, decision.consumer, decision.letter
            ),
            produced_at: Some(to_timestamp(now)),
            producer: DECIDER.to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..envelope
        });
        let mut headers = HeaderMap::new();
        inject(&mut headers, subject.incident.as_str());
        headers.insert(header::SCHEMA, "1");
        headers.insert("ce-specversion", "1.0");
        headers.insert("ce-type", Redrive::EVENT_TYPE);
        headers.insert("ce-time", rfc3339(now));
        headers.insert("ce-datacontenttype", "application/protobuf");
        // Without a message id: the same may be decided again after it was handled and died again.
        let about = Stage::Redrive.incident_filter(&subject.incident);
        headers.insert(EXPECTED_LAST_OF, about);
        let message = PublishMessage::build()
            .headers(headers)
            .expected_last_subject_sequence(last)
            .payload(decision.encode_to_vec().into());
        let stored = async { self.js.send_publish(name.clone(), message).await?.await };
        stored.await.map(|ack| ack.sequence).map_err(|error| {
            if let Some(refusal) = self.violations.take(&name) {
                return DecideError::NotAllowed(refusal);
            }
            match error.kind() {
                PublishErrorKind::WrongLastSequence => DecideError::Overtaken,
                _ => DecideError::Publish(error),
            }
        })
    }
}
