use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::stage::{Input, Outcome, Stage};
use bonesetter_proto::v1::{self, Acted};
use bonesetter_proto::{from_timestamp, to_timestamp};
use serde_json::Value;

use super::{ATTEMPTS, Progress, StageError, ended, millis, next, outcome};
use crate::changes::{Changes, ChangesError, Held};
use crate::edit::Edits;
use crate::health::{Assessment, Verdict, Watch, assess, judge};
use crate::kubernetes::{ApiError, Cluster};
use crate::metrics::Metrics;
use crate::record::Draft;
use crate::violation::{Name, Violation};

/// How long to look.
#[derive(Debug, Clone, Copy)]
pub struct Verification {
    /// Healthy in a row for this long.
    pub window: Duration,
    /// Between two looks.
    pub interval: Duration,
}

/// Watches a changed workload until it is healthy, or takes the change back.
#[derive(Debug)]
pub struct Verify {
    /// Where the workload is.
    pub cluster: Cluster,
    /// Where the inverse is kept.
    pub changes: Arc<Changes>,
    /// The time.
    pub clock: Clock,
    /// How long to look.
    pub verification: Verification,
    /// Counts.
    pub metrics: Metrics,
}

impl Stage for Verify {
    type In = Acted;
    type Out = Acted;
    const REASONS: &'static [&'static str] = super::REASONS;

    async fn handle(&self, input: &Input<Acted>) -> Outcome<Acted> {
        outcome(
            &self.metrics,
            self.verify(input).await,
            input.message.diagnosis.clone(),
            "",
        )
    }
}

impl Verify {
    async fn verify(&self, input: &Input<Acted>) -> Result<Progress, StageError> {
        let applied = &input.message;
        let change = applied
            .change
            .as_ref()
            .ok_or(StageError::Malformed("change"))?;
        let held = match self.changes.get(input.subject.incident.as_str()).await {
            Err(ChangesError::Malformed { .. }) => {
                return Ok(Progress::Step(without_record(applied)));
            }
            held => held?,
        };
        let held = held.filter(|held| held.record.effect_key == change.effect_key);
        let Some(mut held) = held else {
            return Ok(Progress::Step(without_record(applied)));
        };
        if let Some(known) = &held.record.ended {
            return Ok(Progress::Step(known.clone()));
        }
        let edits = match self.changes.open(&held) {
            Ok(Some(edits)) => edits,
            Ok(None) => return Ok(Progress::Step(without_record(applied))),
            Err(ChangesError::Seal(error)) => {
                let violation = Violation::new(Name::RecordMissing, error.to_string());
                return self.stuck(&mut held, applied, violation).await;
            }
            Err(error) => return Err(error.into()),
        };
        match self.watch(&mut held, applied, &edits).await {
            Err(StageError::Api(error @ ApiError::Refused { .. })) => {
                self.unseen(&mut held, applied, &error).await
            }
            progress => progress,
        }
    }

    async fn watch(
        &self,
        held: &mut Held,
        applied: &Acted,
        edits: &Edits,
    ) -> Result<Progress, StageError> {
        let look = self.look(applied, edits).await?;
        let live = match look {
            Look::Ours(live) => live,
            Look::TakenBack => {
                let why = "every field has its former value again";
                return self.end(held, rolled_back(applied, why)).await;
            }
            Look::Lost(violation) => return self.stuck(held, applied, violation).await,
        };
        let pods = self.cluster.newest_pods(&live).await?;
        let assessment = assess(&live, &pods);
        let now = self.clock.now();
        let deadline = deadline(applied).unwrap_or(now);
        let before = held.record.watch.as_ref();
        let window = self.verification.window;
        let (watch, verdict) = judge(&assessment, before, millis(now), window, millis(deadline));
        match verdict {
            Verdict::Verified => {
                let message = verified(applied, &assessment, watch.as_ref());
                self.end(held, message).await
            }
            Verdict::TakeBack => self.take_back(held, applied, edits, &assessment).await,
            Verdict::Wait => {
                if watch != held.record.watch {
                    held.record.watch = watch;
                    self.changes.store(held).await?;
                }
                let observed = describe(&assessment);
                Ok(Progress::Wait {
                    after: self.verification.interval,
                    observed,
                })
            }
        }
    }

    /// The API server does not say what became of the change. It may yet; when the time is over, people must look.
    async fn unseen(
        &self,
        held: &mut Held,
        applied: &Acted,
        error: &ApiError,
    ) -> Result<Progress, StageError> {
        if deadline(applied).is_some_and(|deadline| self.clock.now() < deadline) {
            return Ok(Progress::Wait {
                after: self.verification.interval,
                observed: error.to_string(),
            });
        }
        let violation = Violation::new(Name::ApiRefused, error.to_string());
        self.stuck(held, applied, violation).await
    }

    /// Whether the object still is what we made of it.
    async fn look(&self, applied: &Acted, edits: &Edits) -> Result<Look, StageError> {
        let target = applied
            .change
            .as_ref()
            .and_then(|change| change.target.as_ref());
        let object = target.and_then(|target| target.object.as_ref());
        let object = object.ok_or(StageError::Malformed("target"))?;
        let Some(live) = self
            .cluster
            .deployment(&object.namespace, &object.name)
            .await?
        else {
            let detail = "the object was deleted after the change";
            return Ok(Look::Lost(Violation::new(Name::TargetMissing, detail)));
        };
        if live["metadata"]["uid"].as_str() != Some(object.uid.as_str()) {
            let detail = "the object was deleted and created anew after the change";
            return Ok(Look::Lost(Violation::new(Name::TargetReplaced, detail)));
        }
        let drifted = edits.drifted_in(&live);
        if drifted.is_empty() {
            return Ok(Look::Ours(live));
        }
        if edits.are_undone_in(&live) {
            return Ok(Look::TakenBack);
        }
        let detail = format!("somebody else has changed {} after us", drifted.join(", "));
        Ok(Look::Lost(Violation::new(Name::ChangedSince, detail)))
    }

    /// Writes every former value back, unless somebody has changed a touched field since. Looks anew
    /// before every attempt; the status of a workload that fails changes all the time.
    async fn take_back(
        &self,
        held: &mut Held,
        applied: &Acted,
        edits: &Edits,
        assessment: &Assessment,
    ) -> Result<Progress, StageError> {
        let why = describe(assessment);
        let mut attempt = 1;
        loop {
            let live = match self.look(applied, edits).await? {
                Look::Ours(live) => live,
                Look::TakenBack => return self.end(held, rolled_back(applied, &why)).await,
                Look::Lost(violation) => return self.stuck(held, applied, violation).await,
            };
            match self.cluster.write(&live, &edits.inverse(), false).await {
                Ok(_) => return self.end(held, rolled_back(applied, &why)).await,
                Err(ApiError::Contended { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) if error.is_final() => {
                    let violation = Violation::new(Name::ApiRefused, error.to_string());
                    return self.stuck(held, applied, violation).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn stuck(
        &self,
        held: &mut Held,
        applied: &Acted,
        violation: Violation,
    ) -> Result<Progress, StageError> {
        let detail = violation.detail.clone();
        let message = ended(applied, v1::Step::Stuck, vec![violation]);
        self.end(held, observed(message, &detail)).await
    }

    async fn end(&self, held: &mut Held, message: Acted) -> Result<Progress, StageError> {
        let draft = Draft::new(message);
        held.record.ended = Some(draft.clone());
        self.changes.store(held).await?;
        Ok(Progress::Step(draft))
    }
}

enum Look {
    /// Every touched field has our value.
    Ours(Value),
    /// Every touched field has its former value, our mark too: an earlier attempt took it back.
    TakenBack,
    /// It is not ours to touch any more.
    Lost(Violation),
}

/// When it must have helped.
fn deadline(applied: &Acted) -> Option<SystemTime> {
    let verification = applied.verification.as_ref()?;
    from_timestamp(verification.deadline.as_ref()?)
}

fn without_record(applied: &Acted) -> Draft {
    let detail = "the former values are gone from bonesetter-changes";
    let violation = Violation::new(Name::RecordMissing, detail);
    Draft::new(ended(applied, v1::Step::Stuck, vec![violation]))
}

fn describe(assessment: &Assessment) -> String {
    match assessment {
        Assessment::Healthy { pods, .. } => {
            format!("{pods} of {pods} pods are updated and available")
        }
        Assessment::Unhealthy(why) => why.clone(),
    }
}

fn rolled_back(applied: &Acted, why: &str) -> Acted {
    observed(next(applied, v1::Step::RolledBack), why)
}

fn observed(message: Acted, what: &str) -> Acted {
    let verification = v1::Verification {
        observed: what.to_owned(),
        healthy_since: None,
        deadline: None,
    };
    Acted {
        verification: Some(verification),
        ..message
    }
}

fn verified(applied: &Acted, assessment: &Assessment, watch: Option<&Watch>) -> Acted {
    let since = watch.map(|watch| {
        to_timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(watch.since_millis))
    });
    let verification = v1::Verification {
        observed: format!("{}, without a restart meanwhile", describe(assessment)),
        healthy_since: since,
        deadline: applied.verification.as_ref().and_then(|it| it.deadline),
    };
    Acted {
        verification: Some(verification),
        ..next(applied, v1::Step::Verified)
    }
}
