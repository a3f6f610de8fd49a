//! A bus of a test's own, with the users, permissions and keys of production, and services on it.

use std::io;
use std::path::Path;
use std::time::Duration;

use bonesetter_chassis::bus::{
    Bus, ConnectError, ProvisionError, ReadError, StoredMessage, StreamReader, provision,
};
use bonesetter_chassis::config::{Common, HealthSettings, KeySettings, TelemetrySettings};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::{About, Service};
use bonesetter_chassis::topology;
use bonesetter_keys::KeyDirectory;
use bonesetter_proto::{Stage, Writer};
use tokio_util::sync::CancellationToken;

use crate::identity;
use crate::nats::{self, NatsOptions, NatsServer};

/// The cluster that everything is about.
pub const CLUSTER: &str = "test";
/// A message that is awaited comes in this time.
const WAIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// There is no such bus, or no such service on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no place for keys.
    #[error("cannot make a temporary folder: {0}")]
    Folder(#[from] io::Error),
    /// The keys.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// The server.
    #[error(transparent)]
    Server(#[from] nats::Error),
    /// A name that the table of users does not have.
    #[error("the bus has no user {0:?}")]
    User(String),
    /// A connection to it.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// What should be on it.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// A service.
    #[error("{name} does not start: {source}")]
    Start {
        /// Which.
        name: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What it holds.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nothing came.
    #[error("waited in vain for a message of {0}")]
    Silence(Stage),
}

/// A nats-server on which everything is provisioned, and everybody's keys.
#[derive(Debug)]
pub struct TestBus {
    /// The server.
    pub server: NatsServer,
    /// The keys.
    pub keys: KeyDirectory,
    folder: tempfile::TempDir,
}

impl TestBus {
    /// Starts the server.
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(|accounts| accounts).await
    }

    /// With other accounts than those of production.
    pub async fn start_with(edit: impl FnOnce(String) -> String) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let keys = identity::keys(folder.path())?;
        let options = NatsOptions {
            authorization: Some(edit(identity::authorization(folder.path())?)),
            ..NatsOptions::default()
        };
        let bus = Self {
            server: NatsServer::start(options).await?,
            keys,
            folder,
        };
        bus.provision().await?;
        Ok(bus)
    }

    /// Makes everything that should be on it, where it is not there.
    pub async fn provision(&self) -> Result<(), Error> {
        provision(&self.connect("provisioner").await?).await?;
        Ok(())
    }

    /// A folder that goes with the bus.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connection as a user of the bus.
    pub async fn connect(&self, user: &str) -> Result<Bus, Error> {
        let known = topology::user(user).ok_or_else(|| Error::User(user.to_owned()))?;
        let settings = self.server.settings(&self.keys, user)?;
        Ok(Bus::connect(&settings, known).await?)
    }

    /// The settings that every service has: it signs as itself, and finds any other key that it may want.
    pub fn common(&self, name: &str) -> Result<Common, Error> {
        let mut writers = Writer::ALL.into_iter();
        let writer = writers.find(|writer| writer.service() == name);
        Ok(Common {
            cluster: CLUSTER.to_owned(),
            nats: self.server.settings(&self.keys, name)?,
            keys: KeySettings {
                signing_file: writer.map(|writer| self.keys.signing(writer)),
                trusted_dir: Some(self.keys.trusted()),
                evidence_file: Some(self.keys.evidence()),
                digest_file: Some(self.keys.digest()),
                inverse_file: Some(self.keys.inverse()),
                webhook_file: Some(self.keys.webhook()),
            },
            telemetry: TelemetrySettings::default(),
            health: HealthSettings::default(),
        })
    }

    /// A service as it is when it has started.
    pub async fn service(&self, name: &'static str) -> Result<Service, Error> {
        self.service_with(name, self.common(name)?).await
    }

    /// The same with other settings.
    pub async fn service_with(&self, name: &'static str, common: Common) -> Result<Service, Error> {
        let about = About {
            name,
            version: "0",
            modes: &[],
        };
        let (shutdown, readiness) = (CancellationToken::new(), Readiness::default());
        let metrics = Metrics::default();
        let started = Service::start(about, common, "test", shutdown, readiness, metrics).await;
        started.map_err(|source| Error::Start {
            name,
            source: source.into(),
        })
    }

    /// Reads the messages of a stage, as the operator may.
    pub async fn reader(&self, stage: Stage) -> Result<StreamReader, Error> {
        let stream = topology::stream_of(stage).map_or("", |stream| stream.name);
        Ok(StreamReader::new(self.connect("operator").await?, stream))
    }

    /// Every message of a stage.
    pub async fn stored(&self, stage: Stage) -> Result<Vec<StoredMessage>, Error> {
        let reader = self.reader(stage).await?;
        Ok(reader.all(&stage.filter()).await?)
    }

    /// The first message of a stage, once it is there.
    pub async fn first(&self, stage: Stage) -> Result<StoredMessage, Error> {
        let reader = self.reader(stage).await?;
        let look = async {
            let mut ticks = tokio::time::interval(LOOK_AGAIN);
            loop {
                ticks.tick().await;
                if let Some(found) = reader.next(&stage.filter(), 1).await? {
                    return Ok(found);
                }
            }
        };
        let found = tokio::time::timeout(WAIT, look).await;
        found.unwrap_or(Err(Error::Silence(stage)))
    }
}
