//! svc-redactor is the trust boundary: it opens sealed raw evidence, redacts it, and passes it on.
//!
//! # Consumes
//! `enriched`, whose evidence only svc-enricher and this service can open.
//!
//! # Produces
//! `redacted` under the same step, signed: the evidence without secrets, and how much was taken out
//! of which place by which rule. `security`, signed: what was found that tries to instruct the reader, what
//! was held back, and who has read what placeholders stand for; the ledger records it.
//!
//! # Guarantees
//! - Nothing unredacted leaves. Subject, headers and payload are searched once more, as they stand on the bus,
//!   for every distinctive value that was taken out or learnt to be secret, also encoded; each item is scanned once more
//!   for secrets of a known format.
//! - Within an incident, equal values and names have equal placeholders, in specs, events and logs;
//!   nobody without the key can test a guess. Different incidents have nothing in common.
//! - What tries to instruct the reader of evidence is counted with its place; what has no other
//!   reading is cut, invisible characters and terminal escapes are removed, and a source can be blocked.
//! - No log line, error or metric of this service holds content of the evidence, not even a panic's.
//!
//! # On failure
//! It fails closed. An item that cannot be redacted is withheld and a note stands in its place; if
//! the whole cannot be redacted (`redaction-failed`) or the seal cannot be opened (`unsealable`),
//! the message goes to the dead letters and nothing is passed on.
//!
//! # Settings
//! `block`, `rules_file`, `host_names` and `user_names`; `keys.evidence_file`, `keys.digest_file` and `keys.signing_file`.
//!
//! # Replay
//! `svc-redactor replay` redacts stored messages again, with rules more, and prints the result; see
//! [`replay`]. It publishes nothing, and its user on the bus could not.
//!
//! # Restore
//! `svc-redactor restore` puts values back in the place of placeholders in a text, and records who has read;
//! see [`restore`].
//!
//! # Metrics
//! `bonesetter_removals{kind}`, and those of the runner.

pub mod config;
pub mod replay;
pub mod restore;

mod block;
mod change;
mod command;
mod evidence;
mod forged;
mod injection;
mod log;
mod metrics;
mod own_rules;
mod removals;
mod run;
mod security;
mod stage;
mod texts;

pub use evidence::{Dossier, redact_evidence, redact_evidence_without};
pub use metrics::RedactorMetrics;
pub use run::run;
