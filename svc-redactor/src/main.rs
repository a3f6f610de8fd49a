//! The svc-redactor process.

use std::process::ExitCode;

use bonesetter_chassis::service::{self, About};
use svc_redactor::config::Config;

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|mode| mode == "replay")
    {
        return svc_redactor::replay::main();
    }
    let about = About {
        name: "svc-redactor",
        version: env!("CARGO_PKG_VERSION"),
        modes: &[],
    };
    service::main::<Config, _, _>(about, svc_redactor::run)
}
