//! The service on a bus of the test's own, with the users, permissions and keys of production.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_chassis::bus::{Bus, StoredMessage, header};
use bonesetter_chassis::service::Service;
use bonesetter_keys::{Signature, VerifyingKeys};
use bonesetter_proto::v1::{DeadLetter, Diagnosed, Redacted};
use bonesetter_proto::{Stage, Writer};
use bonesetter_testbed::TestBus;
use bonesetter_testbed::bus::CLUSTER;
use bonesetter_testbed::service::ServiceProcess;
use prost::Message as _;
use serde_json::json;
use svc_llm::config::Config;
use tokio_util::sync::CancellationToken;

use crate::evidence::{BAD_VALUE, input};

pub(crate) struct Bed {
    bus: TestBus,
    shutdown: CancellationToken,
}

impl Bed {
    /// Starts the bus and svc-llm on it.
    async fn start() -> Self {
        Self::start_with(&Config::default(), 1).await
    }

    /// Starts the bus and some replicas of svc-llm on it.
    pub(crate) async fn start_with(config: &Config, replicas: usize) -> Self {
        let bed = Self {
            bus: TestBus::start().await.unwrap(),
            shutdown: CancellationToken::new(),
        };
        for _ in 0..replicas {
            let service = bed.service("svc-llm", Writer::Llm).await;
            tokio::spawn(svc_llm::run(config.clone(), service));
        }
        bed
    }

    /// Starts two replicas of the service's own program, which ask a model behind this URL.
    pub(crate) async fn start_two(&self, provider: &str) -> [ServiceProcess; 2] {
        let keys = &self.bus.keys;
        let config = json!({
            "cluster": CLUSTER,
            "nats": self.bus.server.settings(keys, "svc-llm").unwrap(),
            "keys": {
                "signing_file": keys.signing(Writer::Llm), "trusted_dir": keys.trusted(),
            },
            "provider": "openai",
            "openai": {"base_url": format!("{provider}/v1"), "model": "m"},
        });
        let program = Path::new(env!("CARGO_BIN_EXE_svc-llm"));
        ServiceProcess::start_two("svc-llm", program, self.bus.folder(), &config)
            .await
            .unwrap()
    }

    pub(crate) async fn bus(&self, user: &str) -> Bus {
        self.bus.connect(user).await.unwrap()
    }

    /// A service of that name, which signs with the key of a writer.
    pub(crate) async fn service(&self, name: &'static str, signs_as: Writer) -> Service {
        let mut common = self.bus.common(name).unwrap();
        common.keys.signing_file = Some(self.bus.keys.signing(signs_as));
        let mut service = self.bus.service_with(name, common).await.unwrap();
        service.shutdown = self.shutdown.clone();
        service
    }

    /// Publishes the evidence of a bad value as svc-redactor.
    async fn publish(&self, signs_as: Writer) {
        let input = input(BAD_VALUE);
        let redactor = self.service("svc-redactor", signs_as).await;
        let message = Redacted {
            envelope: None,
            ..(*input.message).clone()
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
        self.bus.stored(stage).await.unwrap()
    }

    /// The first message of a stage, once it is there.
    async fn first(&self, stage: Stage) -> StoredMessage {
        self.bus.first(stage).await.unwrap()
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
    let trusted = VerifyingKeys::read(&bed.bus.keys.trusted()).unwrap();
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
