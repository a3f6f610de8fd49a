//! Incidents at a glance, as the streams know them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use anyhow::Context as _;
use bonesetter_chassis::bus::{Bus, ReadError, StreamReader};
use bonesetter_chassis::topology::DLQ;
use bonesetter_proto::v1::{Acted, Detected, Diagnosed, FailureClass, Incident, Overdue, Phase};
use bonesetter_proto::{IncidentId, Stage, Subject, from_timestamp};

use crate::timeline::{Body, Step, readable_streams};

/// What is known of an incident at a glance.
#[derive(Debug, Clone)]
pub struct Overview {
    /// The subject of the first message of it that is held.
    pub subject: Subject,
    /// As its newest detection says, or what came of it.
    pub incident: Option<Incident>,
    /// As above.
    pub failure_class: FailureClass,
    /// Of its newest detection; `None` when none is held any more, only what came of it.
    pub phase: Option<Phase>,
    /// When it was first stored, as far as that is known.
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
    /// Of the first message that is held.
    fn begin(subject: Subject, at: SystemTime, incident: Option<&Incident>) -> Self {
        let opened_at = incident.and_then(|incident| from_timestamp(incident.opened_at.as_ref()?));
        Self {
            subject,
            incident: None,
            failure_class: FailureClass::Unspecified,
            phase: None,
            opened_at: opened_at.unwrap_or(at),
            last_at: at,
            diagnosed: None,
            acted: None,
            overdue: None,
        }
    }

    /// Whether the workload has recovered or is gone; `None` when that is not held any more.
    pub fn is_resolved(&self) -> Option<bool> {
        Some(self.phase? == Phase::Resolved)
    }

    fn detect(&mut self, detected: Detected, at: SystemTime) {
        if self.phase.is_none() {
            self.opened_at = at;
        }
        self.phase = Some(detected.phase());
        self.failure_class = detected.failure_class();
        self.incident = detected.incident;
        self.last_at = at;
    }

    /// What a later stage says answers what was overdue before, and is all that is known when no detection
    /// is held.
    fn follow(&mut self, incident: Option<&Incident>, class: FailureClass, at: SystemTime) {
        self.overdue = self.overdue.take().filter(|(since, _)| *since >= at);
        if self.phase.is_none() {
            self.incident = incident.cloned();
            self.failure_class = class;
            self.last_at = self.last_at.max(at);
        }
    }
}

/// The stages that say where an incident stands: what is overdue before what answers it.
const STAGES: [Stage; 4] = [
    Stage::Detected,
    Stage::Overdue,
    Stage::Diagnosed,
    Stage::Acted,
];

/// The incident that these messages are about; `None` where none of them says where it stands.
pub fn of(steps: &[Step]) -> Option<Overview> {
    let mut incidents = BTreeMap::new();
    for stage in STAGES {
        for step in steps.iter().filter(|step| step.subject.stage == stage) {
            add(&mut incidents, step.clone());
        }
    }
    incidents.into_values().next()
}

/// Every incident that the streams still hold, the newest first.
pub async fn overviews(bus: &Bus) -> Result<Vec<Overview>, ReadError> {
    let mut incidents: BTreeMap<IncidentId, Overview> = BTreeMap::new();
    for stage in STAGES {
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

/// What is detected ages out before what came of it.
fn add(incidents: &mut BTreeMap<IncidentId, Overview>, step: Step) {
    let incident = match &step.body {
        Body::Detected(detected) => detected.incident.as_ref(),
        Body::Overdue(overdue) => overdue.incident.as_ref(),
        Body::Diagnosed(diagnosed) => diagnosed.incident.as_ref(),
        Body::Acted(acted) => acted.incident.as_ref(),
        _ => return,
    };
    let at = step.at;
    let overview = incidents
        .entry(step.subject.incident.clone())
        .or_insert_with(|| Overview::begin(step.subject, at, incident));
    match step.body {
        Body::Detected(detected) => overview.detect(*detected, at),
        Body::Overdue(overdue) => {
            overview.follow(overdue.incident.as_ref(), overdue.failure_class(), at);
            overview.overdue = Some((at, *overdue));
        }
        Body::Diagnosed(diagnosed) => {
            overview.follow(diagnosed.incident.as_ref(), diagnosed.failure_class(), at);
            overview.diagnosed = Some(*diagnosed);
        }
        Body::Acted(acted) => {
            overview.follow(acted.incident.as_ref(), acted.failure_class(), at);
            overview.acted = Some(*acted);
        }
        _ => {}
    }
}

/// The one incident whose id starts with what was typed. Every stream is asked, because the first
/// messages of an incident age out before the last, and only for subjects.
pub async fn resolve(bus: &Bus, typed: &str) -> anyhow::Result<IncidentId> {
    if let Ok(id) = IncidentId::new(typed) {
        return Ok(id);
    }
    let mut found = BTreeSet::new();
    for stream in readable_streams().chain([&DLQ]) {
        let Some(stage) = stream.stage else { continue };
        let reader = StreamReader::new(bus.clone(), stream.name);
        for subject in reader.subjects(&stage.filter()).await? {
            if let Ok(subject) = subject.parse::<Subject>()
                && subject.incident.as_str().starts_with(typed)
            {
                found.insert(subject.incident);
            }
        }
    }
    match found.len() {
        0 => anyhow::bail!(nothing(typed)),
        1 => found.pop_first().context("one incident was found"),
        count => anyhow::bail!("{count} incidents start with {typed:?}; type more of the id"),
    }
}

/// Says that no stream holds anything of an incident.
pub fn nothing(typed: &str) -> String {
    let kept: Vec<String> = readable_streams()
        .filter_map(|stream| {
            let days = stream.max_age.as_secs() / 86_400;
            Some(format!("{} {days} d", stream.stage?))
        })
        .collect();
    format!(
        "nothing is stored of an incident {typed:?}; `bonesetter incidents` lists those that are, and after a while messages age out ({})",
        kept.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bonesetter_proto::{Namespace, to_timestamp};

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
        assert_eq!(incidents.len(), 1);
        let overview = incidents.into_values().next().unwrap();
        assert_eq!(overview.is_resolved(), Some(true));
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
    fn an_incident_is_known_by_what_came_of_it_when_its_detection_has_aged_out() {
        let incident = Incident {
            opened_at: Some(to_timestamp(UNIX_EPOCH)),
            ..Incident::default()
        };
        let diagnosed = Diagnosed {
            incident: Some(incident.clone()),
            failure_class: FailureClass::OomKilled.into(),
            ..Diagnosed::default()
        };
        let mut incidents = BTreeMap::new();
        let diagnosed = Body::Diagnosed(Box::new(diagnosed));
        add(&mut incidents, step("a", 5, "open", diagnosed));
        let overview = incidents.values().next().unwrap();
        assert_eq!(overview.is_resolved(), None);
        assert_eq!(overview.failure_class, FailureClass::OomKilled);
        assert_eq!(overview.incident, Some(incident));
        assert_eq!(overview.opened_at, UNIX_EPOCH);
        assert!(overview.diagnosed.is_some());
    }
}
