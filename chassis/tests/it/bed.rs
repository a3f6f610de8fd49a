use std::path::{Path, PathBuf};
use std::time::Duration;

use bonesetter_chassis::bus::{Bus, StoredMessage, StreamReader, provision};
use bonesetter_chassis::config::{Common, HealthSettings, KeySettings, TelemetrySettings};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::{About, Service};
use bonesetter_chassis::topology::{self, ExternalUser};
use bonesetter_keys::KeyDirectory;
use bonesetter_proto::v1::{Detected, Incident};
use bonesetter_proto::{IncidentId, Namespace, Stage, Subject, Writer};
use bonesetter_testbed::{NatsOptions, NatsServer, identity};
use tokio_util::sync::CancellationToken;

/// A nats-server of the test's own, provisioned, with the users and permissions of production.
pub(crate) struct Bed {
    pub(crate) nats: NatsServer,
    pub(crate) keys: KeyDirectory,
    dir: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn start() -> Self {
        let bed = Self::start_bare().await;
        let bus = bed.bus("provisioner").await;
        provision(&bus).await.expect("provisioned");
        bed
    }

    pub(crate) async fn start_bare() -> Self {
        Self::start_with(&[], |accounts| accounts).await
    }

    /// With external tools, and with whatever else a test wants of the accounts.
    pub(crate) async fn start_with(
        tools: &[ExternalUser],
        edit: impl FnOnce(String) -> String,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authorization = edit(identity::authorization_with(dir.path(), tools).unwrap());
        Self::start_in(dir, authorization, false).await
    }

    /// Provisioned, and without TLS.
    pub(crate) async fn start_plain() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authorization = identity::authorization(dir.path()).unwrap();
        let bed = Self::start_in(dir, authorization, true).await;
        let bus = bed.bus("provisioner").await;
        provision(&bus).await.expect("provisioned");
        bed
    }

    async fn start_in(dir: tempfile::TempDir, authorization: String, plaintext: bool) -> Self {
        let options = NatsOptions {
            authorization: Some(authorization),
            plaintext,
            ..NatsOptions::default()
        };
        let nats = NatsServer::start(options).await.expect("nats-server");
        Self {
            nats,
            keys: identity::keys(dir.path()).unwrap(),
            dir,
        }
    }

    /// The folder that the keys are made for.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn bus(&self, user: &str) -> Bus {
        let settings = self.nats.settings(&self.keys, user).unwrap();
        Bus::connect(&settings, topology::user(user).unwrap())
            .await
            .expect("connected")
    }

    pub(crate) fn common(&self, name: &'static str) -> Common {
        let signing_file: Option<PathBuf> = Writer::ALL
            .into_iter()
            .find(|writer| writer.service() == name)
            .map(|writer| self.keys.signing(writer));
        Common {
            cluster: "test".to_owned(),
            nats: self.nats.settings(&self.keys, name).unwrap(),
            keys: KeySettings {
                signing_file,
                trusted_dir: Some(self.keys.trusted()),
                ..KeySettings::default()
            },
            telemetry: TelemetrySettings::default(),
            health: HealthSettings::default(),
        }
    }

    pub(crate) async fn service(&self, name: &'static str) -> Service {
        start(name, self.common(name)).await.expect("started")
    }
}

pub(crate) async fn start(name: &'static str, common: Common) -> anyhow::Result<Service> {
    let about = About {
        name,
        version: "0",
        modes: &[],
    };
    let shutdown = CancellationToken::new();
    let (readiness, metrics) = (Readiness::default(), Metrics::default());
    readiness.export(name, &metrics);
    Service::start(about, common, "test", shutdown, readiness, metrics).await
}

pub(crate) fn subject(number: u8, step: &str) -> Subject {
    let letter = char::from(b'a' + number % 26);
    let id = format!("{}{}", letter, "b".repeat(IncidentId::LENGTH - 1));
    Subject {
        stage: Stage::Detected,
        cluster: "test".to_owned(),
        namespace: Namespace::new("shop").ok(),
        kind: "Deployment".to_owned(),
        incident: IncidentId::new(id).unwrap(),
        step: step.to_owned(),
    }
}

pub(crate) fn detected(subject: &Subject) -> Detected {
    let incident = Incident {
        id: subject.incident.to_string(),
        ..Incident::default()
    };
    Detected {
        incident: Some(incident),
        ..Detected::default()
    }
}

/// Polls until a stream holds at least so many messages; fails with what it holds.
pub(crate) async fn stored(bus: &Bus, stage: Stage, count: usize) -> Vec<StoredMessage> {
    let stream = topology::stream_of(stage).unwrap();
    let reader = StreamReader::new(bus.clone(), stream.name);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let found = reader.all(&stage.filter()).await.expect("readable");
        if found.len() >= count {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain for {count} messages of {stage}; there are {found:?}"
        );
        tokio::task::yield_now().await;
    }
}
