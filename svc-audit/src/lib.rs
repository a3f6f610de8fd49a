//! svc-audit keeps the ledger, and its archive job brings it into locked storage.
//!
//! # Consumes
//! `Detected`, `Redacted`, `Diagnosed`, `Acted`, `Notified`, `Overdue` and `SecurityEvent`, each with a durable
//! of its own (`audit-*`). Never the raw stage. The server's advisories about messages that it will not deliver
//! again (`audit-advisories`).
//!
//! # Produces
//! - A row of `audit.audit_events` in PostgreSQL for every message, also for one that cannot be read
//!   or believed (event types `malformed` and `auth_failure`).
//! - A dead letter, by reference, for a message that its worker neither handled nor buried: the second
//!   layer of the dead letters. It needs no database.
//! - `svc-audit export` (or `export-once`), another process with another user of the bus
//!   (`svc-audit-export`), another database role and a credential that can only put: objects `events/<cluster>/<yyyy>/<mm>/<dd>/<from>-<to>-<digest>.jsonl`,
//!   and per object and incident an `Archived` under the step `archived-<to>`.
//! - `svc-audit sweep`, again with a user (`svc-audit-sweep`) and a database role of its own: an
//!   `Overdue` under `<awaited>-<step>` for every message that nothing followed in time ([`sweep`]).
//! - `svc-audit serve`, with a database role that can only read and without the bus, publishes nothing: it
//!   answers `IncidentService` over gRPC ([`serve`]).
//! - `svc-audit keep`, with the user `keeper`, publishes nothing: it purges streams that fill up ([`keep`]).
//!
//! # Guarantees
//! - Rows hold identifiers, enumerations, hashes and counts; no text of a cluster, a model or a
//!   person can get into one ([`event`]).
//! - A row is stored once per stored message, whatever is redelivered, and the message is
//!   acknowledged after the commit. The role can insert and nothing else; the service does not start
//!   with one that could update, delete, truncate, add triggers, or is the owner or a superuser.
//! - Every row is exported exactly once, also those whose transactions commit out of order; a crash
//!   at any point is made good by the next run ([`archive`]). Objects are never overwritten.
//! - What is overdue is told once, whatever number of sweepers runs and whenever they are restarted,
//!   and never because the ledger is behind: what is not certain is not judged.
//! - Who reads through `svc-audit serve` is known by a client certificate and sees the namespaces that the
//!   settings give to it; what PostgreSQL says of an error stays in our log.
//! - Nothing is purged that a consumer has not had, that an open dead letter refers to or may yet refer to
//!   when the server's advisories are read, or that is not archived (of the raw stream: redacted).
//! - Not guaranteed here: that nobody with rights beyond these roles changes the database. What was
//!   exported before is then the evidence.
//!
//! # On failure
//! While PostgreSQL is away messages stay in their streams and are tried again with growing delays
//! for as long as it takes. A row that the database refuses for its content goes to the dead letters
//! as `refused-by-ledger`. While the object store is away exports wait and are made up for. A plan
//! whose rows have changed stops the archive job until somebody has looked. While the stream of what was archived is
//! full an export fails after a minute and says so; the next one goes on where it stopped. A round of the sweeper that fails is made up for by the next,
//! and so is one of the keeper; meanwhile streams fill up, and a full one refuses messages. While the ledger does not answer,
//! requests end as `UNAVAILABLE` and the health service says so; a watch ends and is taken up again after
//! the last place that it told (`resume_after`).
//!
//! # Settings
//! See [`config::Config`]; the service needs `keys.trusted_dir`, the sweeper
//! that and `keys.signing_file`.
//!
//! # Metrics
//! `bonesetter_audit_rows_total{event_type,outcome}`; outcome is `stored` or `repeated`. Of the
//! archive job: `bonesetter_audit_exported_rows_total`, `bonesetter_audit_exported_through`,
//! `bonesetter_audit_export_failures_total`. Of the sweeper:
//! `bonesetter_audit_overdue_total{awaited}`, `bonesetter_audit_sweep_behind_seconds{awaited}`,
//! `bonesetter_audit_sweep_failures_total`. Of the keeper:
//! `bonesetter_keeper_stream_fill_ratio{stream}`, `bonesetter_keeper_purged_total{stream}`,
//! `bonesetter_keeper_open_dead_letters{consumer}`, `bonesetter_keeper_failures_total`. Of the read side: `bonesetter_incident_requests_total{method,code}`,
//! `bonesetter_incident_watches`, `bonesetter_incident_connections`, `bonesetter_incident_connections_refused_total`.

pub mod archive;
pub mod config;
pub mod event;
pub mod keep;
pub mod postgres;
pub mod run;
pub mod s3;
pub mod serve;
pub mod sweep;

mod metrics;
mod stage;

pub use config::Config;
pub use metrics::{ExportMetrics, IngestMetrics, KeepMetrics, ServeMetrics, SweepMetrics};
pub use run::{ABOUT, EXPORT, EXPORT_ONCE, KEEP, SERVE, SWEEP, run, run_alone};
