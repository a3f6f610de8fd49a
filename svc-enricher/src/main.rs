//! The svc-enricher process.

use std::process::ExitCode;

use bonesetter_chassis::service::{self, About};
use svc_enricher::config::Config;

fn main() -> ExitCode {
    let about = About {
        name: "svc-enricher",
        version: env!("CARGO_PKG_VERSION"),
        modes: &[],
    };
    service::main::<Config, _, _>(about, svc_enricher::run)
}
