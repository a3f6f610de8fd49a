//! What waits for its next stage, and what was told of it, as `audit_sweeper`.

use sqlx::Row as _;

use super::privileges::{Purpose, check};
use super::{Database, DatabaseError, failed};

/// Older than the cutoff and younger than the horizon; times as text, which is how they were stored.
const SELECT: &str = "\
    select session_id, step, subject, \
      extract(epoch from stored_at)::float8 as stored_at \
    from audit.waiting \
    where awaited = $1 and stored_at <= $2::timestamptz and stored_at > $3::timestamptz \
    order by stored_at limit $4";

/// A message that nothing followed.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The incident.
    pub session_id: String,
    /// Of the message.
    pub step: String,
    /// Of the message.
    pub subject: String,
    /// When the message was stored, in seconds since the epoch.
    pub stored_at: f64,
}

/// The ledger, as the sweeper knows it.
#[derive(Debug, Clone)]
pub struct SweepLedger {
    database: Database,
}

impl SweepLedger {
    /// Refuses a role that could change what was recorded.
    pub async fn open(database: Database) -> Result<Self, DatabaseError> {
        check(database.pool(), Purpose::Sweep).await?;
        Ok(Self { database })
    }

    /// What waits for the given since before `cutoff`, the oldest first, at most so many. Nothing
    /// from before `horizon`; both are RFC 3339.
    pub async fn waiting(
        &self,
        awaited: &str,
        cutoff: &str,
        horizon: &str,
        limit: u32,
    ) -> Result<Vec<Waiting>, DatabaseError> {
        let attempt = "looking for what is overdue";
        let rows = sqlx::query(SELECT)
            .bind(awaited)
            .bind(cutoff)
            .bind(horizon)
            .bind(i64::from(limit))
            .fetch_all(self.database.pool())
            .await
            .map_err(failed(attempt))?;
        let read = |row: &sqlx::postgres::PgRow| -> Result<Waiting, sqlx::Error> {
            Ok(Waiting {
                session_id: row.try_get("session_id")?,
                step: row.try_get("step")?,
                subject: row.try_get("subject")?,
                stored_at: row.try_get("stored_at")?,
            })
        };
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(failed(attempt))
    }

    /// Records that it was told; again is harmless.
    pub async fn told(&self, awaited: &str, waiting: &Waiting) -> Result<(), DatabaseError> {
        sqlx::query(
            "insert into audit.overdue (session_id, awaited, step) values ($1, $2, $3) \
             on conflict do nothing",
        )
        .bind(&waiting.session_id)
        .bind(awaited)
        .bind(&waiting.step)
        .execute(self.database.pool())
        .await
        .map(|_| ())
        .map_err(failed("recording what was told"))
    }

    /// After a failure: the password may have been rotated.
    pub fn refresh(&self) -> Result<(), DatabaseError> {
        self.database.refresh()
    }
}
