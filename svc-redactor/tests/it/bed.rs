//! A bus of the test's own, with the users, permissions and keys of production.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_chassis::bus::{Bus, Publisher, StoredMessage, StreamReader, header, provision};
use bonesetter_chassis::config::{Common, HealthSettings, KeySettings, TelemetrySettings};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::{About, Service};
use bonesetter_chassis::topology;
use bonesetter_keys::{KeyDirectory, SealingKeys, Signature, VerifyingKeys};
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{Enriched, Evidence, EvidenceItem, Incident, LogChunk, LogLine};
use bonesetter_proto::{IncidentId, Message, Namespace, Stage, Subject, Writer};
use bonesetter_testbed::service::ServiceProcess;
use bonesetter_testbed::{NatsOptions, NatsServer, identity};
use prost::Message as _;
use serde_json::json;
use svc_redactor::config::Config;
use tokio_util::sync::CancellationToken;

pub(crate) struct Bed {
    pub(crate) nats: NatsServer,
    pub(crate) keys: KeyDirectory,
    shutdown: CancellationToken,
    folder: tempfile::TempDir,
}

impl Bed {
    /// Starts the bus and a redactor on it.
    pub(crate) async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    /// The same with settings of an installation.
    pub(crate) async fn start_with(config: Config) -> Self {
        let bed = Self::start_bare().await;
        let service = bed.service("svc-redactor").await;
        tokio::spawn(svc_redactor::run(config, service));
        bed
    }

    /// Starts the bus.
    async fn start_bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = identity::keys(folder.path()).unwrap();
        let options = NatsOptions {
            authorization: Some(identity::authorization(folder.path()).unwrap()),
            ..NatsOptions::default()
        };
        let nats = NatsServer::start(options).await.unwrap();
        let bed = Self {
            nats,
            keys,
            shutdown: CancellationToken::new(),
            folder,
        };
        provision(&bed.bus("provisioner").await).await.unwrap();
        bed
    }

    /// A message, once its signature has been verified.
    pub(crate) fn believed<M: Message>(&self, stored: &StoredMessage) -> M {
        let signature = Signature {
            key_id: stored.header(header::KEY_ID).unwrap().to_owned(),
            bytes: STANDARD
                .decode(stored.header(header::SIGNATURE).unwrap())
                .unwrap(),
        };
        VerifyingKeys::read(&self.keys.trusted())
            .unwrap()
            .verify::<M>(&stored.subject, &stored.payload, &signature)
            .unwrap()
            .into_inner()
    }

    /// Starts the bus and two redactors on it, each a process.
    pub(crate) async fn start_two() -> (Self, [ServiceProcess; 2]) {
        let bed = Self::start_bare().await;
        let keys = &bed.keys;
        let config = json!({
            "cluster": "test",
            "nats": bed.nats.settings(keys, "svc-redactor").unwrap(),
            "keys": {
                "signing_file": keys.signing(Writer::Redactor),
                "evidence_file": keys.evidence(),
                "digest_file": keys.digest(),
            },
        });
        let program = Path::new(env!("CARGO_BIN_EXE_svc-redactor"));
        let replicas =
            ServiceProcess::start_two("svc-redactor", program, bed.folder.path(), &config)
                .await
                .unwrap();
        (bed, replicas)
    }

    pub(crate) async fn bus(&self, user: &str) -> Bus {
        let settings = self.nats.settings(&self.keys, user).unwrap();
        Bus::connect(&settings, topology::user(user).unwrap())
            .await
            .unwrap()
    }

    pub(crate) async fn service(&self, name: &'static str) -> Service {
        let common = Common {
            cluster: "test".to_owned(),
            nats: self.nats.settings(&self.keys, name).unwrap(),
            keys: KeySettings {
                signing_file: (name == "svc-redactor").then(|| self.keys.signing(Writer::Redactor)),
                evidence_file: Some(self.keys.evidence()),
                digest_file: Some(self.keys.digest()),
                ..KeySettings::default()
            },
            telemetry: TelemetrySettings::default(),
            health: HealthSettings::default(),
        };
        let about = About {
            name,
            version: "0",
            modes: &[],
        };
        let (readiness, metrics) = (Readiness::default(), Metrics::default());
        Service::start(
            about,
            common,
            "test",
            self.shutdown.clone(),
            readiness,
            metrics,
        )
        .await
        .unwrap()
    }

    /// Seals evidence for one subject and publishes it under another, which is mostly the same.
    pub(crate) async fn publish(&self, evidence: &Evidence, sealed_for: &Subject, under: &Subject) {
        let publisher = self.publisher().await;
        self.publish_with(&publisher, evidence, sealed_for, under)
            .await;
    }

    pub(crate) async fn publisher(&self) -> Publisher<Enriched> {
        self.service("svc-enricher").await.publisher().unwrap()
    }

    /// As [`Bed::publish`], over a connection that stands.
    pub(crate) async fn publish_with(
        &self,
        publisher: &Publisher<Enriched>,
        evidence: &Evidence,
        sealed_for: &Subject,
        under: &Subject,
    ) {
        let seal = SealingKeys::read(&self.keys.evidence()).unwrap();
        let sealed = seal
            .seal(&sealed_for.to_string(), &evidence.encode_to_vec())
            .unwrap();
        let incident = Incident {
            id: under.incident.to_string(),
            ..Incident::default()
        };
        let message = Enriched {
            incident: Some(incident),
            evidence: Some(sealed),
            ..Enriched::default()
        };
        publisher.publish(under, message, "").await.unwrap();
    }

    /// The first message of a stage, once it is there.
    pub(crate) async fn first(&self, stage: Stage) -> StoredMessage {
        let stream = topology::stream_of(stage).unwrap();
        let reader = StreamReader::new(self.bus("operator").await, stream.name);
        let look = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                if let Some(found) = reader.next(&stage.filter(), 1).await.unwrap() {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(30), look).await;
        found.unwrap_or_else(|_| panic!("waited in vain for a message of {stage}"))
    }

    /// The messages of a stage.
    pub(crate) async fn all(&self, stage: Stage) -> Vec<StoredMessage> {
        let stream = topology::stream_of(stage).unwrap();
        let reader = StreamReader::new(self.bus("operator").await, stream.name);
        reader.all(&stage.filter()).await.unwrap()
    }

    /// How many messages a stage has published.
    pub(crate) async fn count(&self, stage: Stage) -> usize {
        self.all(stage).await.len()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn subject(step: &str) -> Subject {
    Subject {
        stage: Stage::Enriched,
        cluster: "test".to_owned(),
        namespace: Some(Namespace::new("shop").unwrap()),
        kind: "Deployment".to_owned(),
        incident: IncidentId::new("a".repeat(IncidentId::LENGTH)).unwrap(),
        step: step.to_owned(),
    }
}

/// Evidence that is one log.
pub(crate) fn log(id: &str, lines: &[&str]) -> Evidence {
    let lines = lines.iter().map(|text| LogLine {
        text: (*text).to_owned(),
        ..LogLine::default()
    });
    let chunk = LogChunk {
        lines: lines.collect(),
        ..LogChunk::default()
    };
    Evidence {
        items: vec![EvidenceItem {
            id: id.to_owned(),
            content: Some(Content::Log(chunk)),
        }],
        ..Evidence::default()
    }
}
