//! The service on a bus of the test's own, with the users, permissions and keys of production.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_chassis::bus::{Bus, StoredMessage, StreamReader, header, provision};
use bonesetter_chassis::config::{Common, HealthSettings, KeySettings, TelemetrySettings};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::{About, Service};
use bonesetter_chassis::topology;
use bonesetter_keys::{KeyDirectory, Signature, VerifyingKeys};
use bonesetter_proto::v1::{DeadLetter, Diagnosed, Redacted};
use bonesetter_proto::{Stage, Writer};
use bonesetter_testbed::service::ServiceProcess;
use bonesetter_testbed::{NatsOptions, NatsServer, identity};
use prost::Message as _;
use serde_json::json;
use svc_llm::config::Config;
use tokio_util::sync::CancellationToken;

use crate::evidence::{BAD_VALUE, input};

pub(crate) struct Bed {
    nats: NatsServer,
    keys: KeyDirectory,
    shutdown: CancellationToken,
    folder: tempfile::TempDir,
}

impl Bed {
    /// Starts the bus and svc-llm on it.
    async fn start() -> Self {
        Self::start_with(&Config::default(), 1).await
    }

    /// Starts the bus and some replicas of svc-llm on it.
    pub(crate) async fn start_with(config: &Config, replicas: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = identity::keys(folder.path()).unwrap();
        let options = NatsOptions {
            authorization: Some(identity::authorization(folder.path()).unwrap()),
            ..NatsOptions::default()
        };
        let nats = NatsServer::start(options).await.unwrap();
        let shutdown = CancellationToken::new();
        let bed = Self {
            nats,
            keys,
            shutdown,
            folder,
        };
        provision(&bed.bus("provisioner").await).await.unwrap();
        for _ in 0..replicas {
            let service = bed.service("svc-llm", Writer::Llm).await;
            tokio::spawn(svc_llm::run(config.clone(), service));
        }
        bed
    }

    /// Starts two replicas of the service's own program, which ask a model behind this URL.
    pub(crate) async fn start_two(&self, provider: &str) -> [ServiceProcess; 2] {
        let config = json!({
            "cluster": "demo",
            "nats": self.nats.settings(&self.keys, "svc-llm").unwrap(),
            "keys": {
                "signing_file": self.keys.signing(Writer::Llm), "trusted_dir": self.keys.trusted(),
            },
            "provider": "openai",
            "openai": {"base_url": format!("{provider}/v1"), "model": "m"},
        });
        let program = Path::new(env!("CARGO_BIN_EXE_svc-llm"));
        ServiceProcess::start_two("svc-llm", program, self.folder.path(), &config)
            .await
            .unwrap()
    }

    pub(crate) async fn bus(&self, user: &str) -> Bus {
        let settings = self.nats.settings(&self.keys, user).unwrap();
        Bus::connect(&settings, topology::user(user).unwrap())
            .await
            .unwrap()
    }

    /// A service of that name, which signs with the key of a writer.
    pub(crate) async fn service(&self, name: &'static str, signs_as: Writer) -> Service {
        let keys = KeySettings {
            signing_file: Some(self.keys.signing(signs_as)),
            trusted_dir: Some(self.keys.trusted()),
            ..KeySettings::default()
        };
        let common = Common {
            cluster: "demo".to_owned(),
            nats: self.nats.settings(&self.keys, name).unwrap(),
            keys,
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

    /// Publishes the evidence of a bad value as svc-redactor.
    async fn publish(&self, signs_as: Writer) {
        let input = input(BAD_VALUE);
        let redactor = self.service("svc-redactor", signs_as).await;
        let message = Redacted {
            envelope: None,
            ..input.message
        };
        redactor
            .publisher::<Redacted>()
            .unwrap()
            .publish(&input.subject, message, "")
            .await
            .unwrap();
    }

    /// Every message of a stage.
    pub(crate) async fn all(&self, stage: Stage) -> Vec<StoredMessage> {
        let stream = topology::stream_of(stage).unwrap();
        let reader = StreamReader::new(self.bus("operator").await, stream.name);
        reader.all(&stage.filter()).await.unwrap()
    }

    /// The first message of a stage, once it is there.
    async fn first(&self, stage: Stage) -> StoredMessage {
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
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_evidence_becomes_a_signed_diagnosis_under_the_same_step() {
    let bed = Bed::start().await;
    bed.publish(Writer::Redactor).await;
    let stored = bed.first(Stage::Diagnosed).await;
    let subject = input(BAD_VALUE).subject;
    assert_eq!(
        stored.subject,
        subject.at(Stage::Diagnosed, "open").to_string()
    );
    let trusted = VerifyingKeys::read(&bed.keys.trusted()).unwrap();
    let signature = Signature {
        key_id: stored.header(header::KEY_ID).unwrap().to_owned(),
        bytes: STANDARD
            .decode(stored.header(header::SIGNATURE).unwrap())
            .unwrap(),
    };
    let message: Diagnosed = trusted
        .verify(&stored.subject, &stored.payload, &signature)
        .unwrap()
        .into_inner();
    let diagnosis = message.diagnosis.unwrap();
    assert_eq!(diagnosis.cause, "bad-config-value");
    assert!(diagnosis.remedy.is_some() && !message.excerpts.is_empty());
    assert_eq!(message.envelope.unwrap().caused_by, subject.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_the_redactor_has_not_signed_is_a_dead_letter() {
    let bed = Bed::start().await;
    bed.publish(Writer::Actuator).await;
    let letter = DeadLetter::decode(bed.first(Stage::Dlq).await.payload).unwrap();
    assert_eq!(letter.dead_subject, input(BAD_VALUE).subject.to_string());
    assert!(bed.all(Stage::Diagnosed).await.is_empty());
}
