//! Manifests, NATS configuration and documents, held to the code and tried on real servers.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop with its reason"
)]

mod api_server;
mod documents;
mod keys;
mod label_values;
mod manifests;
mod nats;
mod observability;
mod scaling;
mod settings;
mod sources;
mod workloads;
