//! A step of an incident, as it was concluded and decided and as it would be now.

use bonesetter_proto::v1::{Acted, Decision, Diagnosed, Evidence, Remedy, Step as ActedStep};
use bonesetter_proto::{Namespace, Subject};
use svc_actuator::policy::Policy;
use svc_actuator::replay::{Recorded, Verdict, decide, is_same_fix, verdict_of};

use super::redaction::Removed;

/// What a diagnosis says, without what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conclusion {
    pub(crate) cause: String,
    pub(crate) summary: String,
    pub(crate) root_cause: String,
    pub(crate) recommendation: String,
    pub(crate) confidence: f64,
    pub(crate) by: String,
    pub(crate) degraded: String,
    /// Evidence id and quote.
    pub(crate) cited: Vec<(String, String)>,
    pub(crate) remedy: Option<Remedy>,
}

impl Conclusion {
    pub(crate) fn of(diagnosed: &Diagnosed) -> Self {
        let diagnosis = diagnosed.diagnosis.clone().unwrap_or_default();
        let by = if diagnosis.model.is_empty() || diagnosis.model == diagnosis.cause {
            diagnosis.diagnoser
        } else {
            format!("{} ({})", diagnosis.diagnoser, diagnosis.model)
        };
        let cited = diagnosis
            .citations
            .into_iter()
            .map(|citation| (citation.evidence_id, citation.quote))
            .collect();
        Self {
            cause: diagnosis.cause,
            summary: diagnosis.summary,
            root_cause: diagnosis.root_cause,
            recommendation: diagnosis.recommendation,
            confidence: diagnosis.confidence,
            by,
            degraded: diagnosis.degraded_reason,
            cited,
            remedy: diagnosis.remedy,
        }
    }
}

/// A decision on record or made again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judgement {
    /// `None` where it cannot be told.
    pub(crate) verdict: Option<Verdict>,
    /// Names and details of what objects.
    pub(crate) objections: Vec<(String, String)>,
}

/// One of the two sides of a comparison.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Side {
    pub(crate) conclusion: Option<Conclusion>,
    pub(crate) judgement: Option<Judgement>,
}

/// Both sides.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    /// Of the diagnosis.
    pub(crate) subject: Subject,
    /// `Deployment shop/web`.
    pub(crate) workload: String,
    pub(crate) recorded: Side,
    pub(crate) replayed: Side,
    /// What redaction took out; empty where it was not made again.
    pub(crate) removed: Removed,
    /// What was not run again, or is not known.
    pub(crate) notes: Vec<&'static str>,
}

/// What can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// Other values are taken out of the evidence.
    Redaction,
    Cause,
    /// The same cause, said in other words or with other confidence.
    Words,
    RemedyNew,
    RemedyGone,
    RemedyOther,
    /// It would be applied now, and was not.
    ChangeNew,
    /// It was applied, and would not be now.
    ChangeGone,
    /// The decision comes to the same for other reasons.
    Reasons,
}

impl Difference {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Redaction => "redaction",
            Self::Cause => "cause",
            Self::Words => "words",
            Self::RemedyNew => "remedy-new",
            Self::RemedyGone => "remedy-gone",
            Self::RemedyOther => "remedy-other",
            Self::ChangeNew => "change-new",
            Self::ChangeGone => "change-gone",
            Self::Reasons => "reasons",
        }
    }
}

impl Comparison {
    /// How the sides differ.
    pub(crate) fn differences(&self) -> Vec<Difference> {
        let mut found = Vec::new();
        if self.removed.values().any(|(was, is)| was != is) {
            found.push(Difference::Redaction);
        }
        if let (Some(was), Some(is)) = (&self.recorded.conclusion, &self.replayed.conclusion) {
            if was.cause != is.cause {
                found.push(Difference::Cause);
            } else if (&was.summary, &was.root_cause, &was.recommendation)
                != (&is.summary, &is.root_cause, &is.recommendation)
                || (was.confidence - is.confidence).abs() >= 0.01
            {
                found.push(Difference::Words);
            }
            match (&was.remedy, &is.remedy) {
                (None, Some(_)) => found.push(Difference::RemedyNew),
                (Some(_), None) => found.push(Difference::RemedyGone),
                (was, is) if !is_same_fix(was.as_ref(), is.as_ref()) => {
                    found.push(Difference::RemedyOther);
                }
                _ => {}
            }
        }
        if let (Some(was), Some(is)) = (&self.recorded.judgement, &self.replayed.judgement) {
            let changes = |it: &Judgement| it.verdict.map(Verdict::is_change);
            let names = |it: &Judgement| -> Vec<String> {
                it.objections.iter().map(|(name, _)| name.clone()).collect()
            };
            match (changes(was), changes(is)) {
                (Some(false), Some(true)) => found.push(Difference::ChangeNew),
                (Some(true), Some(false)) => found.push(Difference::ChangeGone),
                (Some(_), Some(_)) if names(was) != names(is) => found.push(Difference::Reasons),
                _ => {}
            }
        }
        found
    }
}

/// What is known of one step of an incident.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) workload: String,
    /// The diagnosis on record.
    pub(crate) was: Option<&'a Diagnosed>,
    /// The diagnosis made anew; `None` where that was not asked for.
    pub(crate) is: Option<&'a Diagnosed>,
    pub(crate) evidence: Option<&'a Evidence>,
    pub(crate) acted: Option<&'a Recorded>,
}

/// Compares; `claimed` says that an earlier step of the incident has led to a change in the replay, and is
/// set when this one does. Before the first step it is `None`: then the record says whether a change was
/// intended before what is replayed begins.
pub(crate) fn compare(
    known: Known<'_>,
    policy: Option<&Policy>,
    claimed: &mut Option<bool>,
) -> Option<Comparison> {
    let was_claimed = || known.acted.is_some_and(Recorded::was_claimed);
    let is_claimed = claimed.get_or_insert_with(was_claimed);
    let input = known.is.or(known.was)?;
    let mut notes = Vec::new();
    let namespace: Option<&Namespace> = known.subject.namespace.as_ref();
    let judgement = if let Some(policy) = policy {
        let replayed = decide(
            policy,
            namespace,
            input,
            known.evidence,
            known.acted,
            *is_claimed,
        );
        *is_claimed |= replayed.verdict.is_change();
        notes.extend(replayed.notes);
        Some(Judgement {
            verdict: Some(replayed.verdict),
            objections: objections(&replayed.violations),
        })
    } else {
        let (judgement, note) = without_policy(input, known.acted);
        notes.extend(note);
        judgement
    };
    Some(Comparison {
        subject: known.subject.clone(),
        workload: known.workload,
        recorded: Side {
            conclusion: known.was.map(Conclusion::of),
            judgement: known.acted.map(|acted| Judgement {
                verdict: Some(verdict_of(acted)),
                objections: objections(&acted.decision.violations),
            }),
        },
        replayed: Side {
            conclusion: Some(Conclusion::of(input)),
            judgement,
        },
        removed: Removed::new(),
        notes,
    })
}

/// The policy of that time is not on record, but its decision is.
fn without_policy(
    input: &Diagnosed,
    acted: Option<&Recorded>,
) -> (Option<Judgement>, Option<&'static str>) {
    let remedy = input
        .diagnosis
        .as_ref()
        .and_then(|diagnosis| diagnosis.remedy.as_ref());
    if remedy.is_none() {
        let judgement = Judgement {
            verdict: Some(Verdict::Explain),
            objections: vec![(
                "no-remedy".to_owned(),
                "the diagnosis proposes no remedy".to_owned(),
            )],
        };
        return (Some(judgement), None);
    }
    match acted {
        Some(acted) if is_same_fix(acted.remedy.as_ref(), remedy) => {
            let judgement = Judgement {
                verdict: Some(verdict_of(acted)),
                objections: objections(&acted.decision.violations),
            };
            (
                Some(judgement),
                Some("the remedy is the same, so the decision is taken from the record"),
            )
        }
        _ => (
            Some(Judgement {
                verdict: None,
                objections: Vec::new(),
            }),
            Some("this remedy was never decided on; add --with policy=FILE to decide"),
        ),
    }
}

fn objections(violations: &[bonesetter_proto::v1::Violation]) -> Vec<(String, String)> {
    violations
        .iter()
        .map(|it| (it.name.clone(), it.detail.clone()))
        .collect()
}

/// What svc-actuator decided, if this is the message that says so.
pub(crate) fn decided(acted: &Acted) -> Option<Recorded> {
    if !matches!(acted.step(), ActedStep::Proposed | ActedStep::Intended) {
        return None;
    }
    let decision: Decision = acted.decision.clone()?;
    let remedy = acted.change.as_ref().and_then(|it| it.remedy.clone());
    Some(Recorded { decision, remedy })
}
