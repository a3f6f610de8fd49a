//! Incidents and their events, as `audit_reader`.

use sqlx::FromRow;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;

use super::privileges::{Purpose, check};
use super::{Database, DatabaseError, failed};

type Query<'q, T> = QueryAs<'q, sqlx::Postgres, T, PgArguments>;

/// Of a query about namespaces (`$1`) that of who sees all of them, and that of who sees some: one statement for
/// both would be planned as if everybody saw all.
macro_rules! of_namespaces {
    ($before:literal, $after:literal) => {
        [
            concat!($before, "$1::text[] is null", $after),
            concat!($before, "e.namespace = any($1)", $after),
        ]
    };
}

/// The first believed event of each incident, the newest first.
const LIST: [&str; 2] = of_namespaces!(
    "select e.session_id, e.seq from audit.audit_events e \
    where ",
    " and e.user_id <> 'unverified' and e.seq < $2 \
      and not exists (select from audit.audit_events f \
        where f.session_id = e.session_id and f.seq < e.seq and f.user_id <> 'unverified') \
      and not ($3 and exists (select from audit.audit_events f \
        where f.session_id = e.session_id and f.event_type = 'incident_resolved' \
          and f.user_id <> 'unverified')) \
    order by e.seq desc limit $4"
);

/// Ids with the same beginning lie next to each other; letters and digits are in the order of every collation.
const FIND: [&str; 2] = of_namespaces!(
    "select distinct e.session_id from audit.audit_events e \
    where ",
    " and e.session_id between $2 and rpad($2, 26, 'z') and starts_with(e.session_id, $2) limit 2"
);

/// What was not believed counts as an event and says nothing about the incident.
const OVERVIEW: &str = "\
    select session_id, count(*) as events, \
      min(subject) filter (where believed) as subject, \
      (array_agg(object_name order by seq) filter (where believed and object_name is not null))[1] as name, \
      (array_agg(failure_class order by seq desc) \
        filter (where believed and stage = 'detected' and failure_class is not null))[1] as failure_class, \
      (array_agg(conclusion order by seq desc) filter (where believed and stage = 'diagnosed'))[1] as cause, \
      (array_agg(event_type order by seq desc) filter (where believed and stage = 'acted'))[1] as acted, \
      coalesce(bool_or(event_type = 'incident_overdue') filter (where believed), false) as overdue, \
      (array_agg(conclusion) filter (where believed and event_type = 'incident_resolved'))[1] as ended, \
      extract(epoch from min(stored_at) filter (where believed))::float8 as opened_at, \
      extract(epoch from max(stored_at))::float8 as last_at, \
      extract(epoch from max(stored_at) filter (where believed and event_type = 'incident_resolved'))::float8 \
        as resolved_at \
    from (select *, user_id <> 'unverified' as believed from audit.audit_events \
      where session_id = any($1)) e \
    group by session_id";

/// In the order of recording; `$3` is the incident, null for all.
const EVENTS: [&str; 2] = of_namespaces!(
    "select e.seq, e.session_id, e.event_type, e.user_id, e.subject, e.stream, e.stream_sequence, \
      extract(epoch from e.stored_at)::float8 as stored_at, e.payload_hash, e.failure_reason, \
      e.failure_class, e.conclusion, e.latency_ms, e.token_count \
    from audit.audit_events e \
    where ",
    " and e.seq > $2 and ($3::text is null or e.session_id = $3) \
    order by e.seq limit $4"
);

/// The statement for who sees these.
fn of(statements: [&'static str; 2], namespaces: &Namespaces) -> &'static str {
    let [of_all, of_some] = statements;
    if namespaces.is_none() {
        of_all
    } else {
        of_some
    }
}

/// See [`ReadLedger::settled`].
const SETTLED: &str = "\
    select seq from audit.audit_events where recorded_at < now() - make_interval(secs => 30) \
    order by seq desc limit 1";

/// See [`ReadLedger::settled_at`].
const SETTLED_AT: &str = "\
    select seq from audit.audit_events where seq <= $1 and recorded_at < ( \
      select recorded_at from audit.audit_events where seq <= $1 order by seq desc limit 1 \
    ) - make_interval(secs => 30) order by seq desc limit 1";

/// Which namespaces somebody may see; `None` for all, also for what has no namespace.
pub type Namespaces = Option<Vec<String>>;

/// An incident, as far as its rows tell.
#[derive(Debug, Clone, PartialEq, FromRow)]
#[expect(missing_docs, reason = "the columns of the query")]
pub struct OverviewRow {
    pub session_id: String,
    pub events: i64,
    pub subject: Option<String>,
    pub name: Option<String>,
    pub failure_class: Option<String>,
    pub cause: Option<String>,
    pub acted: Option<String>,
    pub overdue: bool,
    pub ended: Option<String>,
    /// Seconds since the epoch.
    pub opened_at: Option<f64>,
    pub last_at: f64,
    pub resolved_at: Option<f64>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, FromRow)]
#[expect(missing_docs, reason = "the columns of audit.audit_events")]
pub struct EventRow {
    pub seq: i64,
    pub session_id: String,
    pub event_type: String,
    pub user_id: String,
    pub subject: String,
    pub stream: String,
    pub stream_sequence: i64,
    /// Seconds since the epoch.
    pub stored_at: f64,
    pub payload_hash: String,
    pub failure_reason: Option<String>,
    pub failure_class: Option<String>,
    pub conclusion: Option<String>,
    pub latency_ms: Option<i64>,
    pub token_count: Option<i64>,
}

/// The ledger, as a reader knows it.
#[derive(Debug, Clone)]
pub struct ReadLedger {
    database: Database,
}

impl ReadLedger {
    /// Refuses a role that could change what was recorded.
    pub async fn open(database: Database) -> Result<Self, DatabaseError> {
        check(database.pool(), Purpose::Read).await?;
        Ok(Self { database })
    }

    /// Ids of incidents, the newest first, with the place of their first event, which is before `before`.
    pub async fn list(
        &self,
        namespaces: &Namespaces,
        before: i64,
        open_only: bool,
        limit: u32,
    ) -> Result<Vec<(String, i64)>, DatabaseError> {
        let query = sqlx::query_as(of(LIST, namespaces))
            .bind(namespaces)
            .bind(before)
            .bind(open_only)
            .bind(i64::from(limit));
        self.rows(query, "listing incidents").await
    }

    /// At most two ids that begin so.
    pub async fn find(
        &self,
        namespaces: &Namespaces,
        prefix: &str,
    ) -> Result<Vec<String>, DatabaseError> {
        let query = sqlx::query_as(of(FIND, namespaces))
            .bind(namespaces)
            .bind(prefix);
        let rows: Vec<(String,)> = self.rows(query, "looking for an incident").await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// What the ledger knows of these, in any order.
    pub async fn overviews(&self, ids: &[String]) -> Result<Vec<OverviewRow>, DatabaseError> {
        let query = sqlx::query_as(OVERVIEW).bind(ids);
        self.rows(query, "reading incidents").await
    }

    /// Events after a place, in order, at most so many; of one incident or of all.
    pub async fn events(
        &self,
        namespaces: &Namespaces,
        incident: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, DatabaseError> {
        let query = sqlx::query_as(of(EVENTS, namespaces))
            .bind(namespaces)
            .bind(after)
            .bind(incident)
            .bind(i64::from(limit));
        self.rows(query, "reading events").await
    }

    /// The last place that is so old that nothing is being recorded before it any more: numbers are handed
    /// out before commit, and transactions commit in any order. An insertion that is held up for longer
    /// than that is not waited for.
    pub async fn settled(&self) -> Result<i64, DatabaseError> {
        self.place(sqlx::query_as(SETTLED)).await
    }

    /// The same as it was when the event at a place was recorded, or the last one before that place.
    pub async fn settled_at(&self, place: i64) -> Result<i64, DatabaseError> {
        self.place(sqlx::query_as(SETTLED_AT).bind(place)).await
    }

    async fn place(&self, query: Query<'_, (i64,)>) -> Result<i64, DatabaseError> {
        let rows = self.rows(query, "asking how far the ledger is").await?;
        Ok(rows.first().map_or(0, |(seq,)| *seq))
    }

    async fn rows<T>(
        &self,
        query: Query<'_, T>,
        attempt: &'static str,
    ) -> Result<Vec<T>, DatabaseError>
    where
        T: for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let rows = query.fetch_all(self.database.pool()).await;
        rows.map_err(failed(attempt))
    }

    /// After a failure: the password may have been rotated.
    pub fn refresh(&self) -> Result<(), DatabaseError> {
        self.database.refresh()
    }
}
