//! svc-redactor on a real nats-server with the permissions of production.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop with its reason"
)]

mod bed;
mod boundary;
mod canaries;
mod replay;
mod restore;
mod security;
mod sharing;
