use std::sync::Arc;
use std::time::Duration;

use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::stage::{Input, Outcome, Stage};
use bonesetter_proto::v1::{self, Acted, Change};
use bonesetter_proto::{Namespace, to_timestamp};

use super::{ATTEMPTS, Progress, StageError, ended, next, outcome};
use crate::changes::{Changes, ChangesError, Held};
use crate::gates::Claim;
use crate::kubernetes::ApiError;
use crate::metrics::Metrics;
use crate::plan::Planner;
use crate::record::Draft;
use crate::render::effect_of;
use crate::violation::{Name, Violation};

/// Makes an intended change, after checking everything again.
#[derive(Debug)]
pub struct Apply {
    /// Renders, checks and writes.
    pub planner: Arc<Planner>,
    /// Where the inverse is kept.
    pub changes: Arc<Changes>,
    /// The time.
    pub clock: Clock,
    /// How long the workload has to become healthy.
    pub deadline: Duration,
    /// Counts.
    pub metrics: Metrics,
}

impl Stage for Apply {
    type In = Acted;
    type Out = Acted;
    const REASONS: &'static [&'static str] = super::REASONS;

    async fn handle(&self, input: &Input<Acted>) -> Outcome<Acted> {
        outcome(
            &self.metrics,
            self.apply(input).await,
            input.message.diagnosis.clone(),
            "",
        )
    }
}

impl Apply {
    async fn apply(&self, input: &Input<Acted>) -> Result<Progress, StageError> {
        let intended = &input.message;
        let change = intended
            .change
            .as_ref()
            .ok_or(StageError::Malformed("change"))?;
        let incident = input.subject.incident.as_str();
        let held = self.changes.get(incident).await?;
        let Some(mut held) = held.filter(|held| held.record.effect_key == change.effect_key) else {
            let detail = "the record of the intent is gone from bonesetter-changes";
            let violation = Violation::new(Name::RecordMissing, detail);
            let message = ended(intended, v1::Step::Refused, vec![violation]);
            return Ok(Progress::Step(Draft::new(message)));
        };
        if let Some(known) = held.record.applied.as_ref().or(held.record.ended.as_ref()) {
            return Ok(Progress::Step(known.clone()));
        }
        let namespace = input.subject.namespace.as_ref();
        let mut attempt = 1;
        loop {
            let made = self.attempt(&mut held, incident, namespace, intended, change);
            match made.await {
                Err(StageError::Api(ApiError::Contended { .. })) if attempt < ATTEMPTS => {
                    attempt += 1;
                }
                result => return result.map(Progress::Step),
            }
        }
    }

    async fn attempt(
        &self,
        held: &mut Held,
        incident: &str,
        namespace: Option<&Namespace>,
        intended: &Acted,
        change: &Change,
    ) -> Result<Draft, StageError> {
        if self.was_written(held, change).await? {
            return self.record_applied(held, intended).await;
        }
        let incident_of = intended.incident.as_ref();
        let claim = Claim {
            namespace,
            owner: incident_of.and_then(|incident| incident.root_owner.as_ref()),
            target: change.target.as_ref(),
            remedy: change.remedy.as_ref(),
        };
        let mut plan = self.planner.plan(incident, &claim).await?;
        if let Some(planned) = &plan.change
            && (planned.change_digest != change.change_digest
                || planned.inverse_digest != change.inverse_digest)
            && plan.write.is_some()
        {
            let detail = "what would be written now is not what was intended";
            plan.violations
                .push(Violation::new(Name::IntentDiffers, detail));
        }
        let Some(write) = plan.write.filter(|_| plan.violations.is_empty()) else {
            return self.refuse(held, intended, plan.violations).await;
        };
        self.changes.seal(held, &write.edits)?;
        self.changes.store(held).await?;
        match self
            .planner
            .cluster
            .write(&write.live, &write.edits, false)
            .await
        {
            Ok(_) => self.record_applied(held, intended).await,
            Err(error) if error.is_final() => {
                let violation = Violation::new(Name::ApiRefused, error.to_string());
                self.refuse(held, intended, vec![violation]).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether an earlier attempt has written and could not say so. The mark alone is not believed,
    /// because anybody may set an annotation: without a stored inverse nothing of ours was written,
    /// and neither was it while every field has its former value. Where the inverse is there and cannot
    /// be read any more, the mark has to do: verification then says that a person is needed.
    async fn was_written(&self, held: &Held, change: &Change) -> Result<bool, StageError> {
        let object = change
            .target
            .as_ref()
            .and_then(|target| target.object.as_ref());
        let edits = match self.changes.open(held) {
            Ok(Some(edits)) => Some(edits),
            Ok(None) => return Ok(false),
            Err(ChangesError::Seal(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(object) = object else {
            return Ok(false);
        };
        let live = self
            .planner
            .cluster
            .deployment(&object.namespace, &object.name)
            .await?;
        Ok(live.is_some_and(|live| {
            live["metadata"]["uid"].as_str() == Some(object.uid.as_str())
                && effect_of(&live) == Some(change.effect_key.as_str())
                && !edits.is_some_and(|edits| edits.are_undone_in(&live))
        }))
    }

    async fn record_applied(&self, held: &mut Held, intended: &Acted) -> Result<Draft, StageError> {
        let deadline = self.clock.now() + self.deadline;
        let verification = v1::Verification {
            observed: "the change was written".to_owned(),
            healthy_since: None,
            deadline: Some(to_timestamp(deadline)),
        };
        let message = Acted {
            verification: Some(verification),
            ..next(intended, v1::Step::Applied)
        };
        let draft = Draft::new(message);
        held.record.applied = Some(draft.clone());
        self.changes.store(held).await?;
        Ok(draft)
    }

    async fn refuse(
        &self,
        held: &mut Held,
        intended: &Acted,
        violations: Vec<Violation>,
    ) -> Result<Draft, StageError> {
        let draft = Draft::new(ended(intended, v1::Step::Refused, violations));
        held.record.ended = Some(draft.clone());
        self.changes.store(held).await?;
        Ok(draft)
    }
}
