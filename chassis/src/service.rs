//! How a service process starts and ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bonesetter_keys::{SigningKey, VerifyingKeys};
use bonesetter_proto::Event;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::bus::{Bucket, Bus, ConnectError, DeadLetters, Producer, Publisher};
use crate::clock::Clock;
use crate::config::{Common, NatsSettings};
use crate::health::Readiness;
use crate::metrics::{Metrics, RunnerMetrics};
use crate::runner::Runner;
use crate::stage::{Sink, Stage};
use crate::topology::{self, BucketSpec, ConsumerSpec};

mod process;

pub use process::{main, main_with};

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
    /// Whether it needs the bus; without, it is run by what [`main_with`] is given for it.
    pub bus: bool,
}

impl About {
    fn mode(&self, name: &str) -> Option<&'static Mode> {
        self.modes.iter().find(|known| known.name == name)
    }

    /// What the binary says of itself in a mode; `None` when it has no such mode.
    pub fn in_mode(self, mode: &str) -> Option<Self> {
        let mode = self.mode(mode)?;
        Some(Self {
            name: mode.user.unwrap_or(self.name),
            ..self
        })
    }
}

/// What a process works with that needs no bus.
#[derive(Debug, Clone)]
pub struct Process {
    /// The settings that every service has.
    pub common: Common,
    /// The mode it was started in, one of [`About::modes`].
    pub mode: Option<String>,
    /// Metrics of this process.
    pub metrics: Metrics,
    /// Who is waited for.
    pub readiness: Readiness,
    /// Cancelled when the process is asked to end.
    pub shutdown: CancellationToken,
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
        let bus = connect(&common.nats, user, &shutdown).await?;
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

    /// Publishes messages of one stage; sources use it directly. An error where they must be signed
    /// and there is no key to sign them with.
    pub fn publisher<M: Event>(&self) -> anyhow::Result<Publisher<M>> {
        let signer = match M::SIGNED_BY {
            None => None,
            Some(_) => Some(self.signer.clone().with_context(|| {
                let (name, event) = (self.about.name, M::EVENT_TYPE);
                format!("keys.signing_file is not set, and {name} signs messages of {event}")
            })?),
        };
        Ok(Publisher::new(
            self.bus.clone(),
            self.clock.clone(),
            self.producer(),
            signer,
            self.shutdown.clone(),
        ))
    }

    /// The bucket of that specification.
    pub fn bucket(&self, spec: BucketSpec) -> Bucket {
        Bucket::new(self.bus.clone(), spec)
    }

    /// The public keys that messages are verified with; an error where none are named.
    pub fn trusted(&self) -> anyhow::Result<Arc<VerifyingKeys>> {
        anyhow::ensure!(
            self.common.keys.trusted_dir.is_some(),
            "keys.trusted_dir is not set, so nobody's signature could be verified"
        );
        Ok(self.trusted.clone())
    }

    /// Handles a consumer with a stage until shut down and drained.
    pub async fn run_stage<S: Stage>(&self, spec: &ConsumerSpec, stage: S) -> anyhow::Result<()> {
        anyhow::ensure!(
            S::In::SIGNED_BY.is_none() || self.common.keys.trusted_dir.is_some(),
            "keys.trusted_dir is not set, and {} handles signed messages",
            spec.name
        );
        let publisher = self.publisher()?;
        in_task(spec, self.runner(spec).stage(stage, publisher)).await
    }

    /// Handles a consumer with a sink until shut down and drained.
    pub async fn run_sink<S: Sink>(&self, spec: &ConsumerSpec, sink: S) -> anyhow::Result<()> {
        in_task(spec, self.runner(spec).sink(sink)).await
    }

    /// Writes dead letters for what no worker buried, from the server's advisories, until shut down
    /// and drained.
    pub async fn run_advisories(&self, spec: &ConsumerSpec) -> anyhow::Result<()> {
        in_task(spec, self.runner(spec).advisories(self.about.name)).await
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
            clock: self.clock.clone(),
            metrics: self.runner_metrics.clone(),
            waiting: self.readiness.awaiting(format!("consumer {}", spec.name)),
            redrive: topology::redrive_of(spec).map(|redrive| {
                let waiting = self
                    .readiness
                    .awaiting(format!("consumer {}", redrive.name));
                (*redrive, waiting)
            }),
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

/// Handles a consumer in a task of its own, apart from the others of the service, which ends with whoever waits
/// for it.
async fn in_task(
    spec: &ConsumerSpec,
    handling: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let handled = AbortOnDropHandle::new(tokio::spawn(handling)).await;
    // The error of a task would quote the panic.
    handled.map_err(|_| anyhow::anyhow!("what handles the consumer {} has panicked", spec.name))
}

async fn connect(
    settings: &NatsSettings,
    user: &topology::User,
    shutdown: &CancellationToken,
) -> anyhow::Result<Bus> {
    let mut delay = CONNECT_RETRY_FIRST;
    loop {
        let error = match Bus::connect(settings, user).await {
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
        ConnectError::Secret(_) | ConnectError::Seed { .. } | ConnectError::Certificate { .. } => {
            false
        }
        ConnectError::Connect { source, .. } => !matches!(
            source.kind(),
            Kind::Authentication | Kind::AuthorizationViolation | Kind::ServerParse | Kind::Tls
        ),
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
                    bus: true,
                },
                Mode {
                    name: "verify",
                    user: None,
                    bus: false,
                },
            ],
        };
        let name = |mode| about.in_mode(mode).map(|about| about.name);
        assert_eq!(name("export"), Some("svc-audit-export"));
        assert_eq!(name("verify"), Some("svc-audit"));
        assert_eq!(name("svc-audit-export"), None);
    }
}
