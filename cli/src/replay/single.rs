//! One incident, its stages run again.

use std::collections::BTreeMap;

use bonesetter_keys::VerifyingKeys;
use bonesetter_proto::v1::{Acted, Diagnosed, Redacted};
use bonesetter_proto::{Stage, Subject};
use bonesetter_redact::Redacted as Safe;
use svc_actuator::replay::Recorded;
use svc_llm::Diagnosers;

use super::record::{Record, verified};
use super::redaction::{self, Again};
use super::rerun::{Comparison, Known, compare, decided};
use super::with::Changes;
use crate::render;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// One for each diagnosis, oldest first.
    pub(crate) steps: Vec<Comparison>,
    /// Messages that were left out, because no signature proves where they came from.
    pub(crate) unproven: usize,
}

/// Runs the stages over the stored inputs of an incident.
pub(crate) async fn replay(
    record: &Record,
    trusted: &VerifyingKeys,
    changes: &Changes,
    again: &[Again],
) -> anyhow::Result<Replayed> {
    let mut replayed = Replayed::default();
    let mut evidence: BTreeMap<String, Safe<Redacted>> = BTreeMap::new();
    for entry in record.of(Stage::Redacted) {
        match verified(&entry.stored, trusted) {
            Some(proof) => {
                evidence.insert(entry.subject.step.clone(), Safe::from_verified(proof));
            }
            None => replayed.unproven += 1,
        }
    }
    let mut diagnoses: Vec<(Subject, Diagnosed)> = Vec::new();
    for entry in record.of(Stage::Diagnosed) {
        match verified::<Diagnosed>(&entry.stored, trusted) {
            Some(proof) => diagnoses.push((entry.subject.clone(), proof.into_inner())),
            None => replayed.unproven += 1,
        }
    }
    let mut acted: BTreeMap<String, Recorded> = BTreeMap::new();
    for entry in record.of(Stage::Acted) {
        match verified::<Acted>(&entry.stored, trusted) {
            Some(proof) => {
                if let Some(recorded) = decided(proof.get()) {
                    acted.insert(entry.caused_by().to_owned(), recorded);
                }
            }
            None => replayed.unproven += 1,
        }
    }
    // Evidence that nobody has diagnosed yet is worth diagnosing too.
    for entry in record.of(Stage::Redacted) {
        let is_known = |(subject, _): &(Subject, _)| subject.step == entry.subject.step;
        let is_asked = changes.diagnosers.is_some() || !again.is_empty();
        if is_asked && !diagnoses.iter().any(is_known) {
            let step = entry.subject.step.clone();
            diagnoses.push((
                entry.subject.at(Stage::Diagnosed, step),
                Diagnosed::default(),
            ));
        }
    }
    let workload = render::workload(record.incident());
    let mut claimed = None;
    for (subject, was) in &diagnoses {
        let input = evidence.get(&subject.step);
        let anew = again.iter().find(|it| it.step == subject.step);
        let (is, other) = match (&changes.diagnosers, anew, input) {
            (diagnosers, Some(anew), _) => {
                let ours = Diagnosers::default();
                let diagnosers = diagnosers.as_ref().unwrap_or(&ours);
                let (is, evidence) = redaction::diagnose(diagnosers, anew).await?;
                (Some(is), Some(evidence))
            }
            (Some(diagnosers), None, Some(input)) => {
                (svc_llm::diagnose_message(diagnosers, input).await, None)
            }
            _ => (None, None),
        };
        let stored = input.map(Safe::get);
        let known = Known {
            subject,
            workload: workload.clone(),
            was: was.diagnosis.as_ref().map(|_| was),
            is: is.as_ref(),
            evidence: other
                .as_ref()
                .or_else(|| stored.and_then(|stored| stored.evidence.as_ref())),
            acted: acted.get(&subject.to_string()),
        };
        if let Some(mut compared) = compare(known, changes.policy.as_ref(), &mut claimed) {
            if let Some(anew) = anew {
                compared.removed = redaction::removed(stored, &anew.message);
            }
            replayed.steps.push(compared);
        }
    }
    Ok(replayed)
}
