use std::convert::Infallible;
use std::time::Duration;

use bonesetter_chassis::bus::{StreamState, decision_subject};
use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::secret::SecretFile;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::stage::{Delivery, Outcome, Sink};
use bonesetter_chassis::topology::{
    ACTED, AUDIT, AUDIT_ADVISORIES, AUDIT_DETECTED, CONSUMERS, ConsumerSpec, DETECTED, ENRICHED,
    ENRICHER, REDACTOR, STREAMS, StreamSpec, redrive_of,
};
use bonesetter_proto::v1::{Detected, Enriched, Incident, Redrive, RedriveAction, Sealed};
use bonesetter_proto::{Message, Stage};
use sqlx::Connection as _;
use svc_audit::config::KeepSettings;
use svc_audit::keep::Keeper;
use svc_audit::postgres::Database;
use svc_audit::postgres::keep::KeepLedger;
use svc_audit::{EXPORT_ONCE, KEEP};
use tokio::task::JoinHandle;

use crate::bed::{Ledger, Nats, while_running};

/// Streams of the tests are full at so many bytes.
const SMALL: i64 = 96 * 1024;

/// Takes every message; refuses those of one step.
struct Take {
    refused: &'static str,
}

impl Sink for Take {
    const REASONS: &'static [&'static str] = &["test"];

    async fn handle(&self, delivery: &Delivery) -> Outcome<Infallible> {
        if delivery.subject.step == self.refused {
            let cause = anyhow::anyhow!("the test refuses it");
            return Outcome::Reject {
                reason: "test",
                cause,
            };
        }
        Outcome::Done(Vec::new())
    }
}

async fn state(nats: &Nats, stream: &StreamSpec) -> StreamState {
    let bus = nats.bus("keeper").await;
    bus.stream_state(stream).await.expect("a stream")
}

/// Publishes until the stream is at 85 percent or a little more; returns its state.
async fn fill<M: Message>(
    nats: &Nats,
    writer: &'static str,
    stream: &StreamSpec,
    message: M,
) -> StreamState {
    let publisher = nats.service(writer).await.publisher::<M>().unwrap();
    let bus = nats.bus("keeper").await;
    for number in 1.. {
        let subject = nats.subject('a', M::STAGE, &format!("update-{number}"));
        let stored = publisher.publish(&subject, message.clone(), "").await;
        stored.expect("published");
        let state = bus.stream_state(stream).await.expect("a stream");
        if state.bytes * 100 >= state.max_bytes * 85 {
            return state;
        }
    }
    unreachable!("numbers do not end")
}

fn incident() -> Incident {
    Incident {
        id: "a".repeat(26),
        ..Incident::default()
    }
}

/// Lets a service that does nothing acknowledge all that its consumer has.
async fn take(nats: &Nats, user: &'static str, consumer: &ConsumerSpec, refused: &'static str) {
    let service = nats.service(user).await;
    // Of one that handles messages again the service runs the other, too.
    let run = CONSUMERS
        .iter()
        .find(|it| *it == consumer || redrive_of(it) == Some(consumer))
        .unwrap();
    let running = {
        let service = service.clone();
        tokio::spawn(async move { service.run_sink(run, Take { refused }).await })
    };
    until_idle(service, consumer, running).await;
}

/// Until the server has told of the message that was ended.
async fn until_told(nats: &Nats) {
    let bus = nats.bus("svc-audit").await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while bus
        .consumer_state(&AUDIT_ADVISORIES)
        .await
        .unwrap()
        .is_idle()
    {
        assert!(tokio::time::Instant::now() < deadline, "no advisory");
        tokio::task::yield_now().await;
    }
}

/// Has the second layer of the dead letters read what the server has given up, and what was ended.
async fn read_advisories(nats: &Nats) {
    let service = nats.service("svc-audit").await;
    let running = {
        let service = service.clone();
        tokio::spawn(async move { service.run_advisories(&AUDIT_ADVISORIES).await })
    };
    until_idle(service, &AUDIT_ADVISORIES, running).await;
}

async fn until_idle(
    service: Service,
    consumer: &ConsumerSpec,
    running: JoinHandle<anyhow::Result<()>>,
) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !service
        .bus
        .consumer_state(consumer)
        .await
        .unwrap()
        .is_idle()
    {
        assert!(tokio::time::Instant::now() < deadline, "{}", consumer.name);
        tokio::task::yield_now().await;
    }
    service.shutdown.cancel();
    running.await.unwrap().expect("drained");
}

async fn keeper(ledger: &Ledger, nats: &Nats) -> Keeper {
    let file = SecretFile::new(ledger.url_file("audit_keeper"));
    let database = Database::new(file, 2).unwrap();
    let archive = KeepLedger::open(database).await.expect("the right role");
    Keeper::new(archive, &nats.mode(KEEP).await, KeepSettings::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_every_consumer_has_had_and_what_is_archived_goes() {
    let (ledger, nats) = (Ledger::start().await, Nats::start_small(SMALL).await);
    let keeper = keeper(&ledger, &nats).await;
    let detected = Detected {
        incident: Some(incident()),
        ..Detected::default()
    };
    let full = fill(&nats, "svc-watcher", &DETECTED, detected).await;
    assert!(keeper.keep().await);
    assert_eq!(state(&nats, &DETECTED).await, full, "nobody has had it");

    let rows = i64::try_from(full.messages).unwrap();
    let recording = nats.service("svc-audit").await;
    while_running(ledger.ingest(), recording, ledger.recorded(rows)).await;
    assert!(keeper.keep().await);
    assert_eq!(state(&nats, &DETECTED).await, full, "the enricher has not");

    take(&nats, "svc-enricher", &ENRICHER, "").await;
    assert!(keeper.keep().await);
    assert_eq!(state(&nats, &DETECTED).await, full, "it is not archived");

    let exporting = nats.mode(EXPORT_ONCE).await;
    svc_audit::run(ledger.export(5000), exporting)
        .await
        .expect("exported");
    assert!(keeper.keep().await);
    let kept = state(&nats, &DETECTED).await;
    assert!(
        kept.first > full.first && kept.last == full.last,
        "{kept:?}"
    );
    let percent = kept.bytes * 100 / kept.max_bytes;
    assert!((50..=60).contains(&percent), "{percent} % are left");
    // There is room now, so there is nothing to do.
    assert!(keeper.keep().await);
    assert_eq!(state(&nats, &DETECTED).await, kept);
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_cannot_record_holds_a_stream_until_somebody_drops_it() {
    let (ledger, nats) = (Ledger::start().await, Nats::start_small(SMALL).await);
    let keeper = keeper(&ledger, &nats).await;
    let detected = Detected {
        incident: Some(incident()),
        ..Detected::default()
    };
    nats.publish("svc-watcher", 'a', "open", detected.clone())
        .await;
    take(&nats, "svc-audit", &AUDIT_DETECTED, "open").await;
    until_told(&nats).await;
    read_advisories(&nats).await;
    let full = fill(&nats, "svc-watcher", &DETECTED, detected).await;
    let rows = i64::try_from(full.messages - 1).unwrap();
    let recording = nats.service("svc-audit").await;
    while_running(ledger.ingest(), recording, ledger.recorded(rows)).await;
    take(&nats, "svc-enricher", &ENRICHER, "").await;
    let exporting = nats.mode(EXPORT_ONCE).await;
    svc_audit::run(ledger.export(5000), exporting)
        .await
        .expect("exported");
    assert!(keeper.keep().await);
    assert_eq!(state(&nats, &DETECTED).await, full, "nobody has decided");

    let decision = Redrive {
        stream: DETECTED.name.to_owned(),
        sequence: 1,
        consumer: AUDIT_DETECTED.name.to_owned(),
        letter: 1,
        action: RedriveAction::Drop.into(),
        ..Redrive::default()
    };
    let about = nats.subject('a', Stage::Detected, "open");
    let subject = decision_subject(&about, RedriveAction::Drop, AUDIT_DETECTED.name);
    let bus = nats.bus("redriver").await;
    bus.decide(&Clock::system(), &subject, decision, 0)
        .await
        .expect("decided");
    assert!(keeper.keep().await);
    assert!(state(&nats, &DETECTED).await.first > full.first);
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_evidence_goes_when_it_is_redacted_but_not_what_a_dead_letter_refers_to() {
    let (ledger, nats) = (Ledger::start().await, Nats::start_small(SMALL).await);
    let keeper = keeper(&ledger, &nats).await;
    let enriched = Enriched {
        incident: Some(incident()),
        evidence: Some(Sealed {
            ciphertext: vec![7; 2048],
            ..Sealed::default()
        }),
        ..Enriched::default()
    };
    let full = fill(&nats, "svc-enricher", &ENRICHED, enriched).await;
    assert!(keeper.keep().await);
    assert_eq!(state(&nats, &ENRICHED).await, full, "nothing is redacted");
    take(&nats, "svc-redactor", &REDACTOR, "update-4").await;
    until_told(&nats).await;
    assert!(keeper.keep().await);
    let unread = "what was ended may have no dead letter yet";
    assert_eq!(state(&nats, &ENRICHED).await, full, "{unread}");
    read_advisories(&nats).await;
    assert!(keeper.keep().await);
    let kept = state(&nats, &ENRICHED).await;
    assert_eq!(
        kept.first, 4,
        "a dead letter refers to the fourth: {kept:?}"
    );
    ledger.drop().await;
}

/// Until somebody waits for a lock in the ledger.
async fn until_blocked(ledger: &Ledger) {
    let mut superuser = ledger.superuser().await;
    let query = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let waiting: i64 = sqlx::query_scalar(query)
            .fetch_one(&mut superuser)
            .await
            .unwrap();
        if waiting > 0 {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "nobody waits");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_handled_again_while_the_keeper_looks_around_stays() {
    let (ledger, nats) = (Ledger::start().await, Nats::start_small(SMALL).await);
    let keeper = keeper(&ledger, &nats).await;
    let detected = Detected {
        incident: Some(incident()),
        ..Detected::default()
    };
    let full = fill(&nats, "svc-watcher", &DETECTED, detected).await;
    let rows = i64::try_from(full.messages).unwrap();
    let recording = nats.service("svc-audit").await;
    while_running(ledger.ingest(), recording, ledger.recorded(rows)).await;
    take(&nats, "svc-enricher", &ENRICHER, "update-4").await;
    until_told(&nats).await;
    read_advisories(&nats).await;
    let exporting = nats.mode(EXPORT_ONCE).await;
    svc_audit::run(ledger.export(5000), exporting)
        .await
        .expect("exported");

    // The keeper has asked the consumers and waits for the ledger; then somebody decides.
    let mut superuser = ledger.superuser().await;
    let mut transaction = superuser.begin().await.unwrap();
    sqlx::query("lock table audit.archived in access exclusive mode")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let keeping = async {
        assert!(keeper.keep().await);
    };
    let deciding = async {
        until_blocked(&ledger).await;
        handle_again(&nats, 4).await;
        transaction.commit().await.unwrap();
    };
    tokio::join!(keeping, deciding);
    assert_eq!(state(&nats, &DETECTED).await, full, "the message is wanted");

    take(&nats, "svc-enricher", redrive_of(&ENRICHER).unwrap(), "").await;
    assert!(keeper.keep().await);
    assert!(state(&nats, &DETECTED).await.first > 4, "it was handled");
    ledger.drop().await;
}

/// Decides that the enricher handles a message of its stream again, after its first dead letter.
async fn handle_again(nats: &Nats, sequence: u64) {
    let about = nats.subject('a', Stage::Detected, "open");
    let subject = decision_subject(&about, RedriveAction::Handle, ENRICHER.name);
    let decision = Redrive {
        stream: DETECTED.name.to_owned(),
        consumer: ENRICHER.name.to_owned(),
        sequence,
        letter: 1,
        action: RedriveAction::Handle.into(),
        ..Redrive::default()
    };
    let bus = nats.bus("redriver").await;
    let stored = bus.decide(&Clock::system(), &subject, decision, 0).await;
    stored.expect("decided");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_known_of_every_stream_how_full_it_is() {
    let (ledger, nats) = (Ledger::start().await, Nats::start_small(SMALL).await);
    let service = nats.mode(KEEP).await;
    let database = Database::new(SecretFile::new(ledger.url_file("audit_keeper")), 2).unwrap();
    let archive = KeepLedger::open(database).await.expect("the right role");
    let keeper = Keeper::new(archive, &service, KeepSettings::default());
    assert!(keeper.keep().await);
    let text = service.metrics.encode().unwrap();
    for stream in STREAMS {
        let series = format!(
            "bonesetter_keeper_stream_fill_ratio{{stream=\"{}\"}} 0.0",
            stream.name
        );
        assert!(text.contains(&series), "{series}: {text}");
    }
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_can_purge_what_it_must_and_nothing_else() {
    let nats = Nats::start().await;
    let keeper = nats.bus("keeper").await;
    // Single messages cannot be deleted there, but the keeper can make room.
    const { assert!(ACTED.deny_delete) };
    keeper.purge_through(&ACTED, 1).await.expect("allowed");
    let error = keeper.purge_through(&AUDIT, 1).await.unwrap_err();
    assert!(error.to_string().contains("ermissions"), "{error}");
    for user in ["svc-audit", "svc-audit-export", "operator", "svc-watcher"] {
        let other = nats.bus(user).await;
        let error = other.purge_through(&DETECTED, 1).await.unwrap_err();
        assert!(error.to_string().contains("ermissions"), "{user}: {error}");
    }
}
