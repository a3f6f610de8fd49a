//! svc-actuator turns a diagnosis into a change, under policy, and answers for it.
//!
//! # Consumes
//!
//! `diagnosed.>` (signed by svc-llm), and of its own stream `acted.*.intended` and `acted.*.applied`
//! (signed by itself).
//!
//! # Produces
//!
//! `acted.*`, signed, one step each:
//! - `proposed` (`proposed-reclassified-N` for a later diagnosis): shown to people, nothing is changed;
//!   the decision names every violation.
//! - `intended`: every gate allows the change; at most one for each incident.
//! - `applied`, or `refused` when something stood against it at the last moment.
//! - `verified`, `rolled-back`, or `stuck` when it did not help and cannot be taken back.
//!
//! Every message carries the signed diagnosis that it rests on and the change as fields and digests.
//!
//! # Guarantees
//!
//! - Nothing is changed without an acknowledged `intended` message, and a sealed inverse, first.
//! - Nothing is changed that a gate objects to ([`gates`], [`ownership`]), that the API server would
//!   make something else of ([`gates::check_dry_run`]), or that changed since it was diagnosed.
//! - A change is made once: the effect key stands in the record, and on the object in the same write.
//! - A change that does not make the workload healthy within the deadline is taken back exactly; what
//!   somebody else has changed meanwhile is left alone.
//! - No value of an object is in any message, log or error.
//!
//! # On failure
//!
//! An API server or a bus that is away is waited for, and verification for ever. A decision that cannot be made for lack of rights is
//! published as such. A record that is lost makes an intent refused, and a change stuck: a person decides.
//!
//! # Settings
//!
//! See [`Config`]. Environment names of the specification: `APPLY_MODE`, `AUTO_APPLY_NAMESPACES`,
//! `DRY_RUN_BEFORE_APPLY` (always on).
//!
//! # Metrics
//!
//! `bonesetter_actuator_steps_total{step, violation}`, besides those of the runner.

mod answer;
pub mod change;
pub mod changes;
pub mod command;
pub mod config;
pub mod edit;
pub mod gates;
pub mod health;
pub mod kubernetes;
pub mod metrics;
pub mod ownership;
pub mod placeholder;
pub mod plan;
pub mod policy;
pub mod quantity;
pub mod record;
pub mod render;
pub mod replay;
pub mod stage;
pub mod violation;

mod run;

pub use config::Config;
pub use run::run;
