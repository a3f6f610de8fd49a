//! The `bonesetter` command.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    match bonesetter::Arguments::try_parse() {
        Ok(arguments) => bonesetter::run(arguments).await,
        Err(usage) => {
            // There is nowhere left to say that this failed.
            let _ = usage.print();
            // Not clap's own 2, which says that `scan` found something.
            ExitCode::from(u8::from(usage.use_stderr()))
        }
    }
}
