use std::time::Duration;

use bonesetter_chassis::stage::{Input, Outcome, Stage};
use bonesetter_chassis::topology;
use bonesetter_keys::SealingKeys;
use bonesetter_proto::v1::{Detected, Enriched, Evidence, FailureClass, Redacted};
use bonesetter_proto::{IncidentId, Namespace, Stage as StageName, Subject};
use bonesetter_testbed::TestBus;
use prost::Message as _;
use svc_enricher::config::Config;
use tokio::sync::mpsc;

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

#[tokio::test(flavor = "multi_thread")]
async fn an_open_incident_comes_out_sealed_for_its_subject_and_an_update_not_at_all() {
    let bed = TestBus::start().await.unwrap();
    let sandbox = Sandbox::new().await;
    let root = sandbox
        .create(&pod("brief", &["crash", "--message", "no such key"]))
        .await;
    sandbox
        .await_pod("its end", |pod| is_in_phase(pod, "Failed"))
        .await;
    let incident = "a".repeat(IncidentId::LENGTH);
    let subject = |step: &str| subject(&sandbox.namespace, &incident, step);
    let publisher = bed
        .service("svc-watcher")
        .await
        .unwrap()
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
    let enricher = bed.service("svc-enricher").await.unwrap();
    tokio::spawn(svc_enricher::run(config, enricher.clone()));
    let (sender, mut received) = mpsc::unbounded_channel();
    let redactor = bed.service("svc-redactor").await.unwrap();
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
    let sealed = input.message.evidence.as_ref().unwrap();
    let raw = String::from_utf8_lossy(&sealed.ciphertext).into_owned();
    assert!(!raw.contains("no such key"));
    let evidence = Evidence::decode(
        seal.open(&input.subject.to_string(), sealed)
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
