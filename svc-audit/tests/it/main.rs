//! The ledger and its archive against real servers.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests"
)]

mod bed;
mod connections;
mod export;
mod ingest;
mod keep;
mod keeping;
mod letters;
mod permissions;
mod serve;
mod serving;
mod sharing;
mod sweep;
mod tls;
