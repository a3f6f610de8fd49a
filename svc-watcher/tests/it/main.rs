//! svc-watcher against a real API server, a real node and a real bus.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop with its reason"
)]

mod access;
mod bus;
mod cluster;
mod episodes;
mod replica;
mod sharing;
mod startup;
mod workloads;
