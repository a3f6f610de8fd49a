//! The demo: breaks workloads on a real cluster and shows what Bonesetter makes of them. The
//! end-to-end test is the same run with more questions asked afterwards.

pub mod cluster;
pub mod environment;
pub mod identities;
pub mod judge;
pub mod notices;
pub mod receiver;
pub mod run;
pub mod scenario;
pub mod services;
pub mod story;

use std::io::Write as _;

/// Writes to the terminal. A terminal that is gone is no reason to stop in the middle.
pub fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
