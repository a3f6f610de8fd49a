//! The command `testbed`: starts and stops the real servers that the demo and the tests run
//! against.

mod command;
mod screen;

use clap::Parser as _;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match command::Arguments::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen::error(error.as_ref());
            ExitCode::FAILURE
        }
    }
}
