//! svc-llm from the outside: signed evidence in, a diagnosis out, with servers that answer as recorded and
//! a real nats-server with the permissions of production.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop with its reason"
)]

mod bus;
mod evidence;
mod provider;
mod sharing;
mod slow;
