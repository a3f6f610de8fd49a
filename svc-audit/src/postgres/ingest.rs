//! Writing events, as `audit_ingest`.

use sqlx::types::Json;

use super::privileges::{Purpose, check};
use super::{Database, DatabaseError, failed};
use crate::event::AuditEvent;

/// `on conflict` without a target and without `returning`: both would need SELECT (measured on
/// PostgreSQL 15). Times are text, because the database keeps microseconds and so does the text.
const INSERT: &str = "\
    insert into audit.audit_events (id, event_type, user_id, session_id, \"timestamp\", agent_version, \
      tool_calls, response_hash, namespace, failure_reason, latency_ms, token_count, stage, step, \
      subject, stream, stream_sequence, stored_at, payload_hash, \
      object_name, failure_class, conclusion) \
    values ($1, $2, $3, $4, $5::timestamptz, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
      $18::timestamptz, $19, $20, $21, $22) \
    on conflict do nothing";

/// The ledger, as far as a writer knows it.
#[derive(Debug, Clone)]
pub struct Ledger {
    database: Database,
}

impl Ledger {
    /// Refuses a role that could change what was recorded.
    pub async fn open(database: Database) -> Result<Self, DatabaseError> {
        check(database.pool(), Purpose::Ingest).await?;
        Ok(Self { database })
    }

    /// Stores an event once, however often this is called. Says whether this call stored it.
    pub async fn record(&self, event: &AuditEvent) -> Result<bool, DatabaseError> {
        let result = sqlx::query(INSERT)
            .bind(event.id)
            .bind(event.event_type)
            .bind(event.user_id)
            .bind(&event.session_id)
            .bind(&event.timestamp)
            .bind(&event.agent_version)
            .bind(Json(&event.tool_calls))
            .bind(&event.response_hash)
            .bind(&event.namespace)
            .bind(&event.failure_reason)
            .bind(event.latency_ms)
            .bind(event.token_count)
            .bind(event.stage)
            .bind(&event.step)
            .bind(&event.subject)
            .bind(event.stream)
            .bind(event.stream_sequence)
            .bind(&event.stored_at)
            .bind(&event.payload_hash)
            .bind(&event.object_name)
            .bind(&event.failure_class)
            .bind(&event.conclusion)
            .execute(self.database.pool())
            .await
            .map_err(failed("recording an event"))?;
        Ok(result.rows_affected() > 0)
    }

    /// After a failure: the password may have been rotated.
    pub fn refresh(&self) -> Result<(), DatabaseError> {
        self.database.refresh()
    }
}
