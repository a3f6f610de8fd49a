//! Everything since a time, its stages run again.
//!
//! Streams are read in their order and message by message, several requests at a time; evidence is
//! dropped as soon as it has been compared, so that memory grows with the number of incidents and not
//! with what was collected about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use bonesetter_chassis::bus::{Bus, ReadError, StoredMessage, StreamReader};
use bonesetter_chassis::topology::{ACTED, DIAGNOSED, REDACTED, StreamSpec};
use bonesetter_keys::{Verified, VerifyingKeys};
use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{Acted, Diagnosed, Evidence, Redacted};
use bonesetter_proto::{IncidentId, Message, Stage, Subject};
use bonesetter_redact::Redacted as Safe;
use futures::{Stream, StreamExt as _};
use svc_actuator::replay::Recorded;
use tokio::task::JoinError;
use tokio_util::task::TaskTracker;

use super::record::verified;
use super::rerun::{Comparison, Known, compare, decided};
use super::with::Changes;
use crate::render;

/// So many messages are verified and diagnosed at a time; more than there are cores gains nothing.
const AT_A_TIME: usize = 16;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// One for each diagnosis, in the order of time.
    pub(crate) steps: Vec<Comparison>,
    /// Messages that were left out, because no signature proves where they came from.
    pub(crate) unproven: usize,
}

impl History {
    /// How many incidents the steps are of.
    pub(crate) fn incidents(&self) -> usize {
        let ids: BTreeSet<&IncidentId> = self
            .steps
            .iter()
            .map(|step| &step.subject.incident)
            .collect();
        ids.len()
    }
}

/// Runs the stages over the stored inputs since a time.
pub(crate) async fn replay(
    bus: &Bus,
    since: SystemTime,
    trusted: &Arc<VerifyingKeys>,
    changes: &Arc<Changes>,
) -> Result<History, ReadError> {
    let mut past = Past {
        bus: bus.clone(),
        trusted: trusted.clone(),
        changes: changes.clone(),
        acted: BTreeMap::new(),
        claimed: BTreeMap::new(),
        history: History::default(),
    };
    past.read_decisions(since).await?;
    if changes.diagnosers.is_some() {
        past.diagnose(since).await?;
    } else {
        past.decide(since).await?;
    }
    Ok(past.history)
}

struct Past {
    bus: Bus,
    trusted: Arc<VerifyingKeys>,
    changes: Arc<Changes>,
    /// By the subject of the diagnosis.
    acted: BTreeMap<String, Recorded>,
    /// Incidents that an earlier step has led to a change in.
    claimed: BTreeMap<IncidentId, Option<bool>>,
    history: History,
}

/// A proven message: where it was published, what caused it, and what it says.
struct Proven<M> {
    subject: Subject,
    caused_by: String,
    message: M,
}

impl Past {
    /// What a stream holds since a time, verified on several threads; `None` for what proves nothing.
    async fn read<M: Message, T: Send + 'static, F, W>(
        &self,
        stream: &StreamSpec,
        stage: Stage,
        since: SystemTime,
        work: W,
    ) -> Result<impl Stream<Item = Result<Option<T>, ReadError>> + use<M, T, F, W>, ReadError>
    where
        F: Future<Output = Result<Option<T>, ReadError>> + Send,
        W: Fn(Proven<Verified<M>>) -> F + Clone + Send + Sync + 'static,
    {
        let reader = StreamReader::new(self.bus.clone(), stream.name);
        let first = reader.since(&stage.filter(), since).await?;
        let last = reader.extent().await?.last;
        let trusted = self.trusted.clone();
        let tasks = TaskTracker::new();
        Ok(reader
            .span(first..=last)
            .map(move |stored| {
                let (trusted, work) = (trusted.clone(), work.clone());
                tasks.spawn(async move {
                    let Some(proven) = prove(&stored?, &trusted) else {
                        return Ok(None);
                    };
                    work(proven).await
                })
            })
            .buffered(AT_A_TIME)
            .map(|joined| joined.unwrap_or_else(go_down_with)))
    }

    async fn read_decisions(&mut self, since: SystemTime) -> Result<(), ReadError> {
        let work = |proven: Proven<Verified<Acted>>| async move {
            Ok(Some((proven.caused_by, decided(proven.message.get()))))
        };
        let mut all = std::pin::pin!(self.read(&ACTED, Stage::Acted, since, work).await?);
        while let Some(found) = all.next().await {
            match found? {
                Some((diagnosis, Some(recorded))) => {
                    self.acted.insert(diagnosis, recorded);
                }
                Some((_, None)) => {}
                None => self.history.unproven += 1,
            }
        }
        Ok(())
    }

    /// The diagnoses since a time, without excerpts, in the order in which they were stored.
    async fn diagnoses(
        &mut self,
        since: SystemTime,
    ) -> Result<Vec<(Subject, Diagnosed, Option<Evidence>)>, ReadError> {
        let evidence = StreamReader::new(self.bus.clone(), REDACTED.name);
        let (trusted, is_deciding) = (self.trusted.clone(), self.changes.diagnosers.is_none());
        let work = move |proven: Proven<Verified<Diagnosed>>| {
            let (evidence, trusted) = (evidence.clone(), trusted.clone());
            async move {
                let mut diagnosed = proven.message.into_inner();
                diagnosed.excerpts.clear();
                // Only bounds of a limit are compared with the object, and it is large.
                let object = if is_deciding && sets_memory(&diagnosed) {
                    let stored = evidence.last(&proven.caused_by).await?;
                    let found = stored.and_then(|it| verified::<Redacted>(&it, &trusted));
                    found.and_then(|it| it.into_inner().evidence)
                } else {
                    None
                };
                Ok(Some((proven.subject, diagnosed, object)))
            }
        };
        let mut found = Vec::new();
        let mut all = std::pin::pin!(self.read(&DIAGNOSED, Stage::Diagnosed, since, work).await?);
        while let Some(one) = all.next().await {
            match one? {
                Some(one) => found.push(one),
                None => self.history.unproven += 1,
            }
        }
        Ok(found)
    }

    /// Decides anew on the diagnoses on record.
    async fn decide(&mut self, since: SystemTime) -> Result<(), ReadError> {
        for (subject, diagnosed, evidence) in self.diagnoses(since).await? {
            self.compare(&subject, Some(&diagnosed), None, evidence.as_ref());
        }
        Ok(())
    }

    /// Diagnoses anew from the evidence on record, and decides on that.
    async fn diagnose(&mut self, since: SystemTime) -> Result<(), ReadError> {
        let recorded: BTreeMap<String, Diagnosed> = self
            .diagnoses(since)
            .await?
            .into_iter()
            .map(|(subject, diagnosed, _)| (subject.to_string(), diagnosed))
            .collect();
        let changes = self.changes.clone();
        let work = move |proven: Proven<Verified<Redacted>>| {
            let changes = changes.clone();
            async move {
                let Some(diagnosers) = changes.diagnosers.as_ref() else {
                    return Ok(None);
                };
                let message = Safe::from_verified(proven.message);
                let mut diagnosed = svc_llm::diagnose_message(diagnosers, &message).await;
                if let Some(diagnosed) = &mut diagnosed {
                    diagnosed.excerpts.clear();
                }
                let evidence = message.into_inner().evidence;
                Ok(Some((proven.subject, diagnosed, evidence)))
            }
        };
        let mut all = std::pin::pin!(self.read(&REDACTED, Stage::Redacted, since, work).await?);
        while let Some(one) = all.next().await {
            let Some((subject, is, evidence)) = one? else {
                self.history.unproven += 1;
                continue;
            };
            let step = subject.step.clone();
            let subject = subject.at(Stage::Diagnosed, step);
            let was = recorded.get(&subject.to_string());
            self.compare(&subject, was, is.as_ref(), evidence.as_ref());
        }
        Ok(())
    }

    fn compare(
        &mut self,
        subject: &Subject,
        was: Option<&Diagnosed>,
        is: Option<&Diagnosed>,
        evidence: Option<&Evidence>,
    ) {
        let incident = is.or(was).and_then(|it| it.incident.as_ref());
        let known = Known {
            subject,
            workload: render::workload(incident),
            was,
            is,
            evidence,
            acted: self.acted.get(&subject.to_string()),
        };
        let claimed = self.claimed.entry(subject.incident.clone()).or_default();
        let compared = compare(known, self.changes.policy.as_ref(), claimed);
        self.history.steps.extend(compared);
    }
}

/// A mistake of ours must not look like a message that proves nothing.
fn go_down_with<T>(error: JoinError) -> T {
    let panic = error.try_into_panic();
    std::panic::resume_unwind(panic.unwrap_or_else(|error| Box::new(error)))
}

fn prove<M: Message>(
    stored: &StoredMessage,
    trusted: &VerifyingKeys,
) -> Option<Proven<Verified<M>>> {
    let message = verified::<M>(stored, trusted)?;
    let envelope = message.get().envelope()?;
    Some(Proven {
        subject: stored.subject.parse().ok()?,
        caused_by: envelope.caused_by.clone(),
        message,
    })
}

fn sets_memory(diagnosed: &Diagnosed) -> bool {
    let diagnosis = diagnosed.diagnosis.as_ref();
    let remedy = diagnosis.and_then(|it| it.remedy.as_ref());
    remedy.is_some_and(|it| matches!(it.fix, Some(Fix::SetMemory(_))))
}
