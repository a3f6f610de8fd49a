//! Two replicas share the consumer, and one of them dies.

use std::collections::BTreeSet;
use std::path::Path;

use bonesetter_chassis::bus::StreamReader;
use bonesetter_chassis::topology::{DLQ, ENRICHED, ENRICHER};
use bonesetter_keys::incident_id;
use bonesetter_proto::Stage;
use bonesetter_proto::v1::{Detected, FailureClass};
use bonesetter_testbed::TestBus;
use bonesetter_testbed::service::{ServiceProcess, lose_one};
use serde_json::json;

use crate::bus::subject;
use crate::cluster::{Sandbox, detected, is_in_phase, pod};

/// Far more than both have in hand.
const INCIDENTS: u32 = 200;

async fn replicas(bed: &TestBus, kubeconfig: &Path) -> [ServiceProcess; 2] {
    let keys = &bed.keys;
    let config = json!({
        "cluster": "test",
        "nats": bed.server.settings(keys, "svc-enricher").unwrap(),
        "keys": {
            "trusted_dir": keys.trusted(),
            "evidence_file": keys.evidence(), "digest_file": keys.digest(),
        },
        "kubeconfig": kubeconfig,
    });
    let program = Path::new(env!("CARGO_BIN_EXE_svc-enricher"));
    ServiceProcess::start_two("svc-enricher", program, bed.folder(), &config)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_incident_is_enriched_once_although_a_replica_dies_with_some_in_hand() {
    let sandbox = Sandbox::new().await;
    let root = sandbox
        .create(&pod("brief", &["crash", "--message", "no such key"]))
        .await;
    sandbox
        .await_pod("its end", |pod| is_in_phase(pod, "Failed"))
        .await;
    let bed = TestBus::start().await.unwrap();
    let mut replicas = replicas(&bed, &sandbox.kubeconfig).await;
    let publisher = bed
        .service("svc-watcher")
        .await
        .unwrap()
        .publisher::<Detected>()
        .unwrap();
    let subjects: Vec<_> = (0..INCIDENTS)
        .map(|number| {
            let incident = incident_id("test", "brief", number);
            subject(&sandbox.namespace, &incident, "open")
        })
        .collect();
    let feeding = async {
        for subject in &subjects {
            let mut message = detected(&root, &[&root], FailureClass::Failed);
            message.incident.get_or_insert_default().id = subject.incident.to_string();
            publisher.publish(subject, message, "").await.unwrap();
        }
    };
    let bus = bed.connect("svc-enricher").await.unwrap();
    lose_one(&mut replicas, &bus, &ENRICHER, feeding)
        .await
        .unwrap();
    // Only its one reader may read the raw stream.
    let reader = StreamReader::new(bed.connect("svc-redactor").await.unwrap(), ENRICHED.name);
    let found = reader.all(&Stage::Enriched.filter()).await.unwrap();
    assert_eq!(found.len(), subjects.len());
    let found: BTreeSet<_> = found.into_iter().map(|it| it.subject).collect();
    let expected = subjects
        .iter()
        .map(|it| it.at(Stage::Enriched, "open").to_string());
    assert_eq!(found, expected.collect());
    let letters = StreamReader::new(bed.connect("operator").await.unwrap(), DLQ.name);
    assert!(letters.all(&Stage::Dlq.filter()).await.unwrap().is_empty());
    sandbox.remove().await;
}
