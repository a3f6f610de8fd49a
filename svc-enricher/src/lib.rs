//! svc-enricher collects the evidence of an incident: objects, events, logs, what the last rollout
//! changed, nodes.
//!
//! # Consumes
//! `detected`: the steps `open` and `reclassified-N`; every other step needs no new evidence.
//!
//! # Produces
//! `enriched` under the same step: the evidence, sealed for its subject so that only svc-redactor
//! can open it, with a record of every query that was made.
//!
//! # Guarantees
//! - The newest lines of a log are the ones that are kept, of every container, of the running and of
//!   the crashed instance; a line that is too long is cut and never dropped. What was left out is counted.
//! - Evidence stays within its budget; the last words of the worst pod are given up last.
//! - Of an answer of the API server no more than 16 MiB is read, and of a list 20 pages of 500 objects; what is longer
//!   is a note.
//! - Nothing is read that is not needed: no Secrets, no ConfigMaps. Nothing raw is written to the log.
//!
//! # On failure
//! A source that does not answer, may not be read or has nothing becomes a note in the evidence,
//! with its reason, and the incident goes on. So does an object that is gone. Only when the API
//! server does not answer at all is the message tried again later.
//!
//! # Settings
//! `kubeconfig`; `evidence` ([`config::EvidenceSettings`]); `loki` ([`config::LokiSettings`]);
//! `keys.trusted_dir`, `keys.evidence_file` and `keys.digest_file`. Also known as: `LOG_TAIL_LINES`, `LOG_BACKEND_URL`,
//! `HISTORICAL_LOG_SINCE_MINUTES`.
//!
//! # Metrics
//! `bonesetter_evidence_bytes`, `bonesetter_evidence_notes{source}`, and those of the runner.

pub mod config;

mod answer;
mod collect;
mod diff;
mod events;
mod items;
mod json;
mod kubernetes;
mod lines;
mod logql;
mod loki;
mod metrics;
mod nodes;
mod pod_log;
mod pods;
mod provenance;
mod query_error;
mod rollout;
mod run;
mod selector;
mod stage;
mod trim;
mod workload;

pub use collect::{CollectError, Collector};
pub use logql::LabelNames;
pub use loki::{Loki, LokiError};
pub use metrics::EnricherMetrics;
pub use query_error::QueryError;
pub use run::run;
