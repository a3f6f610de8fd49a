//! The svc-notifier process.

use std::process::ExitCode;

use bonesetter_chassis::service;
use svc_notifier::{ABOUT, Config, run};

fn main() -> ExitCode {
    service::main::<Config, _, _>(ABOUT, run)
}
