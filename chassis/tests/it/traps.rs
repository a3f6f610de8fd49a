//! What the server and its client do that is not what one expects: each is met on the real thing.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::PullConsumer;
use bonesetter_chassis::bus::Stored;
use bonesetter_chassis::stage::Outcome;
use bonesetter_chassis::topology::{ConsumerSpec, DETECTED, ENRICHER};
use bonesetter_proto::Stage;
use bonesetter_proto::v1::{Detected, Enriched};
use bonesetter_testbed::fault::{Link, Proxy};

use crate::bed::{Bed, detected, start, stored, subject};
use crate::runner::{nats_client, pass, publish, run};

fn signal(bed: &Bed, signal: &str) {
    let pid = bed.nats.pid().to_string();
    let status = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(status.success());
}

/// Until every thread of the server stands still: one that waits for the disk does so later.
async fn stand_still(bed: &Bed) {
    signal(bed, "-STOP");
    let tasks = format!("/proc/{}/task", bed.nats.pid());
    let is_still = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('T'))
    };
    while !std::fs::read_dir(&tasks).unwrap().flatten().all(is_still) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_timed_out_and_was_stored_is_stored_once() {
    let bed = Bed::start().await;
    let watcher = bed.service("svc-watcher").await;
    stand_still(&bed).await;
    let publisher = watcher.publisher::<Detected>().unwrap();
    let subject = subject(0, "open");
    let message = detected(&subject);
    let mut sent = tokio::spawn(async move { publisher.publish(&subject, message, "").await });
    // What the server gets when it goes on is the first attempt and at least a second one: the first
    // has timed out after two seconds.
    let given_up = tokio::time::timeout(Duration::from_secs(4), &mut sent).await;
    assert!(given_up.is_err(), "{given_up:?}");
    signal(&bed, "-CONT");
    let outcome = sent.await.unwrap().unwrap();
    assert_eq!(
        outcome,
        Stored::Before(1),
        "the retry found the first attempt"
    );
    let found = stored(&bed.bus("operator").await, Stage::Detected, 1).await;
    assert_eq!(found.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_connection_was_cut_goes_on_beside_another() {
    let bed = Bed::start().await;
    let server = bed.nats.url().replace("nats://", "").parse().unwrap();
    let proxy = Proxy::start(server).await.unwrap();
    let mut common = bed.common("svc-enricher");
    common.nats.url = format!("nats://{}", proxy.address());
    let services = [
        start("svc-enricher", common)
            .await
            .expect("through the proxy"),
        bed.service("svc-enricher").await,
    ];
    let seen: [Arc<Mutex<BTreeSet<u64>>>; 2] = Default::default();
    let running = [0, 1].map(|replica: usize| {
        let seen = seen[replica].clone();
        run::<Detected, Enriched>(&services[replica], ENRICHER, move |input| {
            seen.lock().unwrap().insert(input.sequence);
            pass(input)
        })
        .1
    });
    // Both wait in a pull; then one is cut and comes back.
    publish(&bed, 0..4).await;
    proxy.set(Link::Cut);
    while services[0].bus.is_connected() {
        tokio::task::yield_now().await;
    }
    proxy.set(Link::Open);
    let before = seen[0].lock().unwrap().len();
    let publisher = bed
        .service("svc-watcher")
        .await
        .publisher::<Detected>()
        .unwrap();
    let goes_on = async {
        for number in 0.. {
            if seen[0].lock().unwrap().len() > before + 5 {
                return;
            }
            let subject = subject(0, &format!("update-{number}"));
            publisher
                .publish(&subject, detected(&subject), "")
                .await
                .unwrap();
        }
    };
    // Less than the 31 seconds that a pull from before the cut would take.
    tokio::time::timeout(Duration::from_secs(20), goes_on)
        .await
        .expect("the replica that was cut gets its share again");
    for service in &services {
        service.shutdown.cancel();
    }
    for task in running {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_waits_and_burns_no_deliveries() {
    let bed = Bed::start().await;
    publish(&bed, 0..2).await;
    let spec = ConsumerSpec {
        concurrency: 1,
        ..ENRICHER
    };
    let enricher = bed.service("svc-enricher").await;
    let deliveries: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let kept = deliveries.clone();
    let (_, task) = run::<Detected, Enriched>(&enricher, spec, move |input| {
        kept.lock()
            .unwrap()
            .push((input.sequence, input.deliveries));
        if input.sequence == 1 {
            return Outcome::Retry {
                after: Duration::from_mins(5),
                cause: anyhow::anyhow!("not yet"),
            };
        }
        pass(input)
    });
    // A bare nak would have brought the first again before the second was done.
    let js = jetstream::new(nats_client(&bed, "provisioner").await);
    loop {
        let consumer: PullConsumer = js
            .get_consumer_from_stream(ENRICHER.name, ENRICHER.stream.name)
            .await
            .unwrap();
        let info = consumer.cached_info();
        if info.delivered.stream_sequence == 2 && info.num_ack_pending == 1 {
            break;
        }
        tokio::task::yield_now().await;
    }
    enricher.shutdown.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(*deliveries.lock().unwrap(), [(1, 1), (2, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_is_felt_by_its_publisher_and_forgets_nothing() {
    let bed = Bed::start().await;
    let js = jetstream::new(nats_client(&bed, "provisioner").await);
    let resize = async |bytes: i64| {
        let stream = js.get_stream(DETECTED.name).await.unwrap();
        let mut config = stream.cached_info().config.clone();
        config.max_bytes = bytes;
        js.update_stream(config).await.unwrap();
    };
    publish(&bed, 0..3).await;
    resize(1024).await;
    let publisher = bed
        .service("svc-watcher")
        .await
        .publisher::<Detected>()
        .unwrap();
    let late = subject(9, "open");
    let message = detected(&late);
    let mut waiting = tokio::spawn(async move { publisher.publish(&late, message, "").await });
    let felt = tokio::time::timeout(Duration::from_secs(1), &mut waiting).await;
    assert!(felt.is_err(), "the publisher waits: {felt:?}");
    let operator = bed.bus("operator").await;
    assert_eq!(stored(&operator, Stage::Detected, 3).await.len(), 3);
    resize(DETECTED.max_bytes).await;
    assert_eq!(waiting.await.unwrap().unwrap(), Stored::Now(4));
    assert_eq!(stored(&operator, Stage::Detected, 4).await.len(), 4);
}
