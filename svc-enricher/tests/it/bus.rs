use std::time::Duration;

use bonesetter_chassis::bus::{Bus, provision};
use bonesetter_chassis::config::{Common, HealthSettings, KeySettings, TelemetrySettings};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::{About, Service};
use bonesetter_chassis::stage::{Input, Outcome, Stage};
use bonesetter_chassis::topology;
use bonesetter_keys::{KeyDirectory, SealingKeys};
use bonesetter_proto::v1::{Detected, Enriched, Evidence, FailureClass, Redacted};
use bonesetter_proto::{IncidentId, Namespace, Stage as StageName, Subject, Writer};
use bonesetter_testbed::{NatsOptions, NatsServer, identity};
use prost::Message as _;
use svc_enricher::config::Config;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Sandbox, detected, is_in_phase, pod};
use crate::reading::log;

/// Stands where svc-redactor stands and shows what arrives there.
struct Receiver(mpsc::UnboundedSender<Input<Enriched>>);

impl Stage for Receiver {
    type In = Enriched;
    type Out = Redacted;

    async fn handle(&self, input: &Input<Enriched>) -> Outcome<Redacted> {
        self.0.send(input.clone()).unwrap();
        Outcome::Done(Vec::new())
    }
}

/// A bus of the test's own, provisioned.
pub(crate) struct Bed {
    pub(crate) nats: NatsServer,
    pub(crate) keys: KeyDirectory,
    pub(crate) folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = identity::keys(folder.path()).unwrap();
        let options = NatsOptions {
            authorization: Some(identity::authorization(folder.path()).unwrap()),
            ..NatsOptions::default()
        };
        let nats = NatsServer::start(options).await.unwrap();
        let bed = Self { nats, keys, folder };
        provision(&bed.bus("provisioner").await).await.unwrap();
        bed
    }

    pub(crate) async fn bus(&self, name: &str) -> Bus {
        let settings = self.nats.settings(&self.keys, name).unwrap();
        Bus::connect(&settings, topology::user(name).unwrap())
            .await
            .unwrap()
    }
}

pub(crate) fn subject(namespace: &str, incident: &str, step: &str) -> Subject {
    Subject {
        stage: StageName::Detected,
        cluster: "test".to_owned(),
        namespace: Some(Namespace::new(namespace).unwrap()),
        kind: "Pod".to_owned(),
        incident: IncidentId::new(incident).unwrap(),
        step: step.to_owned(),
    }
}

pub(crate) async fn service(bed: &Bed, name: &'static str) -> Service {
    let (nats, keys) = (&bed.nats, &bed.keys);
    let common = Common {
        cluster: "test".to_owned(),
        nats: nats.settings(keys, name).unwrap(),
        keys: KeySettings {
            signing_file: Writer::ALL
                .into_iter()
                .find(|writer| writer.service() == name)
                .map(|writer| keys.signing(writer)),
            trusted_dir: Some(keys.trusted()),
            evidence_file: Some(keys.evidence()),
            digest_file: Some(keys.digest()),
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
        CancellationToken::new(),
        readiness,
        metrics,
    )
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_incident_comes_out_sealed_for_its_subject_and_an_update_not_at_all() {
    let bed = Bed::start().await;
    let sandbox = Sandbox::new().await;
    let root = sandbox
        .create(&pod("brief", &["crash", "--message", "no such key"]))
        .await;
    sandbox
        .await_pod("its end", |pod| is_in_phase(pod, "Failed"))
        .await;
    let incident = "a".repeat(IncidentId::LENGTH);
    let subject = |step: &str| subject(&sandbox.namespace, &incident, step);
    let publisher = service(&bed, "svc-watcher")
        .await
        .publisher::<Detected>()
        .unwrap();
    for step in ["update-1", "resolved", "open"] {
        let mut message = detected(&root, &[&root], FailureClass::Failed);
        message.incident.as_mut().unwrap().id = subject(step).incident.to_string();
        publisher
            .publish(&subject(step), message, "")
            .await
            .unwrap();
    }

    let config = Config {
        kubeconfig: Some(sandbox.kubeconfig.clone()),
        ..Config::default()
    };
    let enricher = service(&bed, "svc-enricher").await;
    tokio::spawn(svc_enricher::run(config, enricher.clone()));
    let (sender, mut received) = mpsc::unbounded_channel();
    let redactor = service(&bed, "svc-redactor").await;
    let receiving = redactor.clone();
    tokio::spawn(async move {
        receiving
            .run_stage(&topology::REDACTOR, Receiver(sender))
            .await
    });

    let first = tokio::time::timeout(Duration::from_mins(1), received.recv()).await;
    let input = first.expect("enriched in time").unwrap();
    assert_eq!(
        input.subject,
        subject("open").at(StageName::Enriched, "open")
    );
    let seal = SealingKeys::read(&bed.keys.evidence()).unwrap();
    let sealed = input.message.evidence.unwrap();
    let raw = String::from_utf8_lossy(&sealed.ciphertext).into_owned();
    assert!(!raw.contains("no such key"));
    let evidence = Evidence::decode(
        seal.open(&input.subject.to_string(), &sealed)
            .unwrap()
            .as_slice(),
    )
    .unwrap();
    assert!(
        log(&evidence, "log/brief/app/current")
            .lines
            .last()
            .unwrap()
            .text
            .contains("no such key")
    );
    for service in [&enricher, &redactor] {
        service.shutdown.cancel();
    }
    assert!(received.try_recv().is_err(), "one message only");
    sandbox.remove().await;
}
