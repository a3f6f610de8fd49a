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
    match std::env::args_os()
        .nth(1)
        .and_then(|mode| mode.into_string().ok())
        .as_deref()
    {
        Some("replay") => svc_redactor::replay::main(),
        Some("restore") => svc_redactor::restore::main(about),
        _ => service::main::<Config, _, _>(about, svc_redactor::run),
    }
}
