//! What the streams know of an incident, in the order in which it happened.

use std::time::SystemTime;

use bonesetter_chassis::bus::{Bus, ReadError, StoredMessage, StreamReader};
use bonesetter_chassis::topology::{
    ADVISORY, DIAGNOSED_JSON, DLQ, ENRICHED, REDRIVE, STREAMS, StreamSpec,
};
use bonesetter_proto::v1::{
    Acted, Archived, Detected, Diagnosed, Notified, Overdue, Redacted, SecurityEvent,
};
use bonesetter_proto::{IncidentId, Stage, Subject};

/// One stored message, decoded.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where it was published.
    pub subject: Subject,
    /// When the server stored it.
    pub at: SystemTime,
    /// Its stream and place there.
    pub stream: &'static str,
    /// See `stream`.
    pub sequence: u64,
    /// What it says.
    pub body: Body,
}

/// The content of a step.
#[derive(Debug, Clone)]
pub enum Body {
    /// svc-watcher saw it.
    Detected(Box<Detected>),
    /// svc-redactor let it pass.
    Redacted(Box<Redacted>),
    /// svc-llm concluded.
    Diagnosed(Box<Diagnosed>),
    /// svc-actuator decided or did.
    Acted(Box<Acted>),
    /// svc-notifier told somebody.
    Notified(Box<Notified>),
    /// The sweeper missed something.
    Overdue(Box<Overdue>),
    /// Something happened at the trust boundary.
    Security(Box<SecurityEvent>),
    /// svc-audit archived.
    Archived(Box<Archived>),
    /// Not a message that this version can read.
    Unreadable,
}

impl Step {
    /// Decodes a stored message; `None` when its subject is not one of an incident.
    pub fn read(stream: &'static str, stored: &StoredMessage) -> Option<Self> {
        let subject: Subject = stored.subject.parse().ok()?;
        let body = Body::decode(subject.stage, &stored.payload)?;
        Some(Self {
            subject,
            at: stored.stored_at,
            stream,
            sequence: stored.sequence,
            body,
        })
    }
}

impl Body {
    /// Decodes the payload of a stage; `None` for stages that are not shown.
    pub fn decode(stage: Stage, payload: &[u8]) -> Option<Self> {
        fn boxed<M: prost::Message + Default>(payload: &[u8], make: fn(Box<M>) -> Body) -> Body {
            M::decode(payload).map_or(Body::Unreadable, |message| make(Box::new(message)))
        }
        Some(match stage {
            Stage::Detected => boxed(payload, Self::Detected),
            Stage::Redacted => boxed(payload, Self::Redacted),
            Stage::Diagnosed => boxed(payload, Self::Diagnosed),
            Stage::Acted => boxed(payload, Self::Acted),
            Stage::Notified => boxed(payload, Self::Notified),
            Stage::Audit => boxed(payload, Self::Archived),
            Stage::Overdue => boxed(payload, Self::Overdue),
            Stage::Security => boxed(payload, Self::Security),
            Stage::Enriched
            | Stage::Approval
            | Stage::Dlq
            | Stage::Redrive
            | Stage::DiagnosedJson => return None,
        })
    }
}

/// The streams that an operator reads of an incident, in pipeline order. What is a twin says nothing
/// new.
pub fn readable_streams() -> impl Iterator<Item = &'static StreamSpec> {
    STREAMS
        .iter()
        .filter(|stream| ![ENRICHED, DLQ, REDRIVE, ADVISORY, DIAGNOSED_JSON].contains(stream))
}

/// Everything that is stored about one incident, oldest first.
pub async fn incident(bus: &Bus, id: &IncidentId) -> Result<Vec<Step>, ReadError> {
    let mut steps = Vec::new();
    for stream in readable_streams() {
        let Some(stage) = stream.stage else { continue };
        let reader = StreamReader::new(bus.clone(), stream.name);
        for stored in reader.all(&stage.incident_filter(id)).await? {
            steps.extend(Step::read(stream.name, &stored));
        }
    }
    steps.sort_by_key(|step| (step.at, step.subject.stage));
    Ok(steps)
}

/// Follows the streams by asking for what is new. Unlike a subscription it misses nothing while the
/// connection is away, and needs no permission but that to get messages.
#[derive(Debug)]
pub struct Follower {
    streams: Vec<(&'static StreamSpec, StreamReader, u64)>,
    /// Read before a stream could not be; told by the next call that can read all.
    found: Vec<Step>,
}

impl Follower {
    /// Follows from the first message that the streams still hold.
    pub fn from_start(bus: &Bus) -> Self {
        let streams = readable_streams()
            .map(|stream| (stream, StreamReader::new(bus.clone(), stream.name), 1))
            .collect();
        Self {
            streams,
            found: Vec::new(),
        }
    }

    /// Follows from now on.
    pub async fn from_now(bus: &Bus) -> Result<Self, ReadError> {
        let mut follower = Self::from_start(bus);
        for (stream, reader, next) in &mut follower.streams {
            let last = reader.last(&stream.filter()).await?;
            *next = last.map_or(1, |last| last.sequence + 1);
        }
        Ok(follower)
    }

    /// What was stored since the last call, oldest first.
    pub async fn poll(&mut self) -> Result<Vec<Step>, ReadError> {
        for (stream, reader, next) in &mut self.streams {
            while let Some(stored) = reader.next(&stream.filter(), *next).await? {
                *next = stored.sequence + 1;
                self.found.extend(Step::read(stream.name, &stored));
            }
        }
        let mut steps = std::mem::take(&mut self.found);
        steps.sort_by_key(|step| (step.at, step.subject.stage));
        Ok(steps)
    }
}
