//! Two replicas share the consumers, and one of them dies.

use bonesetter_chassis::topology::AUDIT_REDACTED;
use bonesetter_keys::incident_id;
use bonesetter_proto::v1::{Evidence, QueryRecord, Redacted};
use bonesetter_proto::{IncidentId, Stage};
use bonesetter_testbed::service::lose_one;
use sqlx::Row as _;

use crate::bed::{Ledger, Nats};

/// Far more than both have in hand.
const INCIDENTS: u32 = 400;
/// So many that one message is not recorded in no time.
const QUERIES: u32 = 40;

fn redacted(number: u32) -> Redacted {
    let query = |place: u32| QueryRecord {
        tool: "kubernetes.list_events".to_owned(),
        inputs_hash: format!("{number:032x}{place:032x}"),
        result_hash: "b".repeat(64),
    };
    let evidence = Evidence {
        queries: (0..QUERIES).map(query).collect(),
        ..Evidence::default()
    };
    Redacted {
        evidence: Some(evidence),
        ..Redacted::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_recorded_once_although_a_replica_dies_with_some_in_hand() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    let mut replicas = nats.start_two(&ledger).await;
    let publisher = nats
        .service("svc-redactor")
        .await
        .publisher::<Redacted>()
        .unwrap();
    let feeding = async {
        for number in 0..INCIDENTS {
            let mut subject = nats.subject('a', Stage::Redacted, "open");
            subject.incident =
                IncidentId::new(incident_id(nats.cluster(), "cart", number)).unwrap();
            let message = redacted(number);
            publisher.publish(&subject, message, "").await.unwrap();
        }
    };
    let bus = nats.bus("svc-audit").await;
    lose_one(&mut replicas, &bus, &AUDIT_REDACTED, feeding)
        .await
        .unwrap();
    let mut superuser = ledger.superuser().await;
    let row = sqlx::query(
        "select count(*) as rows, count(distinct stream_sequence) as messages, \
           count(distinct session_id) as incidents from audit.audit_events",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    let of_each = i64::from(INCIDENTS);
    let found = ["rows", "messages", "incidents"].map(|name| row.get::<i64, _>(name));
    assert_eq!(found, [of_each; 3]);
    assert!(nats.stored(Stage::Dlq).await.is_empty());
    drop(superuser);
    drop(replicas);
    ledger.drop().await;
}
