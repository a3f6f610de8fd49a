//! How a service process starts and ends.

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bonesetter_keys::{SigningKey, VerifyingKeys};
use bonesetter_proto::Message;
use clap::Parser as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::{Bucket, Bus, ConnectError, DeadLetters, Producer, Publisher};
use crate::clock::Clock;
use crate::config::{self, Common, ConfigError, Settings};
use crate::health::{self, Readiness};
use crate::metrics::{Metrics, RunnerMetrics};
use crate::runner::Runner;
use crate::secret::SecretFile;
use crate::stage::{Sink, Stage};
use crate::telemetry;
use crate::topology::{self, BucketSpec, ConsumerSpec};

/// sysexits.h: the configuration is wrong.
const EXIT_CONFIG: u8 = 78;
const CONNECT_RETRY_FIRST: Duration = Duration::from_millis(250);
const CONNECT_RETRY_LAST: Duration = Duration::from_secs(10);

/// What a binary says of itself.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// The service's name, which is also its user on the bus and stands in what it publishes.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Other things that the binary can do.
    pub modes: &'static [Mode],
}

/// Another thing that a binary can do.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// What is given on the command line.
    pub name: &'static str,
    /// The name of the process in this mode, where it is a service of its own with a user of its own.
    pub user: Option<&'static str>,
}

impl About {
    /// What the binary says of itself in a mode; `None` when it has no such mode.
    pub fn in_mode(self, mode: &str) -> Option<Self> {
        let mode = self.modes.iter().find(|known| known.name == mode)?;
        Some(Self {
            name: mode.user.unwrap_or(self.name),
            ..self
        })
    }
}

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Configuration file (YAML).
    #[arg(long, env = "BONESETTER_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// `check-config` prints the effective settings and ends; other modes are the service's own.
    mode: Option<String>,
}

/// What a running service works with.
#[derive(Debug, Clone)]
pub struct Service {
    /// The settings that every service has.
    pub common: Common,
    /// The mode it was started in, one of [`About::modes`].
    pub mode: Option<String>,
    /// The bus.
    pub bus: Bus,
    /// The time.
    pub clock: Clock,
    /// Metrics of this process.
    pub metrics: Metrics,
    /// Who is waited for.
    pub readiness: Readiness,
    /// Cancelled when the process is asked to end.
    pub shutdown: CancellationToken,
    /// Background tasks; waited for at the end.
    pub tasks: TaskTracker,
    about: About,
    version: String,
    runner_metrics: RunnerMetrics,
    signer: Option<Arc<SigningKey>>,
    trusted: Arc<VerifyingKeys>,
}

impl Service {
    /// Connects and gets everything ready, but binds to nothing yet. Waits with backoff for a bus
    /// that is away; a bus that refuses us is an error.
    pub async fn start(
        about: About,
        common: Common,
        config_digest: &str,
        shutdown: CancellationToken,
        readiness: Readiness,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let user = topology::user(about.name)
            .with_context(|| format!("{} is not a user of the bus", about.name))?;
        let signer = match &common.keys.signing_file {
            Some(path) => Some(Arc::new(
                SigningKey::read(path).context("keys.signing_file")?,
            )),
            None => None,
        };
        let trusted = match &common.keys.trusted_dir {
            Some(path) => VerifyingKeys::read(path).context("keys.trusted_dir")?,
            None => VerifyingKeys::default(),
        };
        let waiting = readiness.awaiting("nats");
        let seed = SecretFile::new(&common.nats.nkey_file);
        let bus = connect(&common.nats.url, user, &seed, &shutdown).await?;
        waiting.ready();
        let runner_metrics = RunnerMetrics::new(&metrics);
        Ok(Self {
            version: format!("{}+{config_digest}", about.version),
            common,
            mode: None,
            bus,
            clock: Clock::system(),
            runner_metrics,
            metrics,
            readiness,
            shutdown,
            tasks: TaskTracker::new(),
            about,
            signer,
            trusted: Arc::new(trusted),
        })
    }

    /// Publishes messages of one stage; sources use it directly.
    pub fn publisher<M: Message>(&self) -> Publisher<M> {
        Publisher::new(
            self.bus.clone(),
            self.clock.clone(),
            self.producer(),
            self.signer.clone(),
            self.shutdown.clone(),
        )
    }

    /// The bucket of that specification.
    pub fn bucket(&self, spec: BucketSpec) -> Bucket {
        Bucket::new(self.bus.clone(), spec)
    }

    /// The public keys that messages are verified with.
    pub fn trusted(&self) -> Arc<VerifyingKeys> {
        self.trusted.clone()
    }

    /// Handles a consumer with a stage until shut down and drained.
    pub async fn run_stage<S: Stage>(&self, spec: &ConsumerSpec, stage: S) -> anyhow::Result<()> {
        anyhow::ensure!(
            S::In::SIGNED_BY.is_none() || self.common.keys.trusted_dir.is_some(),
            "keys.trusted_dir is not set, and {} handles signed messages",
            spec.name
        );
        anyhow::ensure!(
            S::Out::SIGNED_BY.is_none() || self.signer.is_some(),
            "keys.signing_file is not set, and {} signs what it publishes",
            spec.name
        );
        let publisher = self.publisher();
        self.runner(spec).stage(stage, publisher).await;
        Ok(())
    }

    /// Handles a consumer with a sink until shut down and drained.
    pub async fn run_sink<S: Sink>(&self, spec: &ConsumerSpec, sink: S) -> anyhow::Result<()> {
        self.runner(spec).sink(sink).await;
        Ok(())
    }

    fn producer(&self) -> Producer {
        Producer {
            name: self.about.name,
            version: self.version.clone(),
        }
    }

    fn runner(&self, spec: &ConsumerSpec) -> Runner {
        Runner {
            bus: self.bus.clone(),
            spec: *spec,
            trusted: self.trusted.clone(),
            letters: DeadLetters::new(self.bus.clone(), self.clock.clone(), self.producer()),
            metrics: self.runner_metrics.clone(),
            waiting: self.readiness.awaiting(format!("consumer {}", spec.name)),
            shutdown: self.shutdown.clone(),
        }
    }

    /// Waits for background tasks and closes the connection.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.bus.close().await;
    }
}

async fn connect(
    url: &str,
    user: &topology::User,
    seed: &SecretFile,
    shutdown: &CancellationToken,
) -> anyhow::Result<Bus> {
    let mut delay = CONNECT_RETRY_FIRST;
    loop {
        let error = match Bus::connect(url, user, seed).await {
            Ok(bus) => return Ok(bus),
            Err(error) => error,
        };
        if !is_passing(&error) {
            return Err(error.into());
        }
        tracing::warn!(%error, retry_in = ?delay, "NATS is away, waiting for it");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shutdown.cancelled() => anyhow::bail!("shut down while waiting for NATS: {error}"),
        }
        delay = (delay * 2).min(CONNECT_RETRY_LAST);
    }
}

fn is_passing(error: &ConnectError) -> bool {
    use async_nats::ConnectErrorKind as Kind;
    match error {
        ConnectError::Secret(_) => false,
        ConnectError::Connect { source, .. } => !matches!(
            source.kind(),
            Kind::Authentication | Kind::AuthorizationViolation | Kind::ServerParse | Kind::Tls
        ),
    }
}

/// The `main` of a service.
pub fn main<S, F, Fut>(about: About, run: F) -> ExitCode
where
    S: Settings,
    F: FnOnce(S, Service) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let arguments = Arguments::parse();
    let (common, settings) = match config::load::<S>(arguments.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(error) => return config_error(about, &error),
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
        let result = supervise(about, common, settings, arguments.mode, run).await;
        if let Err(error) = &result {
            tracing::error!(error = %format!("{error:#}"), "stopped");
        }
        drop(telemetry);
        if result.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    })
}

async fn supervise<S, F, Fut>(
    about: About,
    common: Common,
    settings: S,
    mode: Option<String>,
    run: F,
) -> anyhow::Result<()>
where
    S: Settings,
    F: FnOnce(S, Service) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let listener = health::bind(common.health.listen)
        .await
        .with_context(|| format!("health.listen: cannot listen on {}", common.health.listen))?;
    tracing::info!(service = about.name, version = about.version, health = %listener.local_addr()?, "starting");
    let shutdown = CancellationToken::new();
    let readiness = Readiness::default();
    let metrics = Metrics::default();
    let served = tokio::spawn(health::serve(
        listener,
        readiness.clone(),
        metrics.clone(),
        shutdown.clone(),
    ));
    tokio::spawn(signals(shutdown.clone()));
    let digest = config::digest(&common, &settings);
    let mut service =
        Service::start(about, common, &digest, shutdown.clone(), readiness, metrics).await?;
    service.mode = mode;
    let result = run(settings, service.clone()).await;
    shutdown.cancel();
    service.finish().await;
    served.await.context("the health endpoint ended badly")??;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_may_be_a_service_of_its_own() {
        let about = About {
            name: "svc-audit",
            version: "1",
            modes: &[
                Mode {
                    name: "export",
                    user: Some("svc-audit-export"),
                },
                Mode {
                    name: "verify",
                    user: None,
                },
            ],
        };
        let name = |mode| about.in_mode(mode).map(|about| about.name);
        assert_eq!(name("export"), Some("svc-audit-export"));
        assert_eq!(name("verify"), Some("svc-audit"));
        assert_eq!(name("svc-audit-export"), None);
    }
}
