//! The `bonesetter` command.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    bonesetter::run(bonesetter::Arguments::parse()).await
}
