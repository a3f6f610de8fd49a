//! The svc-redactor process.

use std::process::ExitCode;

use bonesetter_chassis::service::{self, About};
use svc_redactor::config::Config;

fn main() -> ExitCode {
    let about = About {
        name: "svc-redactor",
        version: env!("CARGO_PKG_VERSION"),
        modes: &[],
    };
    service::main::<Config, _, _>(about, svc_redactor::run)
}
