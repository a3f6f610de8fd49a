//! The archive job: rows of the ledger go into locked storage, once each.
//!
//! The order makes a crash at any point harmless: the plan is recorded, the object is put, what was
//! archived is published, the result is recorded. The next run finishes a plan without a result: the
//! rows cannot have changed, so the bytes are the same, and the key, which holds their digest, is
//! either free or taken by this very object. If the digest is another one, somebody has changed rows
//! (or the form of the archive), and the job stops and says so instead of going on.
//!
//! The credential can only put. Whether the bucket is locked cannot be asked with it; a bucket
//! whose default retention is COMPLIANCE is a duty of the installer.

pub mod batch;

use std::time::Duration;

use bonesetter_chassis::bus::{Bus, KeepError, PublishError, Publisher, StreamState};
use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::topology::AUDIT;
use bonesetter_proto::v1::{Archived, Incident, ObjectRef};
use bonesetter_proto::{Stage, Subject, to_timestamp};

use crate::metrics::ExportMetrics;
use crate::postgres::archive::{ArchiveLedger, Plan};
use crate::postgres::{Database, DatabaseError};
use crate::s3::{Bucket, StoreError, Stored};
use batch::{Batch, Span};

/// More than a message about what was archived takes.
const ROOM_BYTES: u64 = 8 * 1024;

/// Why nothing, or not everything, was exported.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The ledger.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The object store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bus.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The bus does not take what was archived.
    #[error(
        "stream {} has not taken for {waited:?} what was archived: {found}; the rows are in the object store, \
         and the next export goes on here",
        AUDIT.name
    )]
    Untold {
        /// How long it was tried.
        waited: Duration,
        /// What is wrong, and what to do.
        found: String,
    },
    /// A row cannot be written as JSON.
    #[error("cannot write rows {from} to {to} as JSON: {source}")]
    Render {
        /// First row.
        from: i64,
        /// Last row.
        to: i64,
        /// Why.
        source: serde_json::Error,
    },
    /// Another archive job has the lock.
    #[error("another archive job is running")]
    Busy,
    /// What is in the ledger is not what was planned.
    #[error(
        "rows {from} to {to} of the ledger are not those that were planned for export {export}: \
         they were changed, or another version planned it; nothing is exported until this is cleared"
    )]
    Changed {
        /// Number of the plan.
        export: i64,
        /// First row.
        from: i64,
        /// Last row.
        to: i64,
    },
}

/// Exports what has not been exported.
#[derive(Debug)]
pub struct Archiver {
    /// The ledger's database, as `audit_archiver`.
    pub database: Database,
    /// Where objects go.
    pub bucket: Bucket,
    /// Its name.
    pub bucket_name: String,
    /// Tells the bus.
    pub publisher: Publisher<Archived>,
    /// Is asked when it takes nothing.
    pub bus: Bus,
    /// How long it may take to tell one thing.
    pub told_within: Duration,
    /// The cluster's name, which stands in keys.
    pub cluster: String,
    /// The time.
    pub clock: Clock,
    /// Rows an object holds at most.
    pub rows: u32,
    /// What is counted.
    pub metrics: ExportMetrics,
}

impl Archiver {
    /// Exports until nothing is left; returns how many objects there are now that were not before.
    pub async fn export(&self) -> Result<usize, ArchiveError> {
        let mut ledger = ArchiveLedger::open(&self.database)
            .await?
            .ok_or(ArchiveError::Busy)?;
        let mut objects = 0;
        if let Some(plan) = ledger.unfinished().await? {
            tracing::info!(
                export = plan.export_id,
                key = plan.key,
                "finishing an export"
            );
            let batch = self.planned(&mut ledger, &plan).await?;
            self.carry_out(&mut ledger, &plan, batch).await?;
            objects += 1;
        }
        let horizon = ledger.horizon().await?;
        while let Some((plan, batch)) = self.plan(&mut ledger, horizon).await? {
            self.carry_out(&mut ledger, &plan, batch).await?;
            objects += 1;
        }
        Ok(objects)
    }

    /// The batch of a plan of an earlier run.
    async fn planned(
        &self,
        ledger: &mut ArchiveLedger,
        plan: &Plan,
    ) -> Result<Batch, ArchiveError> {
        let span = Span {
            from: plan.from_seq,
            to: plan.to_seq,
        };
        let rows = u32::try_from(plan.events)
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        match self.batch(ledger, span, rows).await? {
            Some(batch) if batch.sha256 == plan.sha256 => Ok(batch),
            _ => Err(ArchiveError::Changed {
                export: plan.export_id,
                from: span.from,
                to: span.to,
            }),
        }
    }

    /// Plans the next object; `None` when nothing is left below the horizon.
    async fn plan(
        &self,
        ledger: &mut ArchiveLedger,
        horizon: i64,
    ) -> Result<Option<(Plan, Batch)>, ArchiveError> {
        let span = Span {
            from: ledger.watermark().await? + 1,
            to: horizon,
        };
        let Some(batch) = self.batch(ledger, span, self.rows).await? else {
            return Ok(None);
        };
        let mut plan = Plan {
            export_id: 0,
            from_seq: batch.span.from,
            to_seq: batch.span.to,
            events: batch.events,
            bucket: self.bucket_name.clone(),
            key: batch.key(&self.cluster, self.clock.now()),
            sha256: batch.sha256.clone(),
        };
        plan.export_id = ledger.plan(&plan).await?;
        Ok(Some((plan, batch)))
    }

    async fn batch(
        &self,
        ledger: &mut ArchiveLedger,
        span: Span,
        limit: u32,
    ) -> Result<Option<Batch>, ArchiveError> {
        let rows = ledger.rows(span, limit).await?;
        Batch::of(span.from, &rows).map_err(|source| ArchiveError::Render {
            from: span.from,
            to: span.to,
            source,
        })
    }

    /// Puts the object, tells the bus, records the result.
    async fn carry_out(
        &self,
        ledger: &mut ArchiveLedger,
        plan: &Plan,
        batch: Batch,
    ) -> Result<(), ArchiveError> {
        let Batch {
            bytes, incidents, ..
        } = batch;
        let version_id = match self.bucket.put(&plan.key, bytes).await? {
            Stored::Now { version_id } => version_id,
            Stored::Before => String::new(),
        };
        for (subject, events) in incidents.into_values() {
            let message = self.archived(plan, &version_id, &subject, events);
            let output = subject.at(Stage::Audit, format!("archived-{}", plan.to_seq));
            self.tell(&output, message, &subject).await?;
        }
        ledger.finish(plan.export_id, &version_id).await?;
        let rows = u64::try_from(plan.events).unwrap_or_default();
        self.metrics.exported(rows, through(plan));
        tracing::info!(key = plan.key, rows, sha256 = plan.sha256, "exported");
        Ok(())
    }

    /// Whoever publishes waits for a stream that takes nothing, but rows that wait for this one keep the
    /// others from being purged: that must be said. What was told before stays told.
    async fn tell(
        &self,
        output: &Subject,
        message: Archived,
        about: &Subject,
    ) -> Result<(), ArchiveError> {
        let caused_by = about.to_string();
        let published = self.publisher.publish(output, message, &caused_by);
        if let Ok(published) = tokio::time::timeout(self.told_within, published).await {
            published?;
            return Ok(());
        }
        Err(ArchiveError::Untold {
            waited: self.told_within,
            found: what_is_wrong(self.bus.stream_state(&AUDIT).await),
        })
    }

    fn archived(&self, plan: &Plan, version_id: &str, subject: &Subject, events: u32) -> Archived {
        let namespace = subject
            .namespace
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        // The ledger keeps no names of workloads; kind and namespace are in the subject.
        let root_owner = ObjectRef {
            kind: subject.kind.clone(),
            namespace,
            ..ObjectRef::default()
        };
        Archived {
            envelope: None,
            incident: Some(Incident {
                id: subject.incident.to_string(),
                cluster: subject.cluster.clone(),
                root_owner: Some(root_owner),
                ..Incident::default()
            }),
            bucket: plan.bucket.clone(),
            key: plan.key.clone(),
            sha256: plan.sha256.clone(),
            version_id: version_id.to_owned(),
            through_event: through(plan),
            events,
            exported_at: Some(to_timestamp(self.clock.now())),
        }
    }
}

/// With the stream that holds what was archived.
fn what_is_wrong(state: Result<StreamState, KeepError>) -> String {
    let state = match state {
        Ok(state) => state,
        Err(error) => return error.to_string(),
    };
    let StreamState {
        bytes, max_bytes, ..
    } = state;
    if bytes + ROOM_BYTES > max_bytes {
        return format!(
            "it is full ({bytes} of {max_bytes} bytes), and nobody purges it; find out what fills it, and give it \
             more room (`nats stream edit {} --max-bytes`) until that is gone",
            AUDIT.name
        );
    }
    format!(
        "it holds {bytes} of {max_bytes} bytes, so it is not full; the log says what it answers"
    )
}

fn through(plan: &Plan) -> u64 {
    u64::try_from(plan.to_seq).unwrap_or_default()
}
