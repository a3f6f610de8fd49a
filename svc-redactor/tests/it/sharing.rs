//! Two replicas share the consumer, and one of them dies.

use std::collections::BTreeSet;

use bonesetter_chassis::topology::REDACTOR;
use bonesetter_keys::incident_id;
use bonesetter_proto::v1::Evidence;
use bonesetter_proto::{IncidentId, Stage, Subject};
use bonesetter_testbed::service::lose_one;

use crate::bed::{Bed, log, subject};

/// Far more than both have in hand.
const INCIDENTS: u32 = 200;
const LINES: usize = 600;

/// So much that one message is not handled in no time.
fn evidence() -> Evidence {
    let line = |number: usize| {
        format!("INFO request {number} of cart@example.com answered 503, password=hunter{number}")
    };
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    log("log/p/app/previous", &lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_redacted_once_although_a_replica_dies_with_some_in_hand() {
    let (bed, mut replicas) = Bed::start_two().await;
    let publisher = bed.publisher().await;
    let evidence = evidence();
    let subjects: Vec<Subject> = (0..INCIDENTS)
        .map(|number| Subject {
            incident: IncidentId::new(incident_id("test", "cart", number)).unwrap(),
            ..subject("open")
        })
        .collect();
    let feeding = async {
        for subject in &subjects {
            bed.publish_with(&publisher, &evidence, subject, subject)
                .await;
        }
    };
    let bus = bed.bus.connect("svc-redactor").await.unwrap();
    lose_one(&mut replicas, &bus, &REDACTOR, feeding)
        .await
        .unwrap();
    let found = bed.all(Stage::Redacted).await;
    assert_eq!(found.len(), subjects.len());
    let found: BTreeSet<_> = found.into_iter().map(|it| it.subject).collect();
    let expected = subjects
        .iter()
        .map(|it| it.at(Stage::Redacted, "open").to_string());
    assert_eq!(found, expected.collect());
    assert_eq!(bed.count(Stage::Dlq).await, 0);
}
