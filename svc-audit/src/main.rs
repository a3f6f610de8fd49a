//! The svc-audit process.

use std::process::ExitCode;

use bonesetter_chassis::service;
use svc_audit::{ABOUT, run, run_alone};

fn main() -> ExitCode {
    service::main_with(ABOUT, run, run_alone)
}
