//! Reading events and recording exports, as `audit_archiver`.

use sqlx::pool::PoolConnection;
use sqlx::types::{Json, Uuid};
use sqlx::{FromRow, Postgres, Row as _};

use super::privileges::{Purpose, check};
use super::{Database, DatabaseError, failed};
use crate::archive::batch::{Row, Span};
use crate::event::ToolCall;

/// One archive job at a time; the number is arbitrary.
const LOCK: i64 = 0x626f_6e65_7365_7474;

const SELECT: &str = "\
    select seq, id, event_type, user_id, session_id, \
      to_char(\"timestamp\" at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') as at, \
      agent_version, user_message, tool_calls, response_hash, namespace, host(ip_address) as ip_address, \
      failure_reason, latency_ms, token_count, stage, step, subject, stream, stream_sequence, \
      to_char(stored_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') as stored, \
      payload_hash, object_name, failure_class, conclusion \
    from audit.audit_events where seq between $1 and $2 order by seq limit $3";

/// An export that was planned and perhaps not finished.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Plan {
    /// Its number.
    pub export_id: i64,
    /// First `seq`.
    pub from_seq: i64,
    /// Last `seq`.
    pub to_seq: i64,
    /// How many rows lie between.
    pub events: i32,
    /// Where the object goes.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Of the object.
    pub sha256: String,
}

/// The database's row, before its JSON and times have their form in the archive.
#[derive(Debug, FromRow)]
struct StoredRow {
    seq: i64,
    id: Uuid,
    event_type: String,
    user_id: String,
    session_id: String,
    at: String,
    agent_version: String,
    user_message: Option<String>,
    tool_calls: Json<Vec<ToolCall>>,
    response_hash: Option<String>,
    namespace: Option<String>,
    ip_address: Option<String>,
    failure_reason: Option<String>,
    latency_ms: Option<i64>,
    token_count: Option<i64>,
    stage: String,
    step: String,
    subject: String,
    stream: String,
    stream_sequence: i64,
    stored: String,
    payload_hash: String,
    object_name: Option<String>,
    failure_class: Option<String>,
    conclusion: Option<String>,
}

/// The ledger, as the archive job knows it, while no other archive job runs.
#[derive(Debug)]
pub struct ArchiveLedger {
    connection: PoolConnection<Postgres>,
}

impl ArchiveLedger {
    /// Refuses a role that could change what was recorded; `None` while another archive job runs.
    pub async fn open(database: &Database) -> Result<Option<Self>, DatabaseError> {
        check(database.pool(), Purpose::Archive).await?;
        let acquiring = "connecting to the database";
        let mut connection = database.pool().acquire().await.map_err(failed(acquiring))?;
        let is_alone = sqlx::query("select pg_try_advisory_lock($1) as alone")
            .bind(LOCK)
            .fetch_one(&mut *connection)
            .await
            .and_then(|row| row.try_get::<bool, _>("alone"))
            .map_err(failed("asking whether another archive job runs"))?;
        // The lock lives as long as the session, also when this process is killed.
        connection.close_on_drop();
        Ok(is_alone.then_some(Self { connection }))
    }

    /// The plan that has no result yet.
    pub async fn unfinished(&mut self) -> Result<Option<Plan>, DatabaseError> {
        sqlx::query_as(
            "select export_id, from_seq, to_seq, events, bucket, key, sha256 \
             from audit.audit_exports e where not exists \
               (select from audit.audit_export_results r where r.export_id = e.export_id) \
             order by export_id limit 1",
        )
        .fetch_optional(&mut *self.connection)
        .await
        .map_err(failed("looking for an unfinished export"))
    }

    /// The last `seq` that was planned to be exported.
    pub async fn watermark(&mut self) -> Result<i64, DatabaseError> {
        self.number(
            "select coalesce(max(to_seq), 0) as number from audit.audit_exports",
            "asking how far was exported",
        )
        .await
    }

    /// The last `seq` below which nothing is still being inserted.
    pub async fn horizon(&mut self) -> Result<i64, DatabaseError> {
        self.number(
            "select audit.archive_horizon() as number",
            "asking how far can be exported",
        )
        .await
    }

    async fn number(
        &mut self,
        query: &'static str,
        attempt: &'static str,
    ) -> Result<i64, DatabaseError> {
        sqlx::query(query)
            .fetch_one(&mut *self.connection)
            .await
            .and_then(|row| row.try_get("number"))
            .map_err(failed(attempt))
    }

    /// The rows of a span, in order, at most so many.
    pub async fn rows(&mut self, span: Span, limit: u32) -> Result<Vec<Row>, DatabaseError> {
        let rows: Vec<StoredRow> = sqlx::query_as(SELECT)
            .bind(span.from)
            .bind(span.to)
            .bind(i64::from(limit))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(failed("reading events"))?;
        Ok(rows.into_iter().map(Row::from).collect())
    }

    /// Records an intent to export and returns its number.
    pub async fn plan(&mut self, plan: &Plan) -> Result<i64, DatabaseError> {
        sqlx::query(
            "insert into audit.audit_exports (from_seq, to_seq, events, bucket, key, sha256) \
             values ($1, $2, $3, $4, $5, $6) returning export_id",
        )
        .bind(plan.from_seq)
        .bind(plan.to_seq)
        .bind(plan.events)
        .bind(&plan.bucket)
        .bind(&plan.key)
        .bind(&plan.sha256)
        .fetch_one(&mut *self.connection)
        .await
        .and_then(|row| row.try_get("export_id"))
        .map_err(failed("planning an export"))
    }

    /// Records what came of a plan.
    pub async fn finish(&mut self, export_id: i64, version_id: &str) -> Result<(), DatabaseError> {
        sqlx::query(
            "insert into audit.audit_export_results (export_id, version_id) values ($1, $2) \
             on conflict do nothing",
        )
        .bind(export_id)
        .bind(version_id)
        .execute(&mut *self.connection)
        .await
        .map(|_| ())
        .map_err(failed("recording an export"))
    }
}

impl From<StoredRow> for Row {
    fn from(row: StoredRow) -> Self {
        Self {
            seq: row.seq,
            id: row.id,
            event_type: row.event_type,
            user_id: row.user_id,
            session_id: row.session_id,
            timestamp: row.at,
            agent_version: row.agent_version,
            user_message: row.user_message,
            tool_calls: row.tool_calls.0,
            response_hash: row.response_hash,
            namespace: row.namespace,
            ip_address: row.ip_address,
            failure_reason: row.failure_reason,
            latency_ms: row.latency_ms,
            token_count: row.token_count,
            stage: row.stage,
            step: row.step,
            subject: row.subject,
            stream: row.stream,
            stream_sequence: row.stream_sequence,
            stored_at: row.stored,
            payload_hash: row.payload_hash,
            object_name: row.object_name,
            failure_class: row.failure_class,
            conclusion: row.conclusion,
        }
    }
}
