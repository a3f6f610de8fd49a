//! Two replicas share the consumers.

use std::collections::BTreeSet;

use bonesetter_keys::incident_id;
use bonesetter_proto::v1::{Notified, Step};

use crate::bed::{Bed, INCIDENT, kinds};

/// More than one replica handles at a time.
const INCIDENTS: u32 = 24;

#[tokio::test(flavor = "multi_thread")]
async fn every_notice_is_posted_once_whichever_replica_has_it() {
    let bed = Bed::start().await;
    bed.accept_slowly().await;
    let incidents: Vec<_> = (0..INCIDENTS)
        .map(|it| incident_id("test", "cart", it))
        .collect();
    let all_told = Box::pin(async {
        for incident in &incidents {
            bed.act_on(incident, Step::Proposed, "proposed", "").await;
        }
        bed.stored::<Notified>(incidents.len()).await
    });
    let (notified, posts) = bed.while_sharing(all_told).await;
    assert_eq!(notified.len(), incidents.len());
    let expected: BTreeSet<_> = incidents
        .iter()
        .map(|it| format!("{it}/incident-proposed"))
        .collect();
    assert_eq!(bed.webhook_keys().await, expected);
    assert_eq!(kinds(&bed.webhook).await.len(), incidents.len());
    assert_eq!(
        posts.iter().sum::<u64>(),
        2 * u64::from(INCIDENTS),
        "{posts:?}"
    );
    assert!(
        posts.iter().all(|it| *it > 0),
        "only one has worked: {posts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_told_after_its_change_although_another_replica_had_it_first() {
    let bed = Bed::start().await;
    bed.accept().await;
    let all_told = Box::pin(async {
        bed.act_on(INCIDENT, Step::Verified, "verified", "applied")
            .await;
        bed.acted_is_delivered().await;
        bed.act_on(INCIDENT, Step::Applied, "applied", "intended")
            .await;
        bed.stored::<Notified>(2).await;
        bed.resolve().await;
        bed.stored::<Notified>(3).await
    });
    bed.while_sharing(all_told).await;
    let expected = ["applied", "verified", "resolved"];
    assert_eq!(kinds(&bed.webhook).await, expected);
}
