use std::sync::Arc;

use bonesetter_chassis::stage::{Input, Outcome, Stage};
use bonesetter_proto::v1::{self, Acted, Diagnosed};

use super::{Progress, StageError, outcome};
use crate::changes::Changes;
use crate::gates::Claim;
use crate::metrics::Metrics;
use crate::plan::Planner;
use crate::record::{Draft, Record};
use crate::violation::{Name, Violation};

/// The step of the first diagnosis of an incident; later ones carry theirs into ours.
const OPEN: &str = "open";

/// Decides on a diagnosis: `intended` when every gate allows the change, `proposed` otherwise.
#[derive(Debug)]
pub struct Decide {
    /// Renders and checks.
    pub planner: Arc<Planner>,
    /// What was intended before.
    pub changes: Arc<Changes>,
    /// Counts.
    pub metrics: Metrics,
}

impl Stage for Decide {
    type In = Diagnosed;
    type Out = Acted;
    const REASONS: &'static [&'static str] = super::REASONS;

    async fn handle(&self, input: &Input<Diagnosed>) -> Outcome<Acted> {
        let suffix = match input.subject.step.as_str() {
            OPEN => String::new(),
            step => format!("-{step}"),
        };
        outcome(
            &self.metrics,
            self.decide(input).await,
            input.signed.clone(),
            &suffix,
        )
    }
}

impl Decide {
    async fn decide(&self, input: &Input<Diagnosed>) -> Result<Progress, StageError> {
        let incident = input.subject.incident.as_str();
        let subject = input.subject.to_string();
        let diagnosed = &input.message;
        let is_its_own = |it: &v1::Incident| it.id == incident;
        if !diagnosed.incident.as_ref().is_some_and(is_its_own) {
            return Err(StageError::Malformed(
                "incident, or not that of its subject",
            ));
        }
        let claimed = self.changes.get(incident).await?;
        if let Some(held) = &claimed
            && held.record.decided_from == subject
        {
            return Ok(Progress::Step(held.record.intended.clone()));
        }
        let claim = Claim::of(input.subject.namespace.as_ref(), diagnosed);
        let mut plan = self.planner.plan(incident, &claim).await?;
        if claimed.is_some() && plan.change.is_some() {
            plan.violations.push(already_intended());
        }
        let mut message = Acted {
            incident: diagnosed.incident.clone(),
            failure_class: diagnosed.failure_class,
            step: v1::Step::Proposed.into(),
            decision: Some(plan.decision(&self.planner.policy)),
            change: plan.change.clone(),
            ..Acted::default()
        };
        let is_allowed = message
            .decision
            .as_ref()
            .is_some_and(|decision| decision.allowed);
        let Some(change) = plan.change.as_ref().filter(|_| is_allowed) else {
            return Ok(Progress::Step(Draft::new(message)));
        };
        message.step = v1::Step::Intended.into();
        let record = Record {
            effect_key: change.effect_key.clone(),
            decided_from: subject.clone(),
            intended: Draft::new(message.clone()),
            inverse: None,
            applied: None,
            watch: None,
            ended: None,
        };
        if self.changes.claim(incident, &record).await? {
            return Ok(Progress::Step(record.intended));
        }
        // Another replica was faster: with this same diagnosis, or with another one.
        match self.changes.get(incident).await? {
            Some(held) if held.record.decided_from == subject => {
                Ok(Progress::Step(held.record.intended))
            }
            _ => {
                plan.violations.push(already_intended());
                message.step = v1::Step::Proposed.into();
                message.decision = Some(plan.decision(&self.planner.policy));
                Ok(Progress::Step(Draft::new(message)))
            }
        }
    }
}

fn already_intended() -> Violation {
    let detail = "a change was already intended for this incident; the next one is a person's";
    Violation::new(Name::AlreadyIntended, detail)
}
