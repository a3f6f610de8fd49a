//! The svc-audit process.

use std::process::ExitCode;

use bonesetter_chassis::service::{self, About};
use svc_audit::{Config, EXPORT, EXPORT_ONCE, run};

fn main() -> ExitCode {
    let about = About {
        name: "svc-audit",
        version: env!("CARGO_PKG_VERSION"),
        modes: &[EXPORT, EXPORT_ONCE],
    };
    service::main::<Config, _, _>(about, run)
}
