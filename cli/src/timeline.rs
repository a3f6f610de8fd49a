//! What the streams know of an incident, in the order in which it happened.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bonesetter_chassis::bus::{Bus, ReadError, StoredMessage, StreamReader};
use bonesetter_chassis::topology::{
    ADVISORY, DIAGNOSED_JSON, DLQ, ENRICHED, REDRIVE, STREAMS, StreamSpec,
};
use bonesetter_proto::v1::{
    Acted, Archived, Detected, Diagnosed, Notified, Overdue, Phase, Redacted, SecurityEvent,
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

/// What is known of an incident at a glance.
#[derive(Debug, Clone)]
pub struct Overview {
    /// The newest detection.
    pub detected: Detected,
    /// The subject of its first detection.
    pub subject: Subject,
    /// When it was first stored.
    pub opened_at: SystemTime,
    /// When the newest detection was stored.
    pub last_at: SystemTime,
    /// The newest diagnosis.
    pub diagnosed: Option<Diagnosed>,
    /// The newest step of svc-actuator.
    pub acted: Option<Acted>,
    /// The newest stage that has not answered in time, unless something came after that.
    pub overdue: Option<(SystemTime, Overdue)>,
}

impl Overview {
    /// Whether the workload has recovered or is gone.
    pub fn is_resolved(&self) -> bool {
        self.detected.phase() == Phase::Resolved
    }

    /// What a later stage says answers what was overdue before.
    fn answer(&mut self, at: SystemTime) {
        self.overdue = self.overdue.take().filter(|(since, _)| *since >= at);
    }
}

/// Every incident that the streams still hold, the newest first.
pub async fn overviews(bus: &Bus) -> Result<Vec<Overview>, ReadError> {
    let mut incidents: BTreeMap<IncidentId, Overview> = BTreeMap::new();
    // What is overdue before what answers it.
    for stage in [
        Stage::Detected,
        Stage::Overdue,
        Stage::Diagnosed,
        Stage::Acted,
    ] {
        let Some(stream) = readable_streams().find(|stream| stream.stage == Some(stage)) else {
            continue;
        };
        for stored in StreamReader::new(bus.clone(), stream.name)
            .all(&stage.filter())
            .await?
        {
            if let Some(step) = Step::read(stream.name, &stored) {
                add(&mut incidents, step);
            }
        }
    }
    let mut overviews: Vec<Overview> = incidents.into_values().collect();
    overviews.sort_by_key(|overview| std::cmp::Reverse(overview.opened_at));
    Ok(overviews)
}

fn add(incidents: &mut BTreeMap<IncidentId, Overview>, step: Step) {
    let known = incidents.get_mut(&step.subject.incident);
    match (step.body, known) {
        (Body::Detected(detected), Some(known)) => {
            known.detected = *detected;
            known.last_at = step.at;
        }
        (Body::Detected(detected), None) => {
            let overview = Overview {
                detected: *detected,
                opened_at: step.at,
                last_at: step.at,
                diagnosed: None,
                acted: None,
                overdue: None,
                subject: step.subject.clone(),
            };
            incidents.insert(step.subject.incident, overview);
        }
        (Body::Overdue(overdue), Some(known)) => known.overdue = Some((step.at, *overdue)),
        (Body::Diagnosed(diagnosed), Some(known)) => {
            known.answer(step.at);
            known.diagnosed = Some(*diagnosed);
        }
        (Body::Acted(acted), Some(known)) => {
            known.answer(step.at);
            known.acted = Some(*acted);
        }
        _ => {}
    }
}

/// The one incident whose id starts with what was typed.
pub fn resolve_id(typed: &str, overviews: &[Overview]) -> anyhow::Result<IncidentId> {
    let found: Vec<&IncidentId> = overviews
        .iter()
        .map(|overview| &overview.subject.incident)
        .filter(|id| id.as_str().starts_with(typed))
        .collect();
    match found[..] {
        [id] => Ok(id.clone()),
        [] => anyhow::bail!("no incident starts with {typed:?}; `bonesetter incidents` lists them"),
        _ => anyhow::bail!(
            "{} incidents start with {typed:?}; type more of the id",
            found.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bonesetter_proto::Namespace;

    use super::*;

    fn step(id: &str, seconds: u64, name: &str, body: Body) -> Step {
        let subject = Subject {
            stage: Stage::Detected,
            cluster: "c".to_owned(),
            namespace: Namespace::new("n").ok(),
            kind: "Deployment".to_owned(),
            incident: IncidentId::new(id.repeat(26)).unwrap(),
            step: name.to_owned(),
        };
        let at = UNIX_EPOCH + Duration::from_secs(seconds);
        Step {
            subject,
            at,
            stream: "S",
            sequence: seconds,
            body,
        }
    }

    fn detected(phase: Phase) -> Body {
        Body::Detected(Box::new(Detected {
            phase: phase.into(),
            ..Detected::default()
        }))
    }

    #[test]
    fn an_overview_keeps_the_first_and_the_last_detection() {
        let mut incidents = BTreeMap::new();
        add(&mut incidents, step("a", 1, "open", detected(Phase::Open)));
        add(
            &mut incidents,
            step("a", 9, "resolved", detected(Phase::Resolved)),
        );
        add(
            &mut incidents,
            step("b", 2, "x", Body::Acted(Box::default())),
        );
        assert_eq!(
            incidents.len(),
            1,
            "an action without a detection is not an incident"
        );
        let overview = incidents.into_values().next().unwrap();
        assert!(overview.is_resolved());
        assert_eq!(overview.subject.step, "open");
        assert_eq!(
            overview
                .last_at
                .duration_since(overview.opened_at)
                .unwrap()
                .as_secs(),
            8
        );
    }

    #[test]
    fn what_is_overdue_stays_so_until_something_follows() {
        let overdue = |at| step("a", at, "diagnosis-open", Body::Overdue(Box::default()));
        for (at, is_overdue) in [(5, true), (3, false)] {
            let mut incidents = BTreeMap::new();
            add(&mut incidents, step("a", 1, "open", detected(Phase::Open)));
            add(&mut incidents, overdue(at));
            add(
                &mut incidents,
                step("a", 4, "open", Body::Diagnosed(Box::default())),
            );
            let overview = incidents.into_values().next().unwrap();
            assert_eq!(overview.overdue.is_some(), is_overdue, "{at}");
        }
    }

    #[test]
    fn an_id_may_be_typed_in_part_if_it_is_clear() {
        let mut incidents = BTreeMap::new();
        add(&mut incidents, step("a", 1, "open", detected(Phase::Open)));
        add(&mut incidents, step("b", 1, "open", detected(Phase::Open)));
        let overviews: Vec<Overview> = incidents.into_values().collect();
        assert_eq!(
            resolve_id("aaa", &overviews).unwrap().as_str(),
            "a".repeat(26)
        );
        assert!(
            resolve_id("", &overviews)
                .unwrap_err()
                .to_string()
                .contains("2 incidents")
        );
        assert!(
            resolve_id("z", &overviews)
                .unwrap_err()
                .to_string()
                .contains("no incident")
        );
    }
}
