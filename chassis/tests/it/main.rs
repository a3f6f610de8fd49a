//! The runner and the bus against a real nats-server with the permissions of production.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

mod ahead;
mod answers;
mod attacks;
mod bed;
mod bus;
mod dead_letters;
mod delivery;
mod drift;
mod external;
mod holes;
mod injection;
mod isolation;
mod metrics;
mod panics;
mod rotation;
mod runner;
mod silence;
mod spy;
mod startup;
mod tls;
mod traps;
