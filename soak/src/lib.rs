//! The soak: a real cluster in which workloads fail one after the other, while everything that
//! Bonesetter consists of and depends on is killed, paused, cut off, filled up and fed garbage at
//! random. At the end all is made well again, and what must hold is checked: every failure was
//! detected, diagnosed, acted on and recorded exactly once, and told; no patch was made twice; nothing
//! is dead that was no garbage.
//!
//! Faults follow from a seed ([`schedule`]), so that a run can be repeated; what they meet depends on
//! the machine. Laws are pure functions of what was read at the end ([`laws`]).

pub mod bed;
pub mod failure;
pub mod fault;
pub mod fleet;
pub mod flood;
pub mod garbage;
pub mod laws;
pub mod run;
pub mod schedule;
pub mod storm;
pub mod world;

/// Writes a line to the terminal.
pub fn say(text: &str) {
    bonesetter_demo::print(&format!("{text}\n"));
}
