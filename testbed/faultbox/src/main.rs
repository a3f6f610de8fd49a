//! `faultbox`: the test image of the testbed: a container that fails on request.
//!
//! A command line is a chain of steps that run one after the other, parted by `--then`:
//!
//! ```text
//! faultbox need-env DATABASE_URL --then log --line ready --then serve --port 8080
//! ```
//!
//! `faultbox help` lists the steps. All of it is in one static binary, so that an image made
//! `FROM scratch` holds nothing else.

mod config;
mod log;
mod memory;
mod options;
mod samples;
mod serve;
mod signals;
mod steps;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    steps::run(&arguments)
}
