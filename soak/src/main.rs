//! `soak`: what `make soak` runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bonesetter_demo::run::{check_sources, servers};
use bonesetter_soak::run::{Options, Outcome, run};
use bonesetter_soak::say;
use clap::Parser;

/// Breaks workloads on a real node, and everything of Bonesetter, for a while; then checks that nothing
/// was lost and nothing was done twice.
#[derive(Debug, Parser)]
#[command(name = "soak", version)]
struct Arguments {
    /// The checkout, whose manifests and SQL are installed.
    #[arg(long, default_value = ".")]
    sources: PathBuf,
    /// Minutes for which things go wrong.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// What goes wrong when; without it, a new one.
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        sources: arguments.sources,
        length: Duration::from_secs(60 * arguments.minutes),
        seed: arguments
            .seed
            .unwrap_or_else(|| rand::random_range(0..1_000_000)),
    };
    let outcome = tokio::select! {
        outcome = soak(&options) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match outcome {
        Ok(outcome) => {
            say(&outcome.result(&options));
            if outcome.is_good() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            say(&format!(
                "result: soak seed={} failed=\"{error:#}\"",
                options.seed
            ));
            ExitCode::FAILURE
        }
    }
}

async fn soak(options: &Options) -> anyhow::Result<Outcome> {
    check_sources(&options.sources)?;
    let testbed = servers(None).await?;
    Box::pin(run(testbed, options)).await
}
