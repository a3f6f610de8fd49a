use std::time::Duration;

use bonesetter_chassis::bus::{
    Bucket, Entry, KvError, PublishError, Stored, StreamReader, header, provision,
};
use bonesetter_chassis::topology;
use bonesetter_proto::v1::{Detected, Enriched, Notified};
use bonesetter_proto::{Stage, from_timestamp};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use prost::Message as _;
use tokio::time::Instant;

use crate::bed::{Bed, detected, start, stored, subject};

#[tokio::test(flavor = "multi_thread")]
async fn provisioning_may_be_repeated() {
    let bed = Bed::start_bare().await;
    let bus = bed.bus("provisioner").await;
    let first = provision(&bus).await.unwrap();
    assert_eq!(provision(&bus).await.unwrap(), first);
    assert_eq!(first.streams, topology::STREAMS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_provision_is_told_so_and_not_of_a_timeout() {
    let bed = Bed::start_bare().await;
    let error = provision(&bed.bus("operator").await).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("Permissions Violation") && text.contains("\"provisioner\""),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_stored_once_however_often_it_is_published() {
    let bed = Bed::start().await;
    let watcher = bed.service("svc-watcher").await;
    let publisher = watcher.publisher::<Detected>().unwrap();
    let subject = subject(0, "open");
    let first = publisher
        .publish(&subject, detected(&subject), "")
        .await
        .unwrap();
    let again = publisher
        .publish(&subject, detected(&subject), "")
        .await
        .unwrap();
    assert_eq!((first, again), (Stored::Now(1), Stored::Before(1)));

    let found = stored(&bed.bus("operator").await, Stage::Detected, 1).await;
    assert_eq!(found.len(), 1);
    let envelope = Detected::decode(found[0].payload.clone())
        .unwrap()
        .envelope
        .unwrap();
    assert_eq!(envelope.subject, found[0].subject);
    assert_eq!(envelope.message_id, found[0].header("Nats-Msg-Id").unwrap());
    assert_eq!(envelope.producer, "svc-watcher");
    assert!(from_timestamp(&envelope.produced_at.unwrap()).is_some());
    assert_eq!(
        found[0].header("ce-type"),
        Some("dev.bonesetter.detected.v1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_published_about_an_incident_is_one_trace() {
    let bed = Bed::start().await;
    // Two replicas, or one before and after a restart.
    for (number, step) in [(0, "open"), (0, "resolved"), (1, "open")] {
        let watcher = bed.service("svc-watcher").await;
        let subject = subject(number, step);
        watcher
            .publisher()
            .unwrap()
            .publish(&subject, detected(&subject), "")
            .await
            .unwrap();
    }
    let found = stored(&bed.bus("operator").await, Stage::Detected, 3).await;
    let trace = |index: usize| {
        let header = found[index].header(header::TRACEPARENT).expect("a context");
        header.split('-').nth(1).unwrap().to_owned()
    };
    assert_eq!(trace(0), trace(1));
    assert_ne!(trace(0), trace(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_found_again_after_the_server_has_forgotten_the_id() {
    let mut bed = Bed::start().await;
    let watcher = bed.service("svc-watcher").await;
    let publisher = watcher.publisher::<Detected>().unwrap();
    let subject = subject(0, "open");
    publisher
        .publish(&subject, detected(&subject), "")
        .await
        .unwrap();
    bed.nats.restart().await.unwrap();
    let again = publisher
        .publish(&subject, detected(&subject), "")
        .await
        .unwrap();
    assert_eq!(again, Stored::Before(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_said_at_once_and_not_after_a_timeout() {
    let bed = Bed::start().await;
    let watcher = bed.service("svc-watcher").await;
    let error = watcher
        .publisher::<Notified>()
        .unwrap()
        .publish(
            &subject(0, "x").at(Stage::Notified, "x"),
            Notified::default(),
            "",
        )
        .await
        .unwrap_err();
    assert!(matches!(error, PublishError::NotAllowed { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_signed_is_not_published_without_a_key() {
    let bed = Bed::start().await;
    let mut common = bed.common("svc-watcher");
    common.keys.signing_file = None;
    let watcher = start("svc-watcher", common).await.unwrap();
    let error = watcher.publisher::<Detected>().unwrap_err().to_string();
    assert!(error.contains("keys.signing_file"), "{error}");
    watcher.publisher::<Enriched>().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_refused_and_not_retried() {
    let bed = Bed::start().await;
    let watcher = bed.service("svc-watcher").await;
    let subject = subject(0, "open");
    let mut message = detected(&subject);
    message.incident.as_mut().unwrap().cluster = "x".repeat(600 * 1024);
    let error = watcher
        .publisher()
        .unwrap()
        .publish(&subject, message, "")
        .await
        .unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_written_by_compare_and_set() {
    let bed = Bed::start().await;
    let bucket = Bucket::new(bed.bus("svc-watcher").await, topology::EPISODES);
    let value = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert_eq!(bucket.get("a.b").await.unwrap(), None);
    let first = bucket.create("a.b", value("1")).await.unwrap();
    let conflict = bucket.create("a.b", value("2")).await.unwrap_err();
    assert!(matches!(conflict, KvError::Conflict { .. }), "{conflict}");
    let second = bucket.update("a.b", value("3"), first).await.unwrap();
    assert!(matches!(
        bucket.update("a.b", value("4"), first).await,
        Err(KvError::Conflict { .. })
    ));
    assert_eq!(entries_below(&bucket, "b.").await, []);
    let entries = entries_below(&bucket, "a.").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].0.as_str(), &entries[0].1.value),
        ("a.b", &value("3"))
    );
    bucket.delete("a.b", second).await.unwrap();
    assert_eq!(bucket.get("a.b").await.unwrap(), None);
    assert_eq!(entries_below(&bucket, "").await, []);
    bucket.create("a.b", value("5")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mark_of_a_deletion_goes_by_itself_and_revisions_are_not_given_out_again() {
    let bed = Bed::start().await;
    let bus = bed.bus("svc-watcher").await;
    let spec = topology::BucketSpec {
        mark_kept: Duration::from_secs(1),
        ..topology::EPISODES
    };
    let bucket = Bucket::new(bus.clone(), spec);
    let value = |text: &'static str| Bytes::from_static(text.as_bytes());
    let first = bucket.create("a.b", value("1")).await.unwrap();
    bucket.delete("a.b", first).await.unwrap();
    let stream = StreamReader::new(bus, format!("KV_{}", spec.name));
    let deadline = Instant::now() + Duration::from_secs(30);
    while stream.at(first + 1).await.unwrap().is_some() {
        assert!(Instant::now() < deadline, "the mark is still there");
        tokio::task::yield_now().await;
    }
    for stale in [first, first + 1] {
        let refused = bucket.update("a.b", value("2"), stale).await.unwrap_err();
        assert!(matches!(refused, KvError::Conflict { .. }), "{refused}");
    }
    let again = bucket.create("a.b", value("3")).await.unwrap();
    assert!(again > first + 1);
}

async fn entries_below(bucket: &Bucket, prefix: &str) -> Vec<(String, Entry)> {
    bucket.entries(prefix).try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_bucket_is_read_whole_and_what_has_gone_is_not() {
    const KEYS: usize = 1_000;
    let bed = Bed::start().await;
    let bucket = Bucket::new(bed.bus("svc-watcher").await, topology::EPISODES);
    let bucket = &bucket;
    let write = async |number: usize| {
        let (key, value) = (format!("a.{number}"), Bytes::from(number.to_string()));
        let first = bucket.create(&key, value.clone()).await.unwrap();
        match number % 3 {
            0 => bucket.delete(&key, first).await.unwrap(),
            1 => drop(bucket.update(&key, value, first).await.unwrap()),
            _ => {}
        }
    };
    let written = futures::stream::iter((0..KEYS).map(write)).buffer_unordered(64);
    written.collect::<()>().await;
    let mut found: Vec<usize> = entries_below(bucket, "a.")
        .await
        .into_iter()
        .map(|(key, entry)| {
            let value = std::str::from_utf8(&entry.value).unwrap();
            assert_eq!(key, format!("a.{value}"));
            value.parse().unwrap()
        })
        .collect();
    found.sort_unstable();
    let kept = (0..KEYS).filter(|number| number % 3 != 0);
    assert_eq!(found, kept.collect::<Vec<_>>());
}
