//! svc-notifier between a real bus and receivers of webhooks.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

mod bed;
mod crash;
mod delivery;
mod overdue;
mod publish;
mod replicas;
mod trust;
