//! A bus of the test's own, with the users, permissions and keys of production.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_chassis::bus::{Publisher, StoredMessage, header};
use bonesetter_chassis::service::Service;
use bonesetter_keys::{SealingKeys, Signature, VerifyingKeys};
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{Enriched, Evidence, EvidenceItem, Incident, LogChunk, LogLine};
use bonesetter_proto::{IncidentId, Message, Namespace, Stage, Subject, Writer};
use bonesetter_testbed::TestBus;
use bonesetter_testbed::bus::CLUSTER;
use bonesetter_testbed::service::ServiceProcess;
use prost::Message as _;
use serde_json::json;
use svc_redactor::config::Config;
use tokio_util::sync::CancellationToken;

pub(crate) struct Bed {
    pub(crate) bus: TestBus,
    shutdown: CancellationToken,
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
        Self {
            bus: TestBus::start().await.unwrap(),
            shutdown: CancellationToken::new(),
        }
    }

    /// A message, once its signature has been verified.
    pub(crate) fn believed<M: Message>(&self, stored: &StoredMessage) -> M {
        let signature = Signature {
            key_id: stored.header(header::KEY_ID).unwrap().to_owned(),
            bytes: STANDARD
                .decode(stored.header(header::SIGNATURE).unwrap())
                .unwrap(),
        };
        VerifyingKeys::read(&self.bus.keys.trusted())
            .unwrap()
            .verify::<M>(&stored.subject, &stored.payload, &signature)
            .unwrap()
            .into_inner()
    }

    /// Starts the bus and two redactors on it, each a process.
    pub(crate) async fn start_two() -> (Self, [ServiceProcess; 2]) {
        let bed = Self::start_bare().await;
        let keys = &bed.bus.keys;
        let config = json!({
            "cluster": CLUSTER,
            "nats": bed.bus.server.settings(keys, "svc-redactor").unwrap(),
            "keys": {
                "signing_file": keys.signing(Writer::Redactor),
                "evidence_file": keys.evidence(),
                "digest_file": keys.digest(),
            },
        });
        let program = Path::new(env!("CARGO_BIN_EXE_svc-redactor"));
        let replicas =
            ServiceProcess::start_two("svc-redactor", program, bed.bus.folder(), &config)
                .await
                .unwrap();
        (bed, replicas)
    }

    pub(crate) async fn service(&self, name: &'static str) -> Service {
        let mut service = self.bus.service(name).await.unwrap();
        service.shutdown = self.shutdown.clone();
        service
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
        let seal = SealingKeys::read(&self.bus.keys.evidence()).unwrap();
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
        self.bus.first(stage).await.unwrap()
    }

    /// The messages of a stage.
    pub(crate) async fn all(&self, stage: Stage) -> Vec<StoredMessage> {
        self.bus.stored(stage).await.unwrap()
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
