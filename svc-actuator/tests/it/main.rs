//! svc-actuator against a real API server and a real bus.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop with its reason"
)]

mod admission;
mod apply;
mod cluster;
mod decide;
mod ownership;
mod pipeline;
mod verify;
mod world;
