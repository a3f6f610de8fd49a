//! What the streams hold of one incident, message by message.

use std::time::SystemTime;

use bonesetter_chassis::bus::{Bus, ReadError, StoredMessage, StreamReader};
use bonesetter_chassis::topology::{DLQ, REDRIVE, StreamSpec};
use bonesetter_keys::{Verified, VerifyError, VerifyingKeys};
use bonesetter_proto::v1::{
    Acted, Archived, DeadLetter, Detected, Diagnosed, Enriched, Envelope, Incident, Notified,
    Overdue, Redacted, Redrive, SecurityEvent,
};
use bonesetter_proto::{IncidentId, Stage, Subject, from_timestamp};
use prost::Message as _;

use crate::timeline::{Body, Step, readable_streams};

/// One stored message with everything that can be said of it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) subject: Subject,
    pub(crate) stored: StoredMessage,
    pub(crate) stream: &'static StreamSpec,
    pub(crate) content: Content,
    pub(crate) signature: SignatureState,
}

/// What a message says.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Step(Step),
    Dead(Box<DeadLetter>),
    Decided(Box<Redrive>),
}

/// Where a message is. Dead letters of one writer, and decisions for one consumer, have one subject within an
/// incident, and are several messages.
pub(crate) type Place = (&'static str, u64);

/// What is known of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignatureState {
    /// Messages of this stage trigger nothing and are not signed.
    NotSigned,
    /// There is one; the public keys to check it with were not given.
    Unchecked { key_id: String },
    /// The writer of the stage has signed exactly this under this subject.
    Valid { key_id: String },
    /// There should be one.
    Missing,
    /// There is one, and it proves nothing.
    Invalid(VerifyError),
}

/// Everything that is stored of one incident, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) id: IncidentId,
    pub(crate) entries: Vec<Entry>,
}

impl Record {
    /// Reads it. Without public keys, signatures are not checked.
    pub(crate) async fn load(
        bus: &Bus,
        id: &IncidentId,
        trusted: Option<&VerifyingKeys>,
    ) -> Result<Self, ReadError> {
        let mut entries = Vec::new();
        for stream in readable_streams().chain([&DLQ, &REDRIVE]) {
            let Some(stage) = stream.stage else { continue };
            let reader = StreamReader::new(bus.clone(), stream.name);
            for stored in reader.all(&stage.incident_filter(id)).await? {
                entries.extend(Entry::read(stream, stored, trusted));
            }
        }
        entries.sort_by_key(|entry| (entry.stored.stored_at, entry.subject.stage));
        Ok(Self {
            id: id.clone(),
            entries,
        })
    }

    /// What caused a message: of several under the subject that it names, the last that was there.
    pub(crate) fn cause_of(&self, effect: &Entry) -> Option<&Entry> {
        let named = |entry: &&Entry| entry.stored.subject == effect.caused_by();
        let was_there = |entry: &&Entry| entry.stored.stored_at <= effect.stored.stored_at;
        let mut named = self.entries.iter().filter(named);
        let first = named.next()?;
        named.take_while(was_there).last().or(Some(first))
    }

    /// The first message that is stored under a subject.
    pub(crate) fn find(&self, subject: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.stored.subject == subject)
    }

    /// What the incident is about, from whatever message still says it.
    pub(crate) fn incident(&self) -> Option<&Incident> {
        self.entries.iter().find_map(Entry::incident)
    }

    /// The messages of a stage, oldest first.
    pub(crate) fn of(&self, stage: Stage) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.subject.stage == stage)
    }
}

impl Entry {
    /// `None` when the subject is not one of an incident.
    pub(crate) fn read(
        stream: &'static StreamSpec,
        stored: StoredMessage,
        trusted: Option<&VerifyingKeys>,
    ) -> Option<Self> {
        let subject: Subject = stored.subject.parse().ok()?;
        let payload = stored.payload.clone();
        let content = match subject.stage {
            Stage::Dlq => Content::Dead(Box::new(DeadLetter::decode(payload).ok()?)),
            Stage::Redrive => Content::Decided(Box::new(Redrive::decode(payload).ok()?)),
            _ => Content::Step(Step::read(stream.name, &stored)?),
        };
        let signature = check(&content, &stored, trusted);
        Some(Self {
            subject,
            stored,
            stream,
            content,
            signature,
        })
    }

    /// See [`Place`].
    pub(crate) const fn place(&self) -> Place {
        (self.stream.name, self.stored.sequence)
    }

    /// What a step says; `None` for a dead letter and what was decided about one.
    pub(crate) const fn body(&self) -> Option<&Body> {
        match &self.content {
            Content::Step(step) => Some(&step.body),
            Content::Dead(_) | Content::Decided(_) => None,
        }
    }

    /// The envelope; absent only in what this version cannot read.
    pub(crate) fn envelope(&self) -> Option<&Envelope> {
        let step = match &self.content {
            Content::Step(step) => step,
            Content::Dead(letter) => return letter.envelope.as_ref(),
            Content::Decided(decision) => return decision.envelope.as_ref(),
        };
        step.body.envelope()
    }

    fn incident(&self) -> Option<&Incident> {
        self.body()?.incident()
    }

    /// The subject of what caused it; empty at the source.
    pub(crate) fn caused_by(&self) -> &str {
        self.envelope()
            .map_or("", |envelope| envelope.caused_by.as_str())
    }

    /// When its writer made it; when it was stored, where the writer did not say.
    pub(crate) fn produced_at(&self) -> SystemTime {
        self.envelope()
            .and_then(|envelope| from_timestamp(envelope.produced_at.as_ref()?))
            .unwrap_or(self.stored.stored_at)
    }
}

/// The message, if its signature holds.
pub(crate) fn verified<M: bonesetter_proto::Message>(
    stored: &StoredMessage,
    trusted: &VerifyingKeys,
) -> Option<Verified<M>> {
    let signature = stored.signature()?;
    trusted
        .verify(&stored.subject, &stored.payload, &signature)
        .ok()
}

fn check(
    content: &Content,
    stored: &StoredMessage,
    trusted: Option<&VerifyingKeys>,
) -> SignatureState {
    fn of<M: bonesetter_proto::Message>(
        stored: &StoredMessage,
        trusted: Option<&VerifyingKeys>,
    ) -> SignatureState {
        if M::SIGNED_BY.is_none() {
            return SignatureState::NotSigned;
        }
        let Some(signature) = stored.signature() else {
            return SignatureState::Missing;
        };
        let Some(trusted) = trusted else {
            return SignatureState::Unchecked {
                key_id: signature.key_id,
            };
        };
        match trusted.verify::<M>(&stored.subject, &stored.payload, &signature) {
            Ok(_) => SignatureState::Valid {
                key_id: signature.key_id,
            },
            Err(error) => SignatureState::Invalid(error),
        }
    }
    let Content::Step(step) = content else {
        return SignatureState::NotSigned;
    };
    match step.subject.stage {
        Stage::Detected => of::<Detected>(stored, trusted),
        Stage::Enriched => of::<Enriched>(stored, trusted),
        Stage::Redacted => of::<Redacted>(stored, trusted),
        Stage::Diagnosed => of::<Diagnosed>(stored, trusted),
        Stage::Acted => of::<Acted>(stored, trusted),
        Stage::Notified => of::<Notified>(stored, trusted),
        Stage::Audit => of::<Archived>(stored, trusted),
        Stage::Overdue => of::<Overdue>(stored, trusted),
        Stage::Security => of::<SecurityEvent>(stored, trusted),
        // Of no stage whose steps are read here.
        Stage::Approval | Stage::Dlq | Stage::Redrive | Stage::DiagnosedJson => {
            SignatureState::NotSigned
        }
    }
}
