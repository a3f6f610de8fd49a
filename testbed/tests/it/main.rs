//! The testbed against itself: what the other crates' tests take for granted.
//!
//! These run against the servers that `BONESETTER_TESTBED` names; `make test` starts them.

mod faults;
mod node;
mod servers;
mod wait;
