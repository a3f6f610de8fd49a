//! The svc-llm process.

use std::process::ExitCode;

use bonesetter_chassis::service::{self, About};

const ABOUT: About = About {
    name: "svc-llm",
    version: env!("CARGO_PKG_VERSION"),
    modes: &[],
};

fn main() -> ExitCode {
    service::main(ABOUT, svc_llm::run)
}
