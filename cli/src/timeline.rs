//! What the streams know of an incident, in the order in which it happened.

use std::time::SystemTime;

use bonesetter_chassis::bus::{Bus, Extent, ReadError, StoredMessage, StreamReader};
use bonesetter_chassis::topology::{
    ADVISORY, DIAGNOSED_JSON, DLQ, ENRICHED, REDRIVE, STREAMS, StreamSpec,
};
use bonesetter_proto::v1::{
    Acted, Archived, Detected, Diagnosed, Envelope, FailureClass, Incident, Notified, Overdue,
    Redacted, SecurityEvent,
};
use bonesetter_proto::{IncidentId, Message as _, Stage, Subject};

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

    /// Who wrote it, when and why; `None` for what this version cannot read.
    pub fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Detected(message) => message.envelope(),
            Self::Redacted(message) => message.envelope(),
            Self::Diagnosed(message) => message.envelope(),
            Self::Acted(message) => message.envelope(),
            Self::Notified(message) => message.envelope(),
            Self::Overdue(message) => message.envelope(),
            Self::Security(message) => message.envelope(),
            Self::Archived(message) => message.envelope(),
            Self::Unreadable => None,
        }
    }

    /// What it is about, likewise.
    pub fn incident(&self) -> Option<&Incident> {
        match self {
            Self::Detected(message) => message.incident(),
            Self::Redacted(message) => message.incident(),
            Self::Diagnosed(message) => message.incident(),
            Self::Acted(message) => message.incident(),
            Self::Notified(message) => message.incident(),
            Self::Overdue(message) => message.incident(),
            Self::Security(message) => message.incident(),
            Self::Archived(message) => message.incident(),
            Self::Unreadable => None,
        }
    }

    /// The class of the failure at that time, where the stage says it.
    pub fn failure_class(&self) -> Option<FailureClass> {
        match self {
            Self::Detected(message) => Some(message.failure_class()),
            Self::Redacted(message) => Some(message.failure_class()),
            Self::Diagnosed(message) => Some(message.failure_class()),
            Self::Acted(message) => Some(message.failure_class()),
            Self::Notified(message) => Some(message.failure_class()),
            Self::Overdue(message) => Some(message.failure_class()),
            Self::Security(_) | Self::Archived(_) | Self::Unreadable => None,
        }
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

/// What is new.
#[derive(Debug, Default)]
pub struct News {
    /// What was stored, oldest first.
    pub steps: Vec<Step>,
    /// Streams that were made anew since they were looked at; all that they hold is new.
    pub made_anew: Vec<&'static str>,
}

/// Follows the streams by asking for what is new. Unlike a subscription it misses nothing while the
/// connection is away, and needs no permission but those to ask about streams and to get messages.
#[derive(Debug)]
pub struct Follower {
    streams: Vec<Followed>,
    /// Read before a stream could not be; told by the next call that can read all.
    news: News,
}

impl Follower {
    /// Follows from the first message that the streams still hold.
    pub fn from_start(bus: &Bus) -> Self {
        Self {
            streams: readable_streams()
                .map(|stream| Followed::from_start(bus, stream))
                .collect(),
            news: News::default(),
        }
    }

    /// Follows from now on.
    pub async fn from_now(bus: &Bus) -> Result<Self, ReadError> {
        let mut follower = Self::from_start(bus);
        for followed in &mut follower.streams {
            let extent = followed.reader.extent().await?;
            followed.next = extent.last + 1;
            followed.created = Some(extent.created);
        }
        Ok(follower)
    }

    /// What has come since the last call.
    pub async fn poll(&mut self) -> Result<News, ReadError> {
        for followed in &mut self.streams {
            followed.read_on(&mut self.news).await?;
        }
        let mut news = std::mem::take(&mut self.news);
        news.steps.sort_by_key(|step| (step.at, step.subject.stage));
        Ok(news)
    }
}

/// How far one stream was read.
#[derive(Debug)]
struct Followed {
    stream: &'static StreamSpec,
    reader: StreamReader,
    /// The place of the next message.
    next: u64,
    /// When the stream was made; `None` before it was looked at.
    created: Option<SystemTime>,
}

impl Followed {
    fn from_start(bus: &Bus, stream: &'static StreamSpec) -> Self {
        Self {
            stream,
            reader: StreamReader::new(bus.clone(), stream.name),
            next: 1,
            created: None,
        }
    }

    async fn read_on(&mut self, news: &mut News) -> Result<(), ReadError> {
        let extent = self.reader.extent().await?;
        if self.is_another(&extent) {
            self.next = 1;
            news.made_anew.push(self.stream.name);
        }
        self.created = Some(extent.created);
        let filter = self.stream.filter();
        while self.next <= extent.last {
            let Some(stored) = self.reader.next(&filter, self.next).await? else {
                self.next = extent.last + 1;
                break;
            };
            self.next = stored.sequence + 1;
            news.steps.extend(Step::read(self.stream.name, &stored));
        }
        Ok(())
    }

    /// Whether this is not the stream that was read before: it was made at another time, or has never given
    /// out what was read, because it was restored.
    fn is_another(&self, extent: &Extent) -> bool {
        let is_made_anew = self
            .created
            .is_some_and(|created| created != extent.created);
        is_made_anew || extent.last + 1 < self.next
    }
}
