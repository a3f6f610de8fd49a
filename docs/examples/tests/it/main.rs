//! Runs every example for subscribers against a server of its own, with the accounts of production
//! and messages of the product's own publishers, and holds `docs/subjects.md` to the files.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop with its reason"
)]

mod bed;
mod contract;
mod denied;
mod example;
mod live;
mod page;
mod replay;
