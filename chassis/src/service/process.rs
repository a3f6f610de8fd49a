use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use tokio_util::sync::CancellationToken;

use super::{About, Process, Service};
use crate::config::{self, Common, ConfigError, Settings};
use crate::errors::chain;
use crate::health::{self, Readiness};
use crate::metrics::Metrics;
use crate::telemetry;

/// sysexits.h: the configuration is wrong.
const EXIT_CONFIG: u8 = 78;
const HEALTH_DRAIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Configuration file (YAML).
    #[arg(long, env = "BONESETTER_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// `check-config` prints the effective settings and ends; other modes are the service's own.
    mode: Option<String>,
}

/// The `main` of a service.
pub fn main<S, F, Fut>(about: About, run: F) -> ExitCode
where
    S: Settings,
    F: FnOnce(S, Service) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    main_with(about, run, |_: S, process: Process| async move {
        anyhow::bail!("nothing runs in the mode {:?}", process.mode)
    })
}

/// The `main` of a service that has modes without a bus, which `alone` runs.
pub fn main_with<S, F, Fut, A, AFut>(about: About, run: F, alone: A) -> ExitCode
where
    S: Settings,
    F: FnOnce(S, Service) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
    A: FnOnce(S, Process) -> AFut,
    AFut: Future<Output = anyhow::Result<()>>,
{
    let arguments = Arguments::parse();
    let (common, settings) = match config::load::<S>(arguments.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(error) => return config_error(about, &error),
    };
    let with_bus = match arguments.mode.as_deref() {
        Some(mode) => about.mode(mode).is_none_or(|mode| mode.bus),
        None => true,
    };
    let about = match arguments.mode.as_deref() {
        None => about,
        Some("check-config") => return check_config(&common, &settings),
        Some(mode) => match about.in_mode(mode) {
            Some(about) => about,
            None => return unknown_mode(about, mode),
        },
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("{}: cannot start: {error}", about.name));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let telemetry = match telemetry::init(about.name, &common.telemetry) {
            Ok(telemetry) => telemetry,
            Err(error) => {
                say(&format!("{}: {error}", about.name));
                return ExitCode::from(EXIT_CONFIG);
            }
        };
        let mode = arguments.mode;
        let result = supervise(about, common, mode, async |process| {
            if with_bus {
                connected(about, settings, process, run).await
            } else {
                alone(settings, process).await
            }
        })
        .await;
        if let Err(error) = &result {
            tracing::error!(error = chain(error), "stopped");
        }
        drop(telemetry);
        if result.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    })
}

/// Answers health checks and listens for signals while something runs.
async fn supervise(
    about: About,
    common: Common,
    mode: Option<String>,
    run: impl AsyncFnOnce(Process) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let listener = health::bind(common.health.listen)
        .await
        .with_context(|| format!("health.listen: cannot listen on {}", common.health.listen))?;
    tracing::info!(service = about.name, version = about.version, health = %listener.local_addr()?, "starting");
    let process = Process {
        metrics: Metrics::of(&common.cluster),
        common,
        mode,
        readiness: Readiness::default(),
        shutdown: CancellationToken::new(),
    };
    process.readiness.export(about.name, &process.metrics);
    let served = tokio::spawn(health::serve(
        listener,
        process.readiness.clone(),
        process.metrics.clone(),
        process.shutdown.clone(),
    ));
    tokio::spawn(signals(process.shutdown.clone()));
    let shutdown = process.shutdown.clone();
    let result = run(process).await;
    shutdown.cancel();
    // Somebody who keeps a half-sent request open must not keep the process.
    if let Ok(served) = tokio::time::timeout(HEALTH_DRAIN, served).await {
        served.context("the health endpoint ended badly")??;
    }
    result
}

/// Runs with a connection to the bus.
async fn connected<S, F, Fut>(
    about: About,
    settings: S,
    process: Process,
    run: F,
) -> anyhow::Result<()>
where
    S: Settings,
    F: FnOnce(S, Service) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let digest = config::digest(&process.common, &settings);
    let Process {
        common,
        mode,
        metrics,
        readiness,
        shutdown,
    } = process;
    let started = Service::start(about, common, &digest, shutdown.clone(), readiness, metrics);
    let mut service = match started.await {
        Ok(service) => service,
        Err(error) if shutdown.is_cancelled() => {
            tracing::info!(reason = chain(&error), "stopped before it had started");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    service.mode = mode;
    let result = run(settings, service.clone()).await;
    shutdown.cancel();
    service.finish().await;
    result
}

/// The first SIGTERM or SIGINT drains, the second ends at once.
async fn signals(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("cannot listen for signals; the process ends without draining");
        return;
    };
    for last in [false, true] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if last {
            tracing::warn!("asked twice, ending at once");
            std::process::exit(1);
        }
        tracing::info!("draining");
        shutdown.cancel();
    }
}

fn config_error(about: About, error: &ConfigError) -> ExitCode {
    say(&format!("{}: {error}", about.name));
    ExitCode::from(EXIT_CONFIG)
}

fn unknown_mode(about: About, mode: &str) -> ExitCode {
    let known: Vec<_> = about.modes.iter().map(|mode| mode.name).collect();
    say(&format!(
        "{}: unknown mode {mode:?}; known: check-config {}",
        about.name,
        known.join(" ")
    ));
    ExitCode::from(2)
}

fn check_config<S: Settings>(common: &Common, settings: &S) -> ExitCode {
    match config::effective(common, settings) {
        Ok(text) => {
            #[expect(clippy::print_stdout, reason = "the answer of check-config")]
            {
                print!("{text}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&error);
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    #[expect(clippy::print_stderr, reason = "before telemetry has started")]
    {
        eprintln!("{text}");
    }
}
