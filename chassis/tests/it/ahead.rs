//! What a stage that is quick has asked for before a handler is free.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream;
use bonesetter_chassis::bus::Publisher;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology::ConsumerSpec;
use bonesetter_proto::Stage as StageName;
use bonesetter_proto::v1::Detected;

use crate::bed::{Bed, detected, stored, subject};
use crate::delivery::{Running, open_deliveries, run_gated_as, with_ack_wait};
use crate::runner::nats_client;

const CONCURRENCY: usize = 2;
/// Messages that the stage is quick with, and that come when it is not, in every round.
const MESSAGES: u8 = 10;
/// A machine that is busy with other things makes a stage slow.
const ROUNDS: u64 = 20;

/// A stage whose handlers wait, after they were quick.
struct Held {
    bed: Bed,
    spec: ConsumerSpec,
    publisher: Publisher<Detected>,
    service: Service,
    running: Running,
    /// Sequences of what was begun.
    begun: BTreeSet<u64>,
    published: u64,
    /// Deliveries that the server waits for.
    open: usize,
}

impl Held {
    /// Makes the stage quick and holds it, until so many deliveries are open then or it was done often enough.
    async fn at<const IS_REPEATABLE: bool>(open: usize, ack_wait: Duration) -> Self {
        let bed = Bed::start().await;
        let spec = ConsumerSpec {
            concurrency: CONCURRENCY,
            ..with_ack_wait(&bed, ack_wait).await
        };
        let service = bed.service("svc-enricher").await;
        let running = run_gated_as::<IS_REPEATABLE>(&service, spec, true, Duration::ZERO);
        let watcher = bed.service("svc-watcher").await;
        let mut held = Self {
            publisher: watcher.publisher().unwrap(),
            bed,
            spec,
            service,
            running,
            begun: BTreeSet::new(),
            published: 0,
            open: 0,
        };
        let js = jetstream::new(nats_client(&held.bed, "provisioner").await);
        for _ in 0..ROUNDS {
            held.quick(&js).await;
            held.hold(&js).await;
            if held.open >= open {
                break;
            }
        }
        held
    }

    /// Lets it do all that there is, and some more, to the end.
    async fn quick(&mut self, js: &jetstream::Context) {
        self.running.gate.send(true).unwrap();
        self.publish().await;
        while (self.begun.len() as u64) < self.published {
            let (sequence, _) = self.running.begun.recv().await.unwrap();
            assert!(self.begun.insert(sequence), "{sequence} was begun twice");
        }
        while open_deliveries(js).await > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Holds its handlers, and sees what it has delivered to it meanwhile.
    async fn hold(&mut self, js: &jetstream::Context) {
        self.running.gate.send(false).unwrap();
        self.publish().await;
        while open_deliveries(js).await < CONCURRENCY {
            tokio::task::yield_now().await;
        }
        // What was asked for is delivered by the time that the server has answered this often.
        for _ in 0..10 {
            self.open = open_deliveries(js).await;
        }
    }

    async fn publish(&mut self) {
        let step = format!("update-{}", self.published);
        for number in 0..MESSAGES {
            let subject = subject(number, &step);
            let message = detected(&subject);
            self.publisher.publish(&subject, message, "").await.unwrap();
        }
        self.published += u64::from(MESSAGES);
    }

    /// Whose handling waits.
    async fn waiting(&mut self) -> BTreeSet<u64> {
        let mut waiting = BTreeSet::new();
        while waiting.len() < CONCURRENCY {
            waiting.insert(self.running.begun.recv().await.unwrap().0);
        }
        waiting
    }

    async fn outputs(&self) -> usize {
        let bus = self.bed.bus("svc-redactor-replay").await;
        let published = usize::try_from(self.published).unwrap();
        stored(&bus, StageName::Enriched, published).await.len()
    }
}

/// Nothing comes back by itself within a test.
const LONG: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_repeatable_stage_that_is_quick_has_as_much_ahead_as_it_handles() {
    let held = Held::at::<true>(2 * CONCURRENCY, LONG).await;
    assert_eq!(held.open, 2 * CONCURRENCY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_is_not_repeatable_has_nothing_ahead() {
    let held = Held::at::<false>(CONCURRENCY + 1, LONG).await;
    assert_eq!(held.open, CONCURRENCY);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ahead_when_a_replica_ends_is_done_by_the_next_at_once() {
    let mut held = Held::at::<true>(2 * CONCURRENCY, LONG).await;
    assert_eq!(held.open, 2 * CONCURRENCY);
    held.service.shutdown.cancel();
    held.running.gate.send(true).unwrap();
    (&mut held.running.task).await.unwrap().unwrap();
    while let Some((sequence, _)) = held.running.begun.recv().await {
        held.begun.insert(sequence);
    }
    let second = held.bed.service("svc-enricher").await;
    let mut next = run_gated_as::<true>(&second, held.spec, true, Duration::ZERO);
    while (held.begun.len() as u64) < held.published {
        let (sequence, _) = next.begun.recv().await.unwrap();
        assert!(held.begun.insert(sequence), "{sequence} was done before");
    }
    second.shutdown.cancel();
    next.task.await.unwrap().unwrap();
}

/// What waits for a stage that was quick comes again, to whoever is free, and is stored once all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_ahead_of_a_stage_that_becomes_slow_is_done_by_another() {
    let mut held = Held::at::<true>(2 * CONCURRENCY, Duration::from_secs(3)).await;
    assert_eq!(held.open, 2 * CONCURRENCY);
    let waiting = held.waiting().await;
    held.begun.extend(waiting);
    let second = held.bed.service("svc-enricher").await;
    let mut other = run_gated_as::<true>(&second, held.spec, true, Duration::ZERO);
    let mut again = 0;
    while (held.begun.len() as u64) < held.published {
        let (sequence, deliveries) = other.begun.recv().await.unwrap();
        assert!(held.begun.insert(sequence), "{sequence} is in work");
        again += usize::from(deliveries > 1);
    }
    assert_eq!(again, CONCURRENCY);
    held.running.gate.send(true).unwrap();
    for service in [&held.service, &second] {
        service.shutdown.cancel();
    }
    (&mut held.running.task).await.unwrap().unwrap();
    other.task.await.unwrap().unwrap();
    assert_eq!(held.outputs().await as u64, held.published);
}
