//! Two replicas share the consumer, and one of them dies.

use std::collections::BTreeSet;
use std::time::Duration;

use bonesetter_chassis::topology::LLM;
use bonesetter_keys::incident_id;
use bonesetter_proto::v1::Redacted;
use bonesetter_proto::{IncidentId, Stage, Writer};
use bonesetter_testbed::service::lose_one;

use crate::bus::Bed;
use crate::evidence::{BAD_VALUE, input};
use crate::provider::{answer, completion, serve};

/// Far more than both have in hand.
const INCIDENTS: u32 = 60;
/// A model takes its time, so that there is always something in hand.
const ANSWER: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn every_incident_is_diagnosed_once_although_a_replica_dies_with_some_in_hand() {
    let provider = serve(completion(&answer().to_string()).set_delay(ANSWER)).await;
    let bed = Bed::start_with(&svc_llm::config::Config::default(), 0).await;
    let mut replicas = bed.start_two(&provider.uri()).await;
    let redactor = bed.service("svc-redactor", Writer::Redactor).await;
    let publisher = redactor.publisher::<Redacted>().unwrap();
    let template = input(BAD_VALUE);
    let subjects: Vec<_> = (0..INCIDENTS)
        .map(|number| {
            let mut subject = template.subject.clone();
            subject.incident = IncidentId::new(incident_id("demo", "uid", number)).unwrap();
            subject
        })
        .collect();
    let feeding = async {
        for subject in &subjects {
            let mut message = (*template.message).clone();
            message.envelope = None;
            message.incident.get_or_insert_default().id = subject.incident.to_string();
            publisher.publish(subject, message, "").await.unwrap();
        }
    };
    let bus = bed.bus("svc-llm").await;
    lose_one(&mut replicas, &bus, &LLM, feeding).await.unwrap();
    let found = bed.all(Stage::Diagnosed).await;
    assert_eq!(found.len(), subjects.len());
    let found: BTreeSet<_> = found.into_iter().map(|it| it.subject).collect();
    let expected = subjects
        .iter()
        .map(|it| it.at(Stage::Diagnosed, "open").to_string());
    assert_eq!(found, expected.collect());
    assert!(bed.all(Stage::Dlq).await.is_empty());
}
