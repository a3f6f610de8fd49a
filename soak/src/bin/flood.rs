//! `flood`: what `make bench-flood` runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bonesetter_demo::run::check_sources;
use bonesetter_soak::flood::{Options, Outcome, run};
use bonesetter_soak::say;
use bonesetter_testbed::programs::{Program, install};
use bonesetter_testbed::progress::{Progress, Standing};
use clap::Parser;

/// Lets a flood through to the services, and measures their memory while they work it off.
#[derive(Debug, Parser)]
#[command(name = "flood", version)]
struct Arguments {
    /// The checkout, whose SQL is installed.
    #[arg(long, default_value = ".")]
    sources: PathBuf,
    /// Messages of each of the two floods; more than these fill the stream that they wait in, which then
    /// refuses them.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(100..=10_000))]
    messages: u32,
    /// What is in the messages.
    #[arg(long, default_value_t = 20_261_126)]
    seed: u64,
    /// How long the slow model takes, in milliseconds.
    #[arg(long, default_value_t = 500)]
    delay: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        sources: arguments.sources,
        messages: arguments.messages,
        seed: arguments.seed,
        delay: Duration::from_millis(arguments.delay),
    };
    let outcome = tokio::select! {
        outcome = flood(&options) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match outcome {
        Ok(outcome) => {
            say(outcome.table().trim_end());
            say(&outcome.result());
            if outcome.is_good() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            say(&format!("result: bench-flood failed=\"{error:#}\""));
            ExitCode::FAILURE
        }
    }
}

async fn flood(options: &Options) -> anyhow::Result<Outcome> {
    check_sources(&options.sources)?;
    tokio::task::spawn_blocking(|| install(&[Program::NatsServer], &tell)).await??;
    Box::pin(run(options)).await
}

/// Of what is installed, only that it is.
#[expect(clippy::needless_pass_by_value, reason = "what installs hands it over")]
fn tell(progress: Progress) {
    if progress.standing == Standing::Done {
        say(&format!("{}: {}", progress.subject, progress.text));
    }
}
