//! The `bonesetter` command: what people do with Bonesetter from a terminal.
//!
//! Reading commands (`incidents`, `show`, `replay`, `watch`) use the operator's identity, which can read every
//! stream but the raw one and write nothing. With `--ledger`, `incidents`, `show` and `watch` ask `svc-audit serve`
//! instead. `dlq redrive` and `dlq drop` use that of the redriver. `scan`, `redact` and `diagnose` need no bus at all.

use std::process::ExitCode;

use bonesetter_chassis::errors::chain;
use clap::{Parser, Subcommand};

mod bus;
mod commands;
mod json;
pub mod layout;
mod ledger;
pub mod letters;
pub mod overview;
mod pipe;
pub mod render;
mod replay;
pub mod timeline;

use commands::{
    deploy, diagnose, dlq, incidents, keys, provision, redact, replay as replaying, scan, show,
    watch,
};

/// How much of an error is shown.
const MAX_ERROR: usize = 4000;

/// Explains failing workloads on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "bonesetter", version, about, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find and explain failures with nothing but a kubeconfig.
    ///
    /// Exits 2 when it found some, 0 when none, 1 on error.
    Scan(scan::Arguments),
    /// List incidents, the newest first.
    Incidents(incidents::Arguments),
    /// Show one incident: what was seen, concluded and done, with its evidence.
    Show(show::Arguments),
    /// Rebuild an incident from the streams: what caused what, when, who decided and why.
    Replay(replaying::Arguments),
    /// Follow incidents as they pass the stages.
    Watch(watch::Arguments),
    /// List and show what could not be handled, and decide what is to become of it.
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// Redact standard input.
    ///
    /// Exits 2 when more than single values had to be withheld, 0 otherwise, 1 on error.
    Redact(redact::Arguments),
    /// Diagnose redacted evidence from a file, offline.
    Diagnose(diagnose::Arguments),
    /// Make the keys of an installation.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Create streams, consumers and buckets; may be repeated at any time.
    Provision(provision::Arguments),
    /// Print what an installation is configured with.
    #[command(subcommand)]
    Deploy(deploy::Command),
}

/// Runs one command. Errors go to standard error as one line, with what to do about them.
pub async fn run(arguments: Arguments) -> ExitCode {
    let result = match arguments.command {
        Command::Scan(arguments) => scan::run(arguments).await,
        Command::Incidents(arguments) => incidents::run(arguments).await,
        Command::Show(arguments) => show::run(arguments).await,
        Command::Replay(arguments) => replaying::run(arguments).await,
        Command::Watch(arguments) => watch::run(arguments).await,
        Command::Dlq(command) => Box::pin(dlq::run(command)).await,
        Command::Redact(arguments) => redact::run(&arguments),
        Command::Diagnose(arguments) => diagnose::run(&arguments),
        Command::Keys(command) => keys::run(&command),
        Command::Provision(arguments) => provision::run(arguments).await,
        Command::Deploy(command) => deploy::run(&command),
    };
    result.unwrap_or_else(|error| {
        // A server's text is in it, and must not be able to move the cursor.
        let text = render::clean(&chain(&error), MAX_ERROR);
        pipe::say_error(&format!("bonesetter: {text}"));
        ExitCode::FAILURE
    })
}
