//! How far a stream is archived, as `audit_keeper`.

use sqlx::Row as _;

use super::privileges::{Purpose, check};
use super::{Database, DatabaseError, failed};

/// The end of the gapless row of messages that are archived, or need not be ($4), beginning with the oldest
/// one of the stream. A stream that was made anew counts from 1 again, so what was stored before it was
/// made does not count.
const SELECT: &str = "\
    select coalesce(max(stream_sequence), $2 - 1) as through from ( \
      select stream_sequence, row_number() over (order by stream_sequence) as place from ( \
        select stream_sequence from audit.archived \
        where stream = $1 and stream_sequence >= $2 and stored_at >= $3::timestamptz \
        union select left_out from unnest($4::bigint[]) left_out where left_out >= $2) known) numbered \
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

    /// The place in a stream up to which every message is archived or one of `left_out`, beginning with
    /// the one at `first`; the place before that when not even that one is. `created` is RFC 3339.
    pub async fn archived_through(
        &self,
        stream: &str,
        first: u64,
        created: &str,
        left_out: &[u64],
    ) -> Result<u64, DatabaseError> {
        let attempt = "asking what is archived";
        let place = |sequence: u64| i64::try_from(sequence).unwrap_or(i64::MAX);
        let left_out: Vec<i64> = left_out.iter().copied().map(place).collect();
        let through: i64 = sqlx::query(SELECT)
            .bind(stream)
            .bind(place(first))
            .bind(created)
            .bind(left_out)
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
