//! The svc-audit process.

use std::process::ExitCode;

use bonesetter_chassis::service;
use svc_audit::{ABOUT, Config, run};

fn main() -> ExitCode {
    service::main::<Config, _, _>(ABOUT, run)
}
