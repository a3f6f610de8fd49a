//! Tools in the account of their own, as clients that are not ours.

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use bonesetter_chassis::bus::{provision, provision_external};
use bonesetter_chassis::topology::{COPIES, ExternalUser};
use bonesetter_proto::v1::Diagnosed;
use bonesetter_proto::{Namespace, Stage, Subject};
use futures::StreamExt as _;

use crate::bed::{Bed, subject};

const COPY: &str = "EXTERNAL_DIAGNOSED";
const WAIT: Duration = Duration::from_secs(20);

/// Two tools, of which one sees one namespace and the other two.
pub(crate) fn tools() -> [ExternalUser; 2] {
    [
        ExternalUser::new("carol", ["shop"]).unwrap(),
        ExternalUser::new("dave", ["pay", "stock"]).unwrap(),
    ]
}

/// Both accounts provisioned.
pub(crate) async fn start(edit: impl FnOnce(String) -> String) -> Bed {
    let bed = Bed::start_with(&tools(), edit).await;
    provision(&bed.bus("provisioner").await).await.unwrap();
    let external = bed.bus("provisioner-external").await;
    assert_eq!(provision_external(&external).await.unwrap(), COPIES.len());
    bed
}

/// An incident has one namespace, so the numbers of different namespaces must differ.
pub(crate) fn diagnosed(number: u8, namespace: &str) -> Subject {
    Subject {
        namespace: Namespace::new(namespace).ok(),
        ..subject(number, "open").at(Stage::Diagnosed, "open")
    }
}

pub(crate) async fn diagnose(bed: &Bed, incidents: &[(u8, &str)]) {
    let publisher = bed
        .service("svc-llm")
        .await
        .publisher::<Diagnosed>()
        .unwrap();
    for (number, namespace) in incidents {
        let subject = diagnosed(*number, namespace);
        publisher
            .publish(&subject, Diagnosed::default(), "")
            .await
            .unwrap();
    }
}

pub(crate) async fn client(bed: &Bed, tool: &str) -> async_nats::Client {
    crate::runner::nats_client(bed, &format!("external-{tool}")).await
}

fn consumer(name: &str, namespace: &str) -> pull::Config {
    pull::Config {
        name: Some(name.to_owned()),
        filter_subject: format!("bonesetter.v1.diagnosed.*.{namespace}.>"),
        deliver_policy: DeliverPolicy::All,
        ..pull::Config::default()
    }
}

async fn replay(client: &async_nats::Client, name: &str, namespace: &str) -> Vec<String> {
    let js = async_nats::jetstream::new(client.clone());
    let consumer = js
        .create_consumer_on_stream(consumer(name, namespace), COPY)
        .await
        .unwrap();
    let mut messages = consumer.fetch().max_messages(100).messages().await.unwrap();
    let mut subjects = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message.unwrap();
        message.ack().await.unwrap();
        subjects.push(message.subject.to_string());
    }
    subjects
}

/// Asks until the copy has what the pipeline has.
async fn replay_all(client: &async_nats::Client, name: &str, namespace: &str) -> Vec<String> {
    let js = async_nats::jetstream::new(client.clone());
    let started = tokio::time::Instant::now();
    loop {
        let found = replay(client, name, namespace).await;
        if found.len() >= 2 {
            return found;
        }
        assert!(started.elapsed() < WAIT, "{name} got only {found:?}");
        js.delete_consumer_from_stream(name, COPY).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_replays_its_own_namespaces_and_no_others() {
    let bed = start(|accounts| accounts).await;
    let incidents = [
        (0, "shop"),
        (1, "pay"),
        (2, "stock"),
        (3, "shop"),
        (4, "pay"),
        (5, "stock"),
    ];
    diagnose(&bed, &incidents).await;
    let expected = |namespace: &str| -> Vec<String> {
        let own = incidents.iter().filter(|(_, of)| *of == namespace);
        own.map(|(number, of)| diagnosed(*number, of).to_string())
            .collect()
    };
    for (tool, namespace) in [("dave", "stock"), ("dave", "pay"), ("carol", "shop")] {
        let client = client(&bed, tool).await;
        let found = replay_all(&client, &format!("{tool}_{namespace}"), namespace).await;
        assert_eq!(found, expected(namespace), "{tool}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_hears_its_own_namespaces_and_no_others() {
    let bed = start(|accounts| accounts).await;
    let carol = client(&bed, "carol").await;
    let listen = |namespace: &str| {
        let subject = format!("bonesetter.v1.diagnosed.*.{namespace}.>");
        carol.subscribe(subject)
    };
    let mut shop = listen("shop").await.unwrap();
    let mut pay = listen("pay").await.unwrap();
    carol.flush().await.unwrap();
    diagnose(&bed, &[(0, "pay"), (1, "shop"), (2, "pay"), (3, "shop")]).await;
    for number in [1, 3] {
        let message = tokio::time::timeout(WAIT, shop.next()).await.unwrap();
        let message = message.unwrap();
        assert_eq!(*message.subject, diagnosed(number, "shop").to_string());
        let headers = message.headers.unwrap();
        let is_signed = headers.get("bonesetter-sig").is_some();
        assert!(is_signed, "the copy keeps the headers");
    }
    // What is heard comes in order, so "pay" would have come before the last of "shop".
    assert!(futures::FutureExt::now_or_never(pay.next()).is_none_or(|it| it.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_nothing_feeds_is_an_error_and_not_silence() {
    let bed = Bed::start_bare().await;
    let external = bed.bus("provisioner-external").await;
    let error = provision_external(&external).await.unwrap_err().to_string();
    assert!(
        error.contains("nothing comes from BONESETTER_DIAGNOSED"),
        "{error}"
    );
}
