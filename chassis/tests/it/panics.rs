//! Handlers that panic.

use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology::{ConsumerSpec, ENRICHER};
use bonesetter_proto::Stage;
use bonesetter_proto::v1::{DeadLetter, Detected, Enriched};
use prost::Message as _;

use crate::bed::{Bed, stored, subject};
use crate::runner::{pass, publish, run};
use crate::silence::until;

async fn has(service: &Service, line: &str) {
    until(line, async || {
        let text = service.metrics.encode().unwrap();
        text.lines().any(|found| found == line)
    })
    .await;
}

/// Has two messages handled, of which one is never handled without a panic and the other only the second
/// time; returns what is buried.
async fn panicking(max_deliver: u32) -> DeadLetter {
    let bed = Bed::start().await;
    publish(&bed, 0..2).await;
    let enricher = bed.service("svc-enricher").await;
    let spec = ConsumerSpec {
        max_deliver,
        ..ENRICHER
    };
    let hopeless = subject(0, "open");
    let (_, running) = run::<Detected, Enriched>(&enricher, spec, move |input| {
        assert!(
            input.subject != hopeless && input.deliveries > 1,
            "a secret"
        );
        pass(input)
    });
    let letters = stored(&bed.bus("operator").await, Stage::Dlq, 1).await;
    let letter = DeadLetter::decode(letters[0].payload.clone()).unwrap();
    for line in [
        "bonesetter_messages_dead_total{consumer=\"enricher\",reason=\"panic\"} 1".to_owned(),
        "bonesetter_messages_published_total{consumer=\"enricher\"} 1".to_owned(),
        "bonesetter_messages_in_flight{consumer=\"enricher\"} 0".to_owned(),
        format!(
            "bonesetter_messages_panicked_total{{consumer=\"enricher\"}} {}",
            letter.deliveries + 1
        ),
    ] {
        has(&enricher, &line).await;
    }
    enricher.shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(letters.len(), 1);
    letter
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_is_asked_again_until_the_deliveries_are_used_up() {
    let letter = panicking(2).await;
    assert_eq!((letter.reason.as_str(), letter.deliveries), ("panic", 2));
    assert!(!letter.cause.contains("a secret"), "{}", letter.cause);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_is_not_asked_for_ever_where_deliveries_have_no_limit() {
    let letter = panicking(0).await;
    assert_eq!((letter.reason.as_str(), letter.deliveries), ("panic", 5));
}
