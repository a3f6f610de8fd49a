//! The ledger and its archive against real servers.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests"
)]

mod bed;
mod export;
mod ingest;
mod keep;
mod keeping;
mod letters;
mod permissions;
mod serve;
mod sharing;
mod sweep;
mod tls;
