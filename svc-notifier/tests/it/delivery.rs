use std::sync::{Arc, Once};
use std::time::Duration;

use bonesetter_proto::Writer;
use bonesetter_proto::v1::{Delivery, Notified, Step};
use bonesetter_testbed::fault::{Link, Proxy};
use wiremock::{Request, Respond, ResponseTemplate};

use crate::bed::{Bed, INCIDENT, answer, kinds, titles};

fn of<'a>(notified: &'a Notified, channel: &str) -> &'a Delivery {
    notified
        .deliveries
        .iter()
        .find(|delivery| delivery.channel == channel)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_per_incident_and_what_follows_it() {
    let bed = Bed::start().await;
    bed.accept().await;
    let notified = bed
        .while_running(async {
            bed.act(Step::Proposed, "proposed", "crash", Writer::Llm)
                .await;
            bed.stored::<Notified>(1).await;
            // The same cause under another class, and an intent: nothing to tell.
            bed.act(
                Step::Proposed,
                "proposed-reclassified-1",
                "crash",
                Writer::Llm,
            )
            .await;
            bed.act(Step::Intended, "intended", "crash", Writer::Llm)
                .await;
            bed.act(Step::Applied, "applied", "crash", Writer::Llm)
                .await;
            bed.stored::<Notified>(2).await;
            bed.act(Step::Verified, "verified", "crash", Writer::Llm)
                .await;
            bed.stored::<Notified>(3).await;
            bed.resolve().await;
            bed.stored::<Notified>(4).await
        })
        .await;
    let steps: Vec<_> = notified.iter().map(|(step, _)| step.as_str()).collect();
    assert_eq!(
        steps,
        [
            "incident-proposed",
            "applied-applied",
            "verified-verified",
            "resolved-resolved"
        ]
    );
    for (step, message) in &notified {
        for channel in ["slack", "webhook"] {
            let delivery = of(message, channel);
            assert!(delivery.delivered, "{step} {channel}");
            assert_eq!(delivery.idempotency_key, format!("{INCIDENT}/{step}"));
            assert_eq!(delivery.body_hash.len(), 64);
        }
    }
    assert_eq!(
        kinds(&bed.webhook).await,
        ["incident", "applied", "verified", "resolved"]
    );
    assert_eq!(
        titles(&bed.slack).await,
        [
            "Unknown failure: Deployment shop/cart. it fails",
            "Applied: Deployment shop/cart",
            "Verified healthy: Deployment shop/cart",
            "Resolved: Deployment shop/cart",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_fails_does_not_repeat_the_other() {
    let bed = Bed::start().await;
    bed.accept().await;
    answer(&bed.slack, ResponseTemplate::new(503)).await;
    let notified = bed
        .while_running(async {
            bed.act(Step::Proposed, "proposed", "crash", Writer::Llm)
                .await;
            while bed.slack.received_requests().await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            answer(&bed.slack, ResponseTemplate::new(200)).await;
            bed.stored::<Notified>(1).await
        })
        .await;
    assert!(of(&notified[0].1, "slack").delivered);
    assert_eq!(kinds(&bed.webhook).await, ["incident"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_final_refusal_is_published_with_its_class() {
    let bed = Bed::start().await;
    bed.accept().await;
    answer(&bed.slack, ResponseTemplate::new(404)).await;
    let notified = bed
        .while_running(async {
            bed.act(Step::Proposed, "proposed", "crash", Writer::Llm)
                .await;
            bed.stored::<Notified>(1).await
        })
        .await;
    let slack = of(&notified[0].1, "slack");
    assert_eq!(
        (slack.delivered, slack.failure.as_str()),
        (false, "http-404")
    );
    assert!(of(&notified[0].1, "webhook").delivered);
    assert_eq!(titles(&bed.slack).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_before_the_first_message_is_told_with_it() {
    let bed = Bed::start().await;
    bed.accept().await;
    bed.resolve().await;
    bed.while_running(async {
        bed.resolved_is_handled().await;
        bed.act(Step::Proposed, "proposed", "crash", Writer::Llm)
            .await;
        bed.stored::<Notified>(1).await
    })
    .await;
    let requests = bed.webhook.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    let body: serde_json::Value = requests[0].body_json().unwrap();
    assert_eq!(body["kind"], "incident");
    assert_eq!(body["resolution"]["reason"], "RECOVERED");
}

/// Takes posts, and cuts the sender of the first off from NATS before it answers.
struct Cutting {
    proxy: Arc<Proxy>,
    first: Once,
}

impl Respond for Cutting {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        self.first.call_once(|| self.proxy.set(Link::Cut));
        ResponseTemplate::new(200)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_posted_is_written_down_when_nats_is_back_and_posted_once() {
    let bed = Bed::start().await;
    bed.accept().await;
    let proxy = Arc::new(Proxy::start(bed.nats_address()).await.unwrap());
    let cutting = Cutting {
        proxy: proxy.clone(),
        first: Once::new(),
    };
    answer(&bed.slack, cutting).await;
    let told = Box::pin(async {
        bed.act(Step::Proposed, "proposed", "crash", Writer::Llm)
            .await;
        until_tried_again(&proxy).await;
        proxy.set(Link::Open);
        bed.acted_is_handled().await;
    });
    Box::pin(bed.while_behind(proxy.address(), told)).await;
    let notified = bed.stored::<Notified>(1).await;
    assert!(of(&notified[0].1, "slack").delivered);
    assert_eq!(titles(&bed.slack).await.len(), 1);
    assert_eq!(kinds(&bed.webhook).await, ["incident"]);
}

/// Waits until a client has made so many connections in vain, each after twice the time, that a request
/// has been given up meanwhile.
async fn until_tried_again(proxy: &Proxy) {
    const CONNECTIONS: u64 = 13;
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while proxy.accepted() < CONNECTIONS {
        looks.tick().await;
    }
}
