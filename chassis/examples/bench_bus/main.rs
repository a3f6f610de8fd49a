//! What the stage runner costs, beside JetStream with nothing on top, on the same server in the
//! same run. `make bench-bus` says what is judged; `docs/benchmarks.md` holds what it measured.
//!
//! `bench_bus [PREFIX]`, where PREFIX selects rows: `always/plain`, `default/six`, `rest`.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod bed;
mod figures;
mod judge;
mod load;
mod measure;
mod rest;
mod six;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use bonesetter_chassis::config::TelemetrySettings;

use crate::bed::{Bed, Sync};
use crate::judge::Findings;
use crate::measure::{Effort, One, Place, one_stage};
use crate::rest::at_rest;
use crate::six::{Six, six_stages};

const KIB: usize = 1024;
/// Sizes, and how many messages make a round, where every write is synced and where not.
const SIZES: [(usize, usize, usize); 3] = [
    (KIB, 1000, 6000),
    (16 * KIB, 800, 3000),
    (256 * KIB, 100, 200),
];
const SIX: (usize, usize) = (500, 2000);
const EFFORT: Effort = Effort {
    rounds: 3,
    trickle: 200,
    seed: 20_261_126,
};

fn main() -> ExitCode {
    let prefix = std::env::args().nth(1).unwrap_or_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            println!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(Box::pin(run(&prefix))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("bench-bus: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(prefix: &str) -> anyhow::Result<bool> {
    // As in services without an endpoint for traces: logs are written, and no spans are made.
    let _telemetry = bonesetter_chassis::telemetry::init("bench", &TelemetrySettings::default())?;
    println!(
        "{:8} {:>7} {:8} {:>9} {:>9} {:>6} {:>15} {:>15} {:>11} {:>11}",
        "sync",
        "KiB",
        "stage",
        "raw/s",
        "product/s",
        "share",
        "raw p50/p99",
        "own p50/p99",
        "raw us/msg",
        "own us/msg"
    );
    let mut findings = Findings::default();
    for sync in [Sync::Always, Sync::Default] {
        let is_synced = sync == Sync::Always;
        for place in [Place::Plain, Place::Signed] {
            for (bytes, slow, fast) in SIZES {
                if One::name(sync, place, bytes).starts_with(prefix) {
                    let size = (bytes, if is_synced { slow } else { fast });
                    let one = Box::pin(one_stage(sync, place, size, EFFORT)).await?;
                    println!("{}", one.row());
                    findings.ones.push(one);
                }
            }
        }
        if Six::name(sync, KIB).starts_with(prefix) {
            let size = (KIB, if is_synced { SIX.0 } else { SIX.1 });
            let six = Box::pin(six_stages(sync, size, EFFORT)).await?;
            println!("{}", six.row());
            findings.sixes.push(six);
        }
    }
    if "rest".starts_with(prefix) {
        findings.memory = at_rest(&Bed::start(Sync::Always).await?).await?;
    }
    for (service, mib) in &findings.memory {
        println!("{service} at rest: {mib:.1} MiB");
    }
    let is_whole = prefix.is_empty();
    println!("{}", findings.summary(is_whole));
    Ok(is_whole && findings.is_passed())
}
