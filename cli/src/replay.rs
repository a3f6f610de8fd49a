//! Replay: an incident as the streams recorded it.
//!
//! Everything here reads with the operator's identity, which can write nothing, and prints. Nothing is
//! published, so a replay has no effect on a cluster, a chat or the ledger.

pub(crate) mod json;
pub(crate) mod record;
pub(crate) mod text;
pub(crate) mod tree;
pub(crate) mod words;
