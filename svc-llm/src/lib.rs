//! Diagnoses incidents from redacted evidence: right without a model, better with one, never made up.
//!
//! # Consumes
//! `redacted` (durable `llm`), signed by svc-redactor. Nothing but [`bonesetter_redact::Redacted`] is accepted.
//!
//! # Produces
//! `diagnosed`, signed, under the step of the input: summary, root cause, recommendation, confidence, cited
//! evidence with excerpts, and at most one remedy out of the contract's closed set.
//!
//! # Guarantees
//! * Every citation points at an item of the evidence and quotes what is there; others are dropped.
//! * A remedy is built by the rules from the evidence. A model can confirm it or take it away; it cannot bring one
//!   in, change its values or choose its target, whatever it answers.
//! * A provider that fails, refuses, is cut off or answers nonsense is replaced by the rules, and the diagnosis says
//!   so (`degraded_reason`).
//! * Evidence reaches a model as data between boundaries that nobody who writes into a log can guess.
//! * Neither prompts nor answers are kept or logged; the answer's SHA-256 is part of the diagnosis.
//!
//! # On failure
//! A message without evidence is rejected (`no-evidence`). Everything else is answered, by the rules if need be.
//!
//! # Settings
//! [`config::Config`]: `provider` (`rules` or `openai`), `openai.*` and `rules_dir`. Credentials are files, read anew for
//! every request.
//!
//! # Metrics
//! `bonesetter_diagnoses_total`, `bonesetter_diagnoses_degraded_total`, `bonesetter_llm_tokens_total`,
//! `bonesetter_diagnose_seconds`.

pub mod config;
pub mod evidence_json;
pub mod local;
pub mod stage;

mod answer;
mod case;
mod diagnoser;
#[cfg(test)]
mod fixture;
mod ground;
mod metrics;
mod offline;
mod openai;
mod prompt;
mod provider;
mod quantity;
mod remedy;
mod rules;
mod run;

pub use case::Case;
pub use diagnoser::{DiagnoseError, Diagnoser};
pub use metrics::LlmMetrics;
pub use offline::{diagnose_evidence, diagnose_message, diagnose_offline, explain_offline};
pub use openai::{OPENAI, OpenAi};
pub use prompt::PROMPT_VERSION;
pub use provider::{Diagnosers, DiagnosersError};
pub use rules::{CAUSES, RULES, Rules};
pub use run::run;
