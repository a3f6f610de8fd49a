//! svc-llm from the outside: signed evidence in, a diagnosis out, with servers that answer as recorded.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are not tests to clippy"
)]

mod evidence;
mod provider;
