//! The svc-notifier process.

use std::process::ExitCode;

use bonesetter_chassis::service::{self, About};
use svc_notifier::{Config, run};

fn main() -> ExitCode {
    let about = About {
        name: "svc-notifier",
        version: env!("CARGO_PKG_VERSION"),
        modes: &[],
    };
    service::main::<Config, _, _>(about, run)
}
