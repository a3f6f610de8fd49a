//! The svc-watcher process.

use std::process::ExitCode;

use bonesetter_chassis::service;

fn main() -> ExitCode {
    service::main(svc_watcher::ABOUT, svc_watcher::run)
}
