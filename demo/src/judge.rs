//! Whether what the streams hold of a workload is what it must be.

use std::time::SystemTime;

use bonesetter::render;
use bonesetter::timeline::{Body, Step};
use bonesetter_proto::v1::{
    Acted, Diagnosed, Incident, Phase, Redacted, ResolvedReason, Step as ActedStep,
    evidence_item::Content, remedy::Fix,
};
use bonesetter_proto::{Namespace, Stage, from_timestamp};

use crate::scenario::{Ending, Scenario};

/// The steps of one workload, by what they say.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// In the order in which they were stored.
    pub steps: Vec<Step>,
}

impl Record {
    /// Whether a step belongs to the workload of a scenario: it names it, or is of an incident that
    /// an earlier step has named it for.
    pub fn concerns(&self, scenario: &Scenario, step: &Step) -> bool {
        let namespace = step.subject.namespace.as_ref().map(Namespace::as_str);
        namespace == Some(scenario.namespace)
            && step.subject.kind == scenario.kind
            && (owner_name(step) == Some(scenario.workload)
                || self.incidents().contains(&step.subject.incident.as_str()))
    }

    fn incidents(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self
            .steps
            .iter()
            .map(|step| step.subject.incident.as_str())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn has(&self, stage: Stage) -> bool {
        self.steps.iter().any(|step| step.subject.stage == stage)
    }

    /// The newest diagnosis.
    pub fn diagnosed(&self) -> Option<&Diagnosed> {
        self.steps.iter().rev().find_map(|step| match &step.body {
            Body::Diagnosed(diagnosed) => Some(&**diagnosed),
            _ => None,
        })
    }

    fn redacted(&self) -> Option<&Redacted> {
        self.steps.iter().rev().find_map(|step| match &step.body {
            Body::Redacted(redacted) => Some(&**redacted),
            _ => None,
        })
    }

    fn acted(&self, wanted: ActedStep) -> Option<&Acted> {
        self.steps.iter().find_map(|step| match &step.body {
            Body::Acted(acted) if acted.step() == wanted => Some(&**acted),
            _ => None,
        })
    }

    fn is_resolved(&self) -> bool {
        self.steps.iter().any(|step| match &step.body {
            Body::Detected(detected) => {
                detected.phase() == Phase::Resolved
                    && detected.resolved_reason() == ResolvedReason::Recovered
            }
            _ => false,
        })
    }
}

fn incident_of(step: &Step) -> Option<&Incident> {
    match &step.body {
        Body::Detected(message) => message.incident.as_ref(),
        Body::Redacted(message) => message.incident.as_ref(),
        Body::Diagnosed(message) => message.incident.as_ref(),
        Body::Acted(message) => message.incident.as_ref(),
        Body::Notified(message) => message.incident.as_ref(),
        Body::Overdue(message) => message.incident.as_ref(),
        Body::Security(message) => message.incident.as_ref(),
        Body::Archived(message) => message.incident.as_ref(),
        Body::Unreadable => None,
    }
}

/// The name of the workload that a step is about, where the message says it.
fn owner_name(step: &Step) -> Option<&str> {
    Some(incident_of(step)?.root_owner.as_ref()?.name.as_str())
}

/// When the incident of a step was opened, where the message says it.
pub fn opened_at(step: &Step) -> Option<SystemTime> {
    from_timestamp(incident_of(step)?.opened_at.as_ref()?)
}

/// What is missing or wrong; empty when everything is as it must be.
pub fn judge(scenario: &Scenario, record: &Record) -> Vec<String> {
    if scenario.ending == Ending::Silence {
        return match record.steps.first() {
            None => Vec::new(),
            Some(step) => vec![format!("nothing is wrong with it, but: {}", plain(step))],
        };
    }
    let mut problems = Vec::new();
    match record.incidents()[..] {
        [] => return vec!["not detected".to_owned()],
        [_] => {}
        ref several => problems.push(format!("{} incidents instead of one", several.len())),
    }
    for stage in [
        Stage::Detected,
        Stage::Redacted,
        Stage::Diagnosed,
        Stage::Acted,
        Stage::Notified,
        Stage::Audit,
    ] {
        if !record.has(stage) {
            problems.push(format!(
                "not {}",
                if stage == Stage::Audit {
                    "archived"
                } else {
                    stage.as_str()
                }
            ));
        }
    }
    problems.extend(judge_class(scenario, record));
    if let Some(diagnosed) = record.diagnosed() {
        problems.extend(judge_diagnosis(scenario, diagnosed, record.redacted()));
    }
    problems.extend(judge_ending(scenario, record));
    problems
}

fn plain(step: &Step) -> String {
    anstream::adapter::strip_str(&render::line(step))
        .to_string()
        .trim()
        .to_owned()
}

fn judge_class(scenario: &Scenario, record: &Record) -> Vec<String> {
    let last = record.steps.iter().rev().find_map(|step| match &step.body {
        Body::Detected(detected) if detected.phase() != Phase::Resolved => {
            Some(detected.failure_class())
        }
        _ => None,
    });
    match last {
        Some(class) if !scenario.classes.contains(&class) => {
            vec![format!("detected as {}", render::class(class))]
        }
        _ => Vec::new(),
    }
}

fn judge_diagnosis(
    scenario: &Scenario,
    diagnosed: &Diagnosed,
    redacted: Option<&Redacted>,
) -> Vec<String> {
    let Some(diagnosis) = &diagnosed.diagnosis else {
        return vec!["an empty diagnosis".to_owned()];
    };
    let mut problems = Vec::new();
    let cause = diagnosis.root_cause.to_lowercase();
    for word in scenario.cause_mentions {
        if !cause.contains(&word.to_lowercase()) {
            problems.push(format!(
                "the root cause does not mention {word:?}: {}",
                diagnosis.root_cause
            ));
        }
    }
    if diagnosis.citations.is_empty() {
        problems.push("no evidence is cited".to_owned());
    }
    for citation in &diagnosis.citations {
        let exists = redacted
            .and_then(|redacted| redacted.evidence.as_ref())
            .and_then(|evidence| {
                evidence
                    .items
                    .iter()
                    .find(|item| item.id == citation.evidence_id)
            })
            .is_some_and(|item| occurs(item.content.as_ref(), &citation.quote));
        if !exists {
            problems.push(format!(
                "cites {} {:?}, which is not there",
                citation.evidence_id, citation.quote
            ));
        }
    }
    problems
}

/// Whether a quote occurs in a piece of evidence. Objects and changes are cited by JSON pointer.
fn occurs(content: Option<&Content>, quote: &str) -> bool {
    match content {
        Some(Content::Log(log)) => log.lines.iter().any(|line| line.text.contains(quote)),
        Some(Content::Event(event)) => {
            event.message.contains(quote) || event.reason.contains(quote)
        }
        Some(Content::Change(change)) => change.changes.iter().any(|change| change.path == quote),
        Some(Content::Object(object)) => serde_json::from_slice::<serde_json::Value>(&object.json)
            .is_ok_and(|json| json.pointer(quote).is_some()),
        Some(Content::Node(node)) => {
            node.allocatable
                .iter()
                .any(|(name, quantity)| quote.contains(name) && quote.contains(quantity))
                || node
                    .conditions
                    .iter()
                    .any(|condition| quote.contains(&condition.r#type))
                || node.taints.iter().any(|taint| taint.contains(quote))
        }
        Some(Content::Note(note)) => note.text.contains(quote),
        None => false,
    }
}

fn judge_ending(scenario: &Scenario, record: &Record) -> Vec<String> {
    let mut problems = Vec::new();
    let fix = record
        .diagnosed()
        .and_then(|diagnosed| diagnosed.diagnosis.as_ref())
        .and_then(|diagnosis| diagnosis.remedy.as_ref())
        .and_then(|remedy| remedy.fix.as_ref());
    let fits = match scenario.ending {
        Ending::SuggestsRollBack | Ending::MendedByRollBack => {
            matches!(fix, Some(Fix::RollBack(_)))
        }
        Ending::MendedBySetMemory => matches!(fix, Some(Fix::SetMemory(_))),
        Ending::Explains => fix.is_none(),
        Ending::Silence => true,
    };
    if !fits && record.diagnosed().is_some() {
        problems.push(format!("the remedy is {fix:?}"));
    }
    let applied = record.acted(ActedStep::Applied);
    if scenario.ending.is_mended() {
        for (step, name) in [
            (ActedStep::Intended, "intended"),
            (ActedStep::Applied, "applied"),
            (ActedStep::Verified, "verified"),
        ] {
            if record.acted(step).is_none() {
                problems.push(format!("not {name}"));
            }
        }
        if !record.is_resolved() {
            problems.push("not resolved".to_owned());
        }
        problems.extend(intent_first(record));
    } else if applied.is_some() {
        problems.push("changed, although only suggestions are allowed there".to_owned());
    }
    problems
}

/// The intent must have been stored before the change was reported.
fn intent_first(record: &Record) -> Option<String> {
    let at = |step| {
        let envelope = record.acted(step)?.envelope.as_ref()?;
        from_timestamp(envelope.produced_at.as_ref()?)
    };
    match (at(ActedStep::Intended), at(ActedStep::Applied)) {
        (Some(intended), Some(applied)) if intended > applied => {
            Some("applied before it was intended".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use bonesetter_proto::v1::{Detected, FailureClass, ObjectRef};
    use bonesetter_proto::{IncidentId, Subject};

    use super::*;
    use crate::scenario::SCENARIOS;

    fn detected(scenario: &Scenario, incident: &str, class: FailureClass) -> Step {
        let owner = ObjectRef {
            name: scenario.workload.to_owned(),
            ..ObjectRef::default()
        };
        let detected = Detected {
            incident: Some(Incident {
                root_owner: Some(owner),
                ..Incident::default()
            }),
            failure_class: class.into(),
            phase: Phase::Open.into(),
            ..Detected::default()
        };
        Step {
            subject: Subject {
                stage: Stage::Detected,
                cluster: "demo".to_owned(),
                namespace: Namespace::new(scenario.namespace).ok(),
                kind: scenario.kind.to_owned(),
                incident: IncidentId::new(incident.repeat(26)).unwrap(),
                step: "open".to_owned(),
            },
            at: UNIX_EPOCH,
            stream: "BONESETTER_DETECTED",
            sequence: 1,
            body: Body::Detected(Box::new(detected)),
        }
    }

    #[test]
    fn silence_is_broken_by_anything() {
        let healthy = SCENARIOS
            .iter()
            .find(|scenario| scenario.workload == "frontend")
            .unwrap();
        assert!(judge(healthy, &Record::default()).is_empty());
        let step = detected(healthy, "a", FailureClass::Failed);
        assert_eq!(judge(healthy, &Record { steps: vec![step] }).len(), 1);
    }

    #[test]
    fn everything_that_is_missing_is_said() {
        let checkout = &SCENARIOS[0];
        assert_eq!(judge(checkout, &Record::default()), ["not detected"]);
        let steps = vec![
            detected(checkout, "a", FailureClass::Evicted),
            detected(checkout, "b", FailureClass::Evicted),
        ];
        let problems = judge(checkout, &Record { steps }).join("; ");
        for expected in [
            "2 incidents",
            "not diagnosed",
            "not archived",
            "detected as Evicted",
            "not verified",
            "not resolved",
        ] {
            assert!(problems.contains(expected), "{expected}: {problems}");
        }
    }

    #[test]
    fn a_step_of_another_workload_does_not_concern_it() {
        let step = detected(&SCENARIOS[0], "a", FailureClass::Failed);
        assert!(Record::default().concerns(&SCENARIOS[0], &step));
        assert!(!Record::default().concerns(&SCENARIOS[1], &step));
        let nameless = Step {
            body: Body::Unreadable,
            ..step.clone()
        };
        assert!(!Record::default().concerns(&SCENARIOS[0], &nameless));
        assert!(Record { steps: vec![step] }.concerns(&SCENARIOS[0], &nameless));
    }
}
