//! Tools in the account of their own, as clients that are not ours.

use async_nats::jetstream::consumer::PullConsumer;
use bonesetter_chassis::bus::{provision, provision_copies, provision_external};
use bonesetter_chassis::topology::{COPIES, ExternalUser, PULL_EXPIRES};
use bonesetter_proto::v1::Diagnosed;
use bonesetter_proto::{Namespace, Stage, Subject};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::bed::{Bed, subject};
use crate::spy::{Admin, Spy, Verdict, WAIT};

const COPY: &str = "EXTERNAL_DIAGNOSED";

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
    let done = provision_external(&external, &tools()).await.unwrap();
    assert_eq!(
        (done.copies, done.consumers, done.deleted),
        (COPIES.len(), 6, 0)
    );
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

/// From the beginning until nothing comes any more.
async fn replay(client: &async_nats::Client, name: &str) -> Vec<String> {
    let js = async_nats::jetstream::new(client.clone());
    let consumer: PullConsumer = js.get_consumer_from_stream(name, COPY).await.unwrap();
    let reset = format!("$JS.API.CONSUMER.RESET.{COPY}.{name}");
    client.request(reset, r#"{"seq":1}"#.into()).await.unwrap();
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
async fn replay_all(client: &async_nats::Client, name: &str) -> Vec<String> {
    let started = tokio::time::Instant::now();
    loop {
        let found = replay(client, name).await;
        if found.len() >= 2 {
            return found;
        }
        assert!(started.elapsed() < WAIT, "{name} got only {found:?}");
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
        let found = replay_all(&client, &format!("{tool}_{namespace}")).await;
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
    let error = provision_copies(&external).await.unwrap_err().to_string();
    assert!(
        error.contains("nothing comes from BONESETTER_DIAGNOSED"),
        "{error}"
    );
}

/// In place of `carol_shop`, a consumer that somebody has made otherwise.
async fn make_carol_shop(admin: &mut Spy, config: Value) {
    let path = format!("{COPY}.carol_shop");
    let delete = format!("$JS.API.CONSUMER.DELETE.{path}");
    assert_eq!(admin.request(&delete, &Value::Null).await, Verdict::Done);
    let filter = config["filter_subject"].as_str().unwrap();
    let create = format!("$JS.API.CONSUMER.CREATE.{path}.{filter}");
    let body = json!({ "stream_name": COPY, "config": config });
    assert_eq!(admin.request(&create, &body).await, Verdict::Done);
}

async fn carol_shop(carol: &async_nats::Client) -> PullConsumer {
    let js = async_nats::jetstream::new(carol.clone());
    let consumer = js.get_consumer_from_stream("carol_shop", COPY).await;
    consumer.unwrap()
}

/// Whatever it is that somebody has made under the name of a tool's consumer.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_not_as_ours_is_made_anew_and_others_stay_where_they_are() {
    let admin = Admin::new();
    let bed = start(|accounts| admin.joining(&accounts, "EXTERNAL")).await;
    let mut admin = admin.spy(&bed).await;
    let config = json!({ "durable_name": "carol_shop", "deliver_subject": "anywhere",
        "filter_subject": "bonesetter.v1.diagnosed.*.shop.>", "ack_policy": "explicit" });
    make_carol_shop(&mut admin, config).await;
    let provisioner = bed.bus("provisioner-external").await;
    let again = async || provision_external(&provisioner, &tools()).await.unwrap();
    assert_eq!(again().await.deleted, 1);
    diagnose(&bed, &[(0, "shop"), (1, "shop")]).await;
    let carol = client(&bed, "carol").await;
    assert_eq!(replay_all(&carol, "carol_shop").await.len(), 2);

    assert_eq!(again().await.deleted, 0);
    let consumer = carol_shop(&carol).await;
    assert_eq!(consumer.cached_info().delivered.consumer_sequence, 2);
}

/// The server forgets where the answers to a pull go; one that waits longer is refused and not forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_lets_pulls_wait_too_long_is_held_to_what_the_server_remembers() {
    let admin = Admin::new();
    let bed = start(|accounts| admin.joining(&accounts, "EXTERNAL")).await;
    let mut admin = admin.spy(&bed).await;
    let config = json!({ "durable_name": "carol_shop", "ack_policy": "explicit",
        "filter_subject": "bonesetter.v1.diagnosed.*.shop.>" });
    make_carol_shop(&mut admin, config).await;
    diagnose(&bed, &[(0, "shop"), (1, "shop")]).await;
    let carol = client(&bed, "carol").await;
    assert_eq!(replay_all(&carol, "carol_shop").await.len(), 2);

    let provisioner = bed.bus("provisioner-external").await;
    let done = provision_external(&provisioner, &tools()).await.unwrap();
    assert_eq!(done.deleted, 0);
    let consumer = carol_shop(&carol).await;
    assert_eq!(consumer.cached_info().delivered.consumer_sequence, 2);
    let pull = consumer.batch().max_messages(1).expires(2 * PULL_EXPIRES);
    let refused = pull.messages().await.unwrap().next().await.unwrap();
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("MaxRequestExpires"), "{refused}");
}
