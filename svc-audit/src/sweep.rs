//! The sweeper: finds incidents that have not reached their next stage in time, and says so once.
//!
//! It sees the ledger and not the streams, so it must not take a ledger that lags behind for a stage
//! that does not answer. How far the ledger is complete follows from the place of its consumers
//! ([`position`]); what is not certain is not judged. A message that was lost on the way, or that lies
//! among the dead letters, is found like this too, because what should have followed it is missing.
//!
//! Several sweepers may run: what they publish has the same subject, which the stream stores once.

pub mod position;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bonesetter_chassis::bus::{
    Bus, LagError, PublishError, Publisher, ReadError, StoredMessage, StreamReader,
};
use bonesetter_chassis::clock::{Clock, rfc3339};
use bonesetter_chassis::topology::{DETECTED, ledger_consumers};
use bonesetter_keys::VerifyingKeys;
use bonesetter_proto::v1::{Awaited, Detected, Incident, ObjectRef, Overdue};
use bonesetter_proto::{Message as _, Stage, Subject, SubjectError, to_timestamp};

use crate::config::SweepSettings;
use crate::metrics::SweepMetrics;
use crate::postgres::DatabaseError;
use crate::postgres::sweep::{SweepLedger, Waiting};
use position::Positions;

/// What one round tells of one kind at most; the next round goes on.
const BATCH: u32 = 500;

/// What can be awaited: its name in the ledger, and the stage that brings it.
pub(crate) const AWAITED: [(Awaited, &str, Stage); 6] = [
    (Awaited::Evidence, "evidence", Stage::Redacted),
    (Awaited::Diagnosis, "diagnosis", Stage::Diagnosed),
    (Awaited::Decision, "decision", Stage::Acted),
    (Awaited::Change, "change", Stage::Acted),
    (Awaited::Verification, "verification", Stage::Acted),
    (Awaited::Notice, "notice", Stage::Notified),
];

/// Why a round did not get to its end; the next one makes up for it.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The ledger.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// How far the ledger is.
    #[error(transparent)]
    Lag(#[from] LagError),
    /// What was detected.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The bus.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A row with a subject that no message has.
    #[error("a row of the ledger names no message: {0}")]
    Subject(#[from] SubjectError),
}

/// Looks for what is overdue.
#[derive(Debug)]
pub struct Sweeper {
    /// As `audit_sweeper`.
    pub ledger: SweepLedger,
    /// To ask how far the ledger is, and for what was detected.
    pub bus: Bus,
    /// Whom to believe what was detected.
    pub trusted: Arc<VerifyingKeys>,
    /// Tells.
    pub publisher: Publisher<Overdue>,
    /// The time.
    pub clock: Clock,
    /// How long each stage may take.
    pub settings: SweepSettings,
    /// What is counted.
    pub metrics: SweepMetrics,
    /// How far the ledger is known to be complete.
    pub positions: Positions,
}

impl Sweeper {
    /// One round; returns how much was told by this sweeper that nobody had told before.
    pub async fn sweep(&mut self) -> Result<usize, SweepError> {
        for consumer in ledger_consumers() {
            let asked_at = self.clock.now();
            let state = self.bus.consumer_state(consumer).await?;
            self.positions.observe(consumer.name, asked_at, state);
        }
        let mut told = 0;
        for (awaited, name, stage) in AWAITED {
            // Before the end of an incident is known, it would be taken for open.
            let complete = self.positions.through([Stage::Detected, stage]);
            self.metrics.judged(name, complete, self.clock.now());
            if let Some(complete) = complete {
                told += self.sweep_one(awaited, name, complete).await?;
            }
        }
        Ok(told)
    }

    async fn sweep_one(
        &self,
        awaited: Awaited,
        name: &'static str,
        complete: SystemTime,
    ) -> Result<usize, SweepError> {
        let limit = self.settings.within.of(awaited);
        let cutoff = before(complete, limit);
        let horizon = before(self.clock.now(), self.settings.horizon);
        let waiting = self.ledger.waiting(name, &cutoff, &horizon, BATCH).await?;
        for message in &waiting {
            self.tell(awaited, name, limit, message).await?;
        }
        Ok(waiting.len())
    }

    async fn tell(
        &self,
        awaited: Awaited,
        name: &'static str,
        limit: Duration,
        waiting: &Waiting,
    ) -> Result<(), SweepError> {
        let cause: Subject = waiting.subject.parse()?;
        let detected = self.detected(&cause).await?;
        let message = Overdue {
            envelope: None,
            failure_class: detected.as_ref().map_or(0, |it| it.failure_class),
            incident: detected
                .and_then(|it| it.incident)
                .or_else(|| Some(nameless(&cause))),
            awaited: awaited.into(),
            waiting_since: Some(to_timestamp(stored_at(waiting))),
            limit_seconds: limit.as_secs(),
        };
        let subject = cause.at(Stage::Overdue, step(name, &cause));
        self.publisher
            .publish(&subject, message, &waiting.subject)
            .await?;
        self.ledger.told(name, waiting).await?;
        self.metrics.told(name);
        tracing::warn!(%subject, "an incident has not reached its next stage in time");
        Ok(())
    }

    /// What was detected first, which says what the workload is called; `None` when it is not kept
    /// any more, or not to be believed.
    async fn detected(&self, cause: &Subject) -> Result<Option<Detected>, SweepError> {
        let subject = cause.at(Detected::STAGE, "open").to_string();
        let stored = StreamReader::new(self.bus.clone(), DETECTED.name)
            .last(&subject)
            .await?;
        // Only a message about this very incident may lend it its name.
        let is_its_own = |it: &Detected| {
            let id = it.incident().map(|incident| incident.id.as_str());
            id == Some(cause.incident.as_str())
        };
        let verified = |it: StoredMessage| {
            let signature = it.signature()?;
            let verified = self.trusted.verify(&it.subject, &it.payload, &signature);
            Some(verified.ok()?.into_inner())
        };
        Ok(stored.and_then(verified).filter(is_its_own))
    }
}

/// `<awaited>-<step>`: unique within an incident, because each step of an incident is in one stage.
fn step(awaited: &str, cause: &Subject) -> String {
    format!("{awaited}-{}", cause.step)
}

fn before(at: SystemTime, by: Duration) -> String {
    rfc3339(at.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH))
}

fn stored_at(waiting: &Waiting) -> SystemTime {
    let since = Duration::try_from_secs_f64(waiting.stored_at).unwrap_or_default();
    SystemTime::UNIX_EPOCH + since
}

/// What the subject says.
fn nameless(subject: &Subject) -> Incident {
    let namespace = subject
        .namespace
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    Incident {
        id: subject.incident.to_string(),
        cluster: subject.cluster.clone(),
        root_owner: Some(ObjectRef {
            kind: subject.kind.clone(),
            namespace,
            ..ObjectRef::default()
        }),
        ..Incident::default()
    }
}
