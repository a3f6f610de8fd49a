//! A keeper over a ledger and a bus of the test's own, and what happens around it.

use std::convert::Infallible;
use std::time::Duration;

use bonesetter_chassis::bus::{StreamState, decision_subject};
use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::secret::SecretFile;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::stage::{Delivery, Outcome, Sink};
use bonesetter_chassis::topology::{
    AUDIT_ADVISORIES, CONSUMERS, ConsumerSpec, StreamSpec, redrive_of,
};
use bonesetter_proto::Message;
use bonesetter_proto::v1::{Detected, Enriched, Incident, Redrive, RedriveAction, Sealed};
use svc_audit::KEEP;
use svc_audit::config::KeepSettings;
use svc_audit::keep::Keeper;
use svc_audit::postgres::Database;
use svc_audit::postgres::keep::KeepLedger;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::bed::{Ledger, Nats};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Takes every message but those that it refuses by their step.
struct Take {
    refuses: fn(&str) -> bool,
}

impl Sink for Take {
    const REASONS: &'static [&'static str] = &["test"];

    async fn handle(&self, delivery: &Delivery) -> Outcome<Infallible> {
        if (self.refuses)(&delivery.subject.step) {
            let cause = anyhow::anyhow!("the test refuses it");
            return Outcome::Reject {
                reason: "test",
                cause,
            };
        }
        Outcome::Done(Vec::new())
    }
}

/// A keeper and what it looks after.
pub(crate) struct Keeping {
    pub(crate) ledger: Ledger,
    pub(crate) nats: Nats,
    keeper: Keeper,
    service: Service,
}

impl Keeping {
    /// Streams are full at so many bytes.
    pub(crate) async fn start(max_bytes: i64) -> Self {
        let (ledger, nats) = (Ledger::start().await, Nats::start_small(max_bytes).await);
        let (keeper, service) = keeper(&ledger, &nats).await;
        Self {
            ledger,
            nats,
            keeper,
            service,
        }
    }

    /// A round, in which everything can be looked at.
    pub(crate) async fn keep(&self) {
        assert!(self.keeper.keep().await);
    }

    /// Has a process take over that has read nothing yet.
    pub(crate) async fn replace_keeper(&mut self) {
        (self.keeper, self.service) = keeper(&self.ledger, &self.nats).await;
    }

    /// What the keeper's metrics say.
    pub(crate) fn metrics(&self) -> String {
        self.service.metrics.encode().unwrap()
    }

    pub(crate) async fn state(&self, stream: &StreamSpec) -> StreamState {
        let bus = &self.service.bus;
        bus.stream_state(stream).await.expect("a stream")
    }

    /// Publishes until the stream is at 85 percent or a little more; returns its state.
    pub(crate) async fn fill<M: Message>(
        &self,
        writer: &'static str,
        stream: &StreamSpec,
        message: M,
    ) -> StreamState {
        let publisher = self.nats.service(writer).await.publisher::<M>().unwrap();
        for number in 1.. {
            let step = format!("update-{number}");
            let subject = self.nats.subject('a', M::STAGE, &step);
            let stored = publisher.publish(&subject, message.clone(), "").await;
            stored.expect("published");
            let state = self.state(stream).await;
            if state.bytes * 100 >= state.max_bytes * 85 {
                return state;
            }
        }
        unreachable!("numbers do not end")
    }

    /// Lets a service that does nothing acknowledge all that its consumer has.
    pub(crate) async fn take(&self, consumer: &ConsumerSpec) {
        self.take_all_but(consumer, |_| false).await;
    }

    /// The same, but that some steps are refused, which becomes known to all.
    pub(crate) async fn refuse(&self, consumer: &ConsumerSpec, refuses: fn(&str) -> bool) {
        self.take_all_but(consumer, refuses).await;
        self.until_told().await;
        self.read_advisories().await;
    }

    pub(crate) async fn take_all_but(&self, consumer: &ConsumerSpec, refuses: fn(&str) -> bool) {
        let service = self.nats.service(consumer.user).await;
        // Of one that handles messages again the service runs the other, too.
        let run = CONSUMERS
            .iter()
            .find(|it| *it == consumer || redrive_of(it) == Some(consumer))
            .unwrap();
        let running = {
            let service = service.clone();
            tokio::spawn(async move { service.run_sink(run, Take { refuses }).await })
        };
        until_idle(service, consumer, running).await;
    }

    /// Until the server has told of the message that was ended.
    pub(crate) async fn until_told(&self) {
        let bus = self.nats.bus("svc-audit").await;
        let deadline = Instant::now() + TIMEOUT;
        while bus
            .consumer_state(&AUDIT_ADVISORIES)
            .await
            .unwrap()
            .is_idle()
        {
            assert!(Instant::now() < deadline, "no advisory");
            tokio::task::yield_now().await;
        }
    }

    /// Has the second layer of the dead letters read what the server has given up, and what was ended.
    pub(crate) async fn read_advisories(&self) {
        let service = self.nats.service("svc-audit").await;
        let running = {
            let service = service.clone();
            tokio::spawn(async move { service.run_advisories(&AUDIT_ADVISORIES).await })
        };
        until_idle(service, &AUDIT_ADVISORIES, running).await;
    }

    /// Decides about the first dead letter, which a consumer has about a place in its stream.
    pub(crate) async fn decide(&self, action: RedriveAction, consumer: &ConsumerSpec, place: u64) {
        let stage = consumer.stream.stage.unwrap();
        let about = self.nats.subject('a', stage, "open");
        let subject = decision_subject(&about, action, consumer.name);
        let decision = Redrive {
            stream: consumer.stream.name.to_owned(),
            consumer: consumer.name.to_owned(),
            sequence: place,
            letter: 1,
            action: action.into(),
            ..Redrive::default()
        };
        let bus = self.nats.bus("redriver").await;
        let stored = bus.decide(&Clock::system(), &subject, decision, 0).await;
        stored.expect("decided");
    }

    /// Has the ledger record, until it holds so many rows.
    pub(crate) async fn record(&self, rows: u64) {
        let rows = i64::try_from(rows).unwrap();
        self.ledger.record(&self.nats, rows).await;
    }

    /// Has everything that is recorded archived.
    pub(crate) async fn export(&self) {
        let exported = self.ledger.export_to_end(&self.nats, 5000).await;
        exported.expect("exported");
    }

    pub(crate) async fn drop(self) {
        self.ledger.drop().await;
    }
}

async fn keeper(ledger: &Ledger, nats: &Nats) -> (Keeper, Service) {
    let service = nats.mode(KEEP).await;
    let database = Database::new(SecretFile::new(ledger.url_file("audit_keeper")), 2).unwrap();
    let archive = KeepLedger::open(database).await.expect("the right role");
    let keeper = Keeper::new(archive, &service, KeepSettings::default());
    (keeper, service)
}

async fn until_idle(
    service: Service,
    consumer: &ConsumerSpec,
    running: JoinHandle<anyhow::Result<()>>,
) {
    let deadline = Instant::now() + TIMEOUT;
    while !service
        .bus
        .consumer_state(consumer)
        .await
        .unwrap()
        .is_idle()
    {
        assert!(Instant::now() < deadline, "{}", consumer.name);
        tokio::task::yield_now().await;
    }
    service.shutdown.cancel();
    running.await.unwrap().expect("drained");
}

fn incident() -> Incident {
    Incident {
        id: "a".repeat(26),
        ..Incident::default()
    }
}

/// A message of DETECTED.
pub(crate) fn detected() -> Detected {
    Detected {
        incident: Some(incident()),
        ..Detected::default()
    }
}

/// A message of ENRICHED, of 2 KiB and a little.
pub(crate) fn enriched() -> Enriched {
    let evidence = Sealed {
        ciphertext: vec![7; 2048],
        ..Sealed::default()
    };
    Enriched {
        incident: Some(incident()),
        evidence: Some(evidence),
        ..Enriched::default()
    }
}
