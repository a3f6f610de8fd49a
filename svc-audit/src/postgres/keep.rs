//! How far a stream is archived, as `audit_keeper`.

use sqlx::Row as _;

use super::privileges::{Purpose, check};
use super::{Database, DatabaseError, failed};

/// The end of the gapless row of archived messages that begins with the oldest one of the stream. A
/// stream that was made anew counts from 1 again, so what was stored before it was made does not count.
const SELECT: &str = "\
    select coalesce(max(stream_sequence), $2 - 1) as through from ( \
      select stream_sequence, row_number() over (order by stream_sequence) as place from ( \
        select distinct stream_sequence from audit.archived \
        where stream = $1 and stream_sequence >= $2 and stored_at >= $3::timestamptz) known) numbered \
    where stream_sequence = $2 + place - 1";

/// The archive, as the keeper knows it.
#[derive(Debug, Clone)]
pub struct KeepLedger {
    database: Database,
}

impl KeepLedger {
    /// Refuses a role that could change what was recorded.
    pub async fn open(database: Database) -> Result<Self, DatabaseError> {
        check(database.pool(), Purpose::Keep).await?;
        Ok(Self { database })
    }

    /// The place in a stream up to which every message is archived, beginning with the one at
    /// `first`; the place before that when not even that one is. `created` is RFC 3339.
    pub async fn archived_through(
        &self,
        stream: &str,
        first: u64,
        created: &str,
    ) -> Result<u64, DatabaseError> {
        let attempt = "asking what is archived";
        let through: i64 = sqlx::query(SELECT)
            .bind(stream)
            .bind(i64::try_from(first).unwrap_or(i64::MAX))
            .bind(created)
            .fetch_one(self.database.pool())
            .await
            .and_then(|row| row.try_get("through"))
            .map_err(failed(attempt))?;
        Ok(u64::try_from(through).unwrap_or(0))
    }

    /// After a failure: the password may have been rotated.
    pub fn refresh(&self) -> Result<(), DatabaseError> {
        self.database.refresh()
    }
}
