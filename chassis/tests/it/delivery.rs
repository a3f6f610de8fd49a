//! What is pulled, kept alive, handed back and delivered again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use bonesetter_chassis::bus::provision;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::stage::{Input, Outcome, Stage};
use bonesetter_chassis::topology::{ConsumerSpec, ENRICHER};
use bonesetter_proto::Stage as StageName;
use bonesetter_proto::v1::{Detected, Enriched};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::bed::{Bed, stored, subject};
use crate::runner::{nats_client, pass, publish, run};
use crate::spy::{Admin, Verdict};

/// The consumer as the server has it, with another ack wait; waits for nothing.
pub(crate) async fn with_ack_wait(bed: &Bed, ack_wait: Duration) -> ConsumerSpec {
    let js = jetstream::new(nats_client(bed, "provisioner").await);
    let mut consumer = info(&js).await;
    consumer.ack_wait = ack_wait;
    let stream = ENRICHER.stream.name;
    js.create_consumer_on_stream(consumer, stream)
        .await
        .unwrap();
    ConsumerSpec {
        ack_wait,
        ..ENRICHER
    }
}

async fn consumer(js: &jetstream::Context) -> PullConsumer {
    js.get_consumer_from_stream(ENRICHER.name, ENRICHER.stream.name)
        .await
        .unwrap()
}

/// Sent and not acknowledged.
pub(crate) async fn open_deliveries(js: &jetstream::Context) -> usize {
    consumer(js).await.cached_info().num_ack_pending
}

async fn info(js: &jetstream::Context) -> pull::Config {
    let consumer = consumer(js).await;
    let info = consumer.cached_info();
    pull::Config {
        durable_name: info.config.durable_name.clone(),
        filter_subject: info.config.filter_subject.clone(),
        ack_policy: info.config.ack_policy,
        deliver_policy: info.config.deliver_policy,
        ack_wait: info.config.ack_wait,
        max_deliver: info.config.max_deliver,
        max_ack_pending: info.config.max_ack_pending,
        ..pull::Config::default()
    }
}

/// Says what it was given, and goes on when the gate is open.
struct Gated<const IS_REPEATABLE: bool> {
    begun: mpsc::UnboundedSender<(u64, u64)>,
    gate: watch::Receiver<bool>,
    work: Duration,
}

impl<const IS_REPEATABLE: bool> Stage for Gated<IS_REPEATABLE> {
    type In = Detected;
    type Out = Enriched;
    const IS_REPEATABLE: bool = IS_REPEATABLE;

    async fn handle(&self, input: &Input<Detected>) -> Outcome<Enriched> {
        self.begun.send((input.sequence, input.deliveries)).unwrap();
        let mut gate = self.gate.clone();
        gate.wait_for(|is_open| *is_open).await.unwrap();
        tokio::time::sleep(self.work).await;
        pass(input)
    }
}

pub(crate) struct Running {
    /// Sequences and how often they were delivered.
    pub(crate) begun: mpsc::UnboundedReceiver<(u64, u64)>,
    pub(crate) gate: watch::Sender<bool>,
    pub(crate) task: JoinHandle<anyhow::Result<()>>,
}

fn run_gated(service: &Service, spec: ConsumerSpec, is_open: bool, work: Duration) -> Running {
    run_gated_as::<false>(service, spec, is_open, work)
}

pub(crate) fn run_gated_as<const IS_REPEATABLE: bool>(
    service: &Service,
    spec: ConsumerSpec,
    is_open: bool,
    work: Duration,
) -> Running {
    let (sender, begun) = mpsc::unbounded_channel();
    let (gate, receiver) = watch::channel(is_open);
    let stage = Gated::<IS_REPEATABLE> {
        begun: sender,
        gate: receiver,
        work,
    };
    let service = service.clone();
    let task = tokio::spawn(async move { service.run_stage(&spec, stage).await });
    Running { begun, gate, task }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_outlasts_the_ack_wait_is_done_once_and_holds_nothing_back() {
    slow_work_is_done_once::<false>().await;
}

/// Its handlers end together, which does not make it quick.
#[tokio::test(flavor = "multi_thread")]
async fn slow_work_of_a_repeatable_stage_is_done_once_too() {
    slow_work_is_done_once::<true>().await;
}

async fn slow_work_is_done_once<const IS_REPEATABLE: bool>() {
    let bed = Bed::start().await;
    publish(&bed, 0..8).await;
    let spec = ConsumerSpec {
        concurrency: 2,
        ..with_ack_wait(&bed, Duration::from_secs(1)).await
    };
    let enricher = bed.service("svc-enricher").await;
    // The handler is slow; that is what is tested.
    let work = Duration::from_millis(2500);
    let mut running = run_gated_as::<IS_REPEATABLE>(&enricher, spec, true, work);
    let mut begun = Vec::new();
    for _ in 0..8 {
        begun.push(running.begun.recv().await.unwrap());
    }
    enricher.shutdown.cancel();
    running.task.await.unwrap().unwrap();
    begun.sort_unstable();
    let once: Vec<_> = (1..=8).map(|sequence| (sequence, 1)).collect();
    assert_eq!(begun, once);
    assert_eq!(running.begun.recv().await, None);
}

/// The server takes an empty message for the end of the answers to a pull from another account, also where
/// it is one that somebody has published.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_message_takes_nothing_with_it() {
    let bed = Bed::start().await;
    let spec = with_ack_wait(&bed, Duration::from_secs(1)).await;
    let watcher = nats_client(&bed, "svc-watcher").await;
    let empty = subject(25, "open").to_string();
    watcher.request(empty, "".into()).await.expect("stored");
    publish(&bed, 0..3).await;
    let enricher = bed.service("svc-enricher").await;
    let mut running = run_gated(&enricher, spec, true, Duration::ZERO);
    let mut begun = BTreeSet::new();
    for _ in 0..3 {
        begun.insert(running.begun.recv().await.unwrap().0);
    }
    enricher.shutdown.cancel();
    running.task.await.unwrap().unwrap();
    assert_eq!(begun, BTreeSet::from([2, 3, 4]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_begun_when_a_replica_ends_is_done_by_the_next_at_once() {
    let bed = Bed::start().await;
    // Nothing comes back by itself within this test.
    let spec = with_ack_wait(&bed, Duration::from_mins(10)).await;
    let js = jetstream::new(nats_client(&bed, "provisioner").await);
    publish(&bed, 0..20).await;
    let first = bed.service("svc-enricher").await;
    let mut one = run_gated(&first, spec, false, Duration::ZERO);
    while open_deliveries(&js).await < spec.concurrency {
        tokio::task::yield_now().await;
    }
    first.shutdown.cancel();
    one.gate.send(true).unwrap();
    one.task.await.unwrap().unwrap();
    let mut done = BTreeSet::new();
    while let Some((sequence, _)) = one.begun.recv().await {
        done.insert(sequence);
    }
    let second = bed.service("svc-enricher").await;
    let mut two = run_gated(&second, spec, true, Duration::ZERO);
    while done.len() < 20 {
        let next = tokio::time::timeout(Duration::from_secs(30), two.begun.recv());
        let (sequence, _) = next.await.expect("handed back").unwrap();
        assert!(done.insert(sequence), "{sequence} was done before");
    }
    second.shutdown.cancel();
    two.task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_not_there_is_waited_for() {
    let bed = Bed::start_bare().await;
    let enricher = bed.service("svc-enricher").await;
    let mut running = run_gated(&enricher, ENRICHER, true, Duration::ZERO);
    while enricher.readiness.missing() != ["consumer enricher", "consumer enricher-redrive"] {
        tokio::task::yield_now().await;
    }
    provision(&bed.bus("provisioner").await).await.unwrap();
    publish(&bed, 0..1).await;
    assert_eq!(running.begun.recv().await, Some((1, 1)));
    assert!(enricher.readiness.missing().is_empty());
    enricher.shutdown.cancel();
    running.task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_to_a_consumer_that_was_deleted_is_not_taken_for_one() {
    done_again_after_a_lost_ack::<false>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_that_is_not_waited_for_may_get_lost() {
    done_again_after_a_lost_ack::<true>().await;
}

async fn done_again_after_a_lost_ack<const IS_REPEATABLE: bool>() {
    let admin = Admin::new();
    let bed = Bed::start_with(&[], |accounts| admin.joining(&accounts, "BONESETTER")).await;
    provision(&bed.bus("provisioner").await).await.unwrap();
    let js = jetstream::new(nats_client(&bed, "provisioner").await);
    publish(&bed, 0..1).await;
    let enricher = bed.service("svc-enricher").await;
    let mut running = run_gated_as::<IS_REPEATABLE>(&enricher, ENRICHER, false, Duration::ZERO);
    assert_eq!(running.begun.recv().await, Some((1, 1)));
    let delete = format!(
        "$JS.API.CONSUMER.DELETE.{}.{}",
        ENRICHER.stream.name, ENRICHER.name
    );
    let deleted = admin
        .spy(&bed)
        .await
        .request(&delete, &serde_json::Value::Null)
        .await;
    assert_eq!(deleted, Verdict::Done);
    // The server answers a request with 503, because nobody listens; a client takes that for an answer.
    running.gate.send(true).unwrap();
    let bus = bed.bus("svc-redactor-replay").await;
    assert_eq!(stored(&bus, StageName::Enriched, 1).await.len(), 1);
    // Whoever makes the consumer again has the message delivered again: it was not acknowledged.
    provision(&bed.bus("provisioner").await).await.unwrap();
    assert_eq!(running.begun.recv().await, Some((1, 1)));
    while consumer(&js).await.cached_info().ack_floor.stream_sequence < 1 {
        tokio::task::yield_now().await;
    }
    enricher.shutdown.cancel();
    running.task.await.unwrap().unwrap();
    assert_eq!(
        stored(&bus, StageName::Enriched, 1).await.len(),
        1,
        "its output is stored once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_go_on_after_the_server_was_away() {
    let mut bed = Bed::start().await;
    let seen: Arc<Mutex<BTreeSet<u64>>> = Arc::default();
    let services = [
        bed.service("svc-enricher").await,
        bed.service("svc-enricher").await,
    ];
    let running = services.clone().map(|service| {
        let seen = seen.clone();
        run::<Detected, Enriched>(&service, ENRICHER, move |input| {
            seen.lock().unwrap().insert(input.sequence);
            pass(input)
        })
        .1
    });
    publish(&bed, 0..10).await;
    bed.nats.kill();
    bed.nats.restart().await.unwrap();
    publish(&bed, 10..20).await;
    // Less than the 31 seconds that a pull from before the restart would take.
    let all = async {
        while seen.lock().unwrap().len() < 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .expect("every message in time");
    for service in &services {
        service.shutdown.cancel();
    }
    for task in running {
        task.await.unwrap().unwrap();
    }
}
