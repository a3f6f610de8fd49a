use std::time::Duration;

use bonesetter_chassis::topology::{
    ACTED, AUDIT, AUDIT_DETECTED, DETECTED, ENRICHED, ENRICHER, REDACTOR, STREAMS, redrive_of,
};
use bonesetter_proto::v1::RedriveAction;
use sqlx::Connection as _;
use tokio::time::Instant;

use crate::bed::{Ledger, Nats};
use crate::keeping::{Keeping, detected, enriched};

/// Streams of the tests are full at so many bytes.
const SMALL: i64 = 96 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn only_what_every_consumer_has_had_and_what_is_archived_goes() {
    let bed = Keeping::start(SMALL).await;
    let full = bed.fill("svc-watcher", &DETECTED, detected()).await;
    bed.keep().await;
    assert_eq!(bed.state(&DETECTED).await, full, "nobody has had it");

    bed.record(full.messages).await;
    bed.keep().await;
    assert_eq!(bed.state(&DETECTED).await, full, "the enricher has not");

    bed.take(&ENRICHER).await;
    bed.keep().await;
    assert_eq!(bed.state(&DETECTED).await, full, "it is not archived");

    bed.export().await;
    bed.keep().await;
    let kept = bed.state(&DETECTED).await;
    assert!(
        kept.first > full.first && kept.last == full.last,
        "{kept:?}"
    );
    let percent = kept.bytes * 100 / kept.max_bytes;
    assert!((50..=60).contains(&percent), "{percent} % are left");
    // There is room now, so there is nothing to do.
    bed.keep().await;
    assert_eq!(bed.state(&DETECTED).await, kept);
    bed.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_cannot_record_holds_a_stream_until_somebody_drops_it() {
    let bed = Keeping::start(SMALL).await;
    bed.nats
        .publish("svc-watcher", 'a', "open", detected())
        .await;
    bed.refuse(&AUDIT_DETECTED, |step| step == "open").await;
    let full = bed.fill("svc-watcher", &DETECTED, detected()).await;
    bed.record(full.messages - 1).await;
    bed.take(&ENRICHER).await;
    bed.export().await;
    bed.keep().await;
    assert_eq!(bed.state(&DETECTED).await, full, "nobody has decided");

    bed.decide(RedriveAction::Drop, &AUDIT_DETECTED, 1).await;
    bed.keep().await;
    assert!(bed.state(&DETECTED).await.first > full.first);
    bed.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_evidence_goes_when_it_is_redacted_but_not_what_a_dead_letter_refers_to() {
    let bed = Keeping::start(SMALL).await;
    let full = bed.fill("svc-enricher", &ENRICHED, enriched()).await;
    bed.keep().await;
    assert_eq!(bed.state(&ENRICHED).await, full, "nothing is redacted");
    bed.take_all_but(&REDACTOR, |step| step == "update-4").await;
    bed.until_told().await;
    bed.keep().await;
    let unread = "what was ended may have no dead letter yet";
    assert_eq!(bed.state(&ENRICHED).await, full, "{unread}");
    bed.read_advisories().await;
    bed.keep().await;
    let kept = bed.state(&ENRICHED).await;
    assert_eq!(
        kept.first, 4,
        "a dead letter refers to the fourth: {kept:?}"
    );
    bed.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_read_once_however_often_streams_are_full() {
    let bed = Keeping::start(SMALL).await;
    let full = bed.fill("svc-enricher", &ENRICHED, enriched()).await;
    bed.fill("svc-watcher", &DETECTED, detected()).await;
    let without_letters = requests_of_a_round(&bed).await;
    bed.refuse(&REDACTOR, |_| true).await;
    bed.keep().await;
    let with_letters = requests_of_a_round(&bed).await;
    assert!(
        with_letters < without_letters + full.messages,
        "{with_letters} requests with {} letters, {without_letters} without",
        full.messages
    );
    assert_eq!(bed.state(&ENRICHED).await, full, "they are open");
    bed.drop().await;
}

/// How often a keeper that has looked around before asks JetStream something.
async fn requests_of_a_round(bed: &Keeping) -> u64 {
    let before = bed.nats.messages_sent().await;
    bed.keep().await;
    bed.nats.messages_sent().await - before
}

/// Until somebody waits for a lock in the ledger.
async fn until_blocked(ledger: &Ledger) {
    let mut superuser = ledger.superuser().await;
    let query = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let waiting: i64 = sqlx::query_scalar(query)
            .fetch_one(&mut superuser)
            .await
            .unwrap();
        if waiting > 0 {
            return;
        }
        assert!(Instant::now() < deadline, "nobody waits");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_handled_again_while_the_keeper_looks_around_stays() {
    let bed = Keeping::start(SMALL).await;
    let full = bed.fill("svc-watcher", &DETECTED, detected()).await;
    bed.record(full.messages).await;
    bed.refuse(&ENRICHER, |step| step == "update-4").await;
    bed.export().await;

    // The keeper has asked the consumers and waits for the ledger; then somebody decides.
    let mut superuser = bed.ledger.superuser().await;
    let mut transaction = superuser.begin().await.unwrap();
    sqlx::query("lock table audit.archived in access exclusive mode")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let deciding = async {
        until_blocked(&bed.ledger).await;
        bed.decide(RedriveAction::Handle, &ENRICHER, 4).await;
        transaction.commit().await.unwrap();
    };
    tokio::join!(bed.keep(), deciding);
    let wanted = "the message is wanted";
    assert_eq!(bed.state(&DETECTED).await, full, "{wanted}");

    bed.take(redrive_of(&ENRICHER).unwrap()).await;
    bed.keep().await;
    assert!(bed.state(&DETECTED).await.first > 4, "it was handled");
    bed.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_known_of_every_stream_how_full_it_is() {
    let bed = Keeping::start(SMALL).await;
    bed.keep().await;
    let text = bed.metrics();
    for stream in STREAMS {
        let series = format!(
            "bonesetter_keeper_stream_fill_ratio{{stream=\"{}\"}} 0.0",
            stream.name
        );
        assert!(text.contains(&series), "{series}: {text}");
    }
    bed.drop().await;
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
