//! Replay: an incident as the streams recorded it, and what its stages would make of the same inputs
//! with other rules, another model or another policy.
//!
//! Everything here reads with the operator's identity, which can write nothing, runs in this one process
//! and prints. Nothing is published, so a replay has no effect on a cluster, a chat or the ledger.

pub(crate) mod beside;
pub(crate) mod history;
pub(crate) mod json;
pub(crate) mod record;
pub(crate) mod redaction;
pub(crate) mod rerun;
pub(crate) mod single;
pub(crate) mod summary;
pub(crate) mod text;
pub(crate) mod tree;
pub(crate) mod with;
pub(crate) mod words;
