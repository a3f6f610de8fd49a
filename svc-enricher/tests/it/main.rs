//! svc-enricher against a real API server, a real node, a real Loki and a real bus.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop with its reason"
)]

mod access;
mod answers;
mod bus;
mod cluster;
mod incidents;
mod loki;
mod reading;
mod sharing;
