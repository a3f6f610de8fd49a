//! The bus: the episodes' bucket and the stream of what was detected.

use std::pin::pin;

use bonesetter_chassis::bus::{Bucket, KvError, PublishError, Publisher, Stored};
use bonesetter_keys::incident_id;
use bonesetter_proto::v1::Detected;
use bonesetter_proto::{IncidentId, Namespace, Stage, Subject, SubjectError, escape};
use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use tokio::task::JoinError;
use tracing::{error, info};

use crate::episode::{Effect, Memory, Windows, next};
use crate::facts::Object;
use crate::observe::Verdict;
use crate::record::{Pending, Record, RecordError};

/// An episode moves by one step at a time; more in one go are conflicts that do not end.
const MAX_EFFECTS: usize = 16;

/// Why an episode could not be carried on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// The bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] KvError),
    /// The step cannot be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The task that read the bucket did not get to its end.
    #[error("could not read the episodes to their end: {0}")]
    Load(#[from] JoinError),
    /// The record cannot be read.
    #[error("key {key:?} of the episodes' bucket: {source}")]
    Record {
        /// Its key.
        key: String,
        /// Why.
        source: RecordError,
    },
    /// The owner's names make no subject.
    #[error("could not make a subject for {kind} {name:?}: {source}")]
    Subject {
        /// Of the root owner.
        kind: String,
        /// Of the root owner.
        name: String,
        /// Why.
        source: SubjectError,
    },
}

impl LedgerError {
    /// Only this root owner is concerned, and trying again does not help.
    pub(crate) const fn is_permanent(&self) -> bool {
        matches!(self, Self::Record { .. } | Self::Subject { .. })
    }
}

/// What is remembered of one root owner.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tracked {
    /// As stored, with its revision.
    pub(crate) stored: Option<(Record, u64)>,
    /// Since when things have been true.
    pub(crate) memory: Memory,
    /// Its record cannot be used until somebody has mended or deleted it.
    pub(crate) is_broken: bool,
    /// To be judged again when time has passed, and not only when something changes.
    pub(crate) is_active: bool,
}

impl Tracked {
    /// The stored record.
    pub(crate) fn record(&self) -> Option<&Record> {
        self.stored.as_ref().map(|(record, _)| record)
    }

    /// Takes what has been read, unless something newer is known.
    pub(crate) fn remember(&mut self, record: Record, revision: u64) {
        if (self.stored.as_ref()).is_none_or(|(_, known)| *known < revision) {
            self.stored = Some((record, revision));
        }
        self.is_active = true;
    }
}

/// Stores episodes and publishes their steps.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    cluster: String,
    bucket: Bucket,
    publisher: Publisher<Detected>,
}

impl Ledger {
    pub(crate) const fn new(
        cluster: String,
        bucket: Bucket,
        publisher: Publisher<Detected>,
    ) -> Self {
        Self {
            cluster,
            bucket,
            publisher,
        }
    }

    /// Every record of this cluster with its revision. Says of each key that it has been read.
    pub(crate) async fn load(
        &self,
        note_read: impl Fn() + Send,
    ) -> Result<Vec<(Record, u64)>, LedgerError> {
        let prefix = format!("{}.", escape(&self.cluster));
        let mut entries = pin!(self.bucket.entries(&prefix));
        let mut records = Vec::new();
        while let Some((key, entry)) = entries.try_next().await? {
            note_read();
            match Record::from_bytes(&entry.value) {
                Ok(record) => records.push((record, entry.revision)),
                Err(source) => {
                    error!(key, error = %source, "an episode record cannot be read");
                }
            }
        }
        note_read();
        Ok(records)
    }

    /// Does all that is to be done about one root owner now, as long as `may_go_on`; says which steps
    /// were published.
    pub(crate) async fn carry_on(
        &self,
        tracked: &mut Tracked,
        verdict: &Verdict,
        now: Timestamp,
        windows: &Windows,
        may_go_on: impl Fn() -> bool + Send,
    ) -> Result<Vec<String>, LedgerError> {
        let observed = verdict.observation();
        let mut steps = Vec::new();
        for _ in 0..MAX_EFFECTS {
            // A verdict of the past must not be joined to a record that somebody else has stored.
            if !may_go_on() {
                break;
            }
            let record = tracked.stored.as_ref().map(|(record, _)| record);
            let effect = next(
                &self.cluster,
                record,
                &mut tracked.memory,
                &observed,
                now,
                windows,
            );
            match (effect, &tracked.stored) {
                (Effect::Store(record), _) => self.store(tracked, *record).await?,
                (Effect::Publish(pending), Some((record, _))) => {
                    if self.publish(record, &pending).await? {
                        steps.push(pending.step);
                    }
                    let published = record.published();
                    self.store(tracked, published).await?;
                }
                (Effect::Forget, Some((record, revision))) => {
                    let key = self.key(&record.owner);
                    match self.bucket.delete(&key, *revision).await {
                        Ok(()) => tracked.stored = None,
                        Err(KvError::Conflict { .. }) => tracked.stored = self.read(&key).await?,
                        Err(error) => return Err(error.into()),
                    }
                }
                (Effect::Rest | Effect::Publish(_) | Effect::Forget, _) => break,
            }
        }
        Ok(steps)
    }

    /// Compare-and-set. When somebody else was faster, what they stored counts.
    async fn store(&self, tracked: &mut Tracked, record: Record) -> Result<(), LedgerError> {
        let key = self.key(&record.owner);
        let bytes = record.to_bytes();
        let bytes = bytes.map_err(|source| LedgerError::Record {
            key: key.clone(),
            source,
        })?;
        let value = Bytes::from(bytes);
        let result = match &tracked.stored {
            None => self.bucket.create(&key, value).await,
            Some((_, revision)) => self.bucket.update(&key, value, *revision).await,
        };
        tracked.stored = match result {
            Ok(revision) => Some((record, revision)),
            Err(KvError::Conflict { .. }) => self.read(&key).await?,
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }

    async fn read(&self, key: &str) -> Result<Option<(Record, u64)>, LedgerError> {
        let Some(entry) = self.bucket.get(key).await? else {
            return Ok(None);
        };
        let record = Record::from_bytes(&entry.value);
        let record = record.map_err(|source| LedgerError::Record {
            key: key.to_owned(),
            source,
        })?;
        Ok(Some((record, entry.revision)))
    }

    /// Whether it had not been published before.
    async fn publish(&self, record: &Record, pending: &Pending) -> Result<bool, LedgerError> {
        let owner = &record.owner;
        let message = pending.message();
        let message = message.map_err(|source| LedgerError::Record {
            key: self.key(owner),
            source,
        })?;
        let subject = subject(&self.cluster, owner, record.episode.number, &pending.step);
        let subject = subject.map_err(|source| LedgerError::Subject {
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            source,
        })?;
        let class = message.failure_class();
        let stored = self.publisher.publish(&subject, message, "").await?;
        let is_new = matches!(stored, Stored::Now(_));
        if is_new {
            info!(incident = %subject.incident, step = pending.step, namespace = owner.namespace,
                kind = owner.kind, name = owner.name, class = class.as_str_name(), "published");
        }
        Ok(is_new)
    }

    /// A uid is unique within its cluster only.
    fn key(&self, owner: &Object) -> String {
        format!("{}.{}", escape(&self.cluster), escape(&owner.uid))
    }
}

fn subject(
    cluster: &str,
    owner: &Object,
    episode: u32,
    step: &str,
) -> Result<Subject, SubjectError> {
    let namespace = match owner.namespace.as_str() {
        "" => None,
        name => Some(Namespace::new(name)?),
    };
    Ok(Subject {
        stage: Stage::Detected,
        cluster: cluster.to_owned(),
        namespace,
        kind: owner.kind.clone(),
        incident: IncidentId::new(incident_id(cluster, &owner.uid, episode))?,
        step: step.to_owned(),
    })
}
