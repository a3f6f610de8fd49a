//! The svc-actuator process.

use std::process::ExitCode;

use bonesetter_chassis::service::{self, About};

const ABOUT: About = About {
    name: "svc-actuator",
    version: env!("CARGO_PKG_VERSION"),
    modes: &[],
};

fn main() -> ExitCode {
    service::main(ABOUT, svc_actuator::run)
}
