//! Dead letters that wait for a decision, as the keeper counts them.

use std::convert::Infallible;
use std::time::Duration;

use bonesetter_chassis::bus::decision_subject;
use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::secret::SecretFile;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::stage::{Delivery, Outcome, Sink};
use bonesetter_chassis::topology::{DETECTED, ENRICHER};
use bonesetter_proto::Stage;
use bonesetter_proto::v1::{Redrive, RedriveAction};
use svc_audit::KEEP;
use svc_audit::config::KeepSettings;
use svc_audit::keep::Keeper;
use svc_audit::postgres::Database;
use svc_audit::postgres::keep::KeepLedger;
use tokio::time::Instant;

use crate::bed::{Ledger, Nats};

/// Refuses every message.
struct Refuse;

impl Sink for Refuse {
    const REASONS: &'static [&'static str] = &["test"];

    async fn handle(&self, _: &Delivery) -> Outcome<Infallible> {
        let cause = anyhow::anyhow!("the test refuses it");
        Outcome::Reject {
            reason: "test",
            cause,
        }
    }
}

/// A keeper, and the service that it is.
async fn keeper(ledger: &Ledger, nats: &Nats) -> (Keeper, Service) {
    let service = nats.mode(KEEP).await;
    let database = Database::new(SecretFile::new(ledger.url_file("audit_keeper")), 2).unwrap();
    let archive = KeepLedger::open(database).await.expect("the right role");
    let keeper = Keeper::new(archive, &service, KeepSettings::default());
    (keeper, service)
}

async fn assert_open((keeper, service): &(Keeper, Service), count: u64) {
    assert!(keeper.keep().await);
    let text = service.metrics.encode().unwrap();
    let name = "bonesetter_keeper_open_dead_letters";
    let series = format!("{name}{{consumer=\"enricher\"}} {count}\n");
    assert!(text.contains(&series), "{series}: {text}");
}

/// Decides that the enricher handles the first message of its stream again.
async fn handle_again(nats: &Nats) {
    let about = nats.subject('a', Stage::Detected, "open");
    let subject = decision_subject(&about, RedriveAction::Handle, ENRICHER.name);
    let decision = Redrive {
        stream: DETECTED.name.to_owned(),
        consumer: ENRICHER.name.to_owned(),
        sequence: 1,
        letter: 1,
        action: RedriveAction::Handle.into(),
        ..Redrive::default()
    };
    let bus = nats.bus("redriver").await;
    let stored = bus.decide(&Clock::system(), &subject, decision, 0).await;
    stored.expect("decided");
}

/// Lets an enricher that refuses everything work until there are so many dead letters.
async fn refuse(nats: &Nats, letters: usize) {
    let service = nats.service("svc-enricher").await;
    let running = {
        let service = service.clone();
        tokio::spawn(async move { service.run_sink(&ENRICHER, Refuse).await })
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while nats.stored(Stage::Dlq).await.len() < letters {
        assert!(Instant::now() < deadline, "no dead letter {letters}");
        tokio::task::yield_now().await;
    }
    service.shutdown.cancel();
    running.await.unwrap().expect("drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_open_until_somebody_has_decided_and_again_after_the_next() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    let keeper_from_the_start = keeper(&ledger, &nats).await;
    assert_open(&keeper_from_the_start, 0).await;
    nats.open_incidents("a").await;
    refuse(&nats, 1).await;
    assert_open(&keeper_from_the_start, 1).await;
    handle_again(&nats).await;
    assert_open(&keeper_from_the_start, 0).await;
    // It dies again, and the letter that says so is not answered.
    refuse(&nats, 2).await;
    assert_open(&keeper_from_the_start, 1).await;
    assert_open(&keeper(&ledger, &nats).await, 1).await;
    ledger.drop().await;
}
