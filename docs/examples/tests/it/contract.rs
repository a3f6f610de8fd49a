//! What the page says of filters, attributes, headers and errors, tried as the tool.

use std::collections::BTreeSet;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use bonesetter_proto::escape;
use futures::StreamExt as _;
use serde_json::Value;

use crate::bed::{Bed, Case, OWN, TOOL};
use crate::page::{first_cells, section};

const JSON: &str = "EXTERNAL_DIAGNOSED_JSON";

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_of_the_page_can_be_listened_to() {
    let bed = Bed::start().await;
    let client = bed.tool().await;
    let text = section("## Subjects");
    let filters: Vec<&str> = text
        .split('`')
        .filter(|it| it.starts_with("bonesetter.v1.diagnosed-json."))
        .collect();
    assert!(filters.len() >= 5, "{filters:?}");
    for filter in filters {
        let _listening = client.subscribe(filter.to_owned()).await.unwrap();
        bed.listened_to(filter).await;
    }
}

#[test]
fn the_page_escapes_as_the_product_does() {
    for text in ["gke_p_z.eu", "prod.eu"] {
        let escaped = escape(text);
        assert!(section("## Subjects").contains(&escaped), "{escaped}");
    }
}

/// The next message of a subscription that came with the diagnosis of a case.
async fn heard(bed: &Bed, stage: &str, case: Case) -> async_nats::Message {
    let filter = format!("bonesetter.v1.{stage}.*.{OWN}.>");
    let client = bed.tool().await;
    let mut messages = client.subscribe(filter.clone()).await.unwrap();
    bed.listened_to(&filter).await;
    bed.diagnose(&[case]).await;
    messages.next().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_names_the_headers_of_a_message_and_no_others() {
    let bed = Bed::start().await;
    let section = section("### Headers");
    for (number, stage, other) in [
        (0, "diagnosed", "| JSON |"),
        (1, "diagnosed-json", "| protobuf |"),
    ] {
        let rows = section.lines().filter(|line| !line.contains(other));
        let rows = rows.collect::<Vec<_>>().join("\n");
        let named: BTreeSet<String> = first_cells(&rows).into_iter().flatten().collect();
        let message = heard(&bed, stage, Case(number, OWN)).await;
        let headers = message.headers.unwrap();
        let there: BTreeSet<String> = headers.iter().map(|(name, _)| name.to_string()).collect();
        // The server's own are not ours to list; a trace is there when traces are on.
        let is_ours = |name: &&String| !name.starts_with("Nats-") && *name != "traceparent";
        let ours = |names: &BTreeSet<String>| -> BTreeSet<String> {
            names.iter().filter(is_ours).cloned().collect()
        };
        assert_eq!(ours(&there), ours(&named), "{stage}");
        assert!(there.contains("Nats-Msg-Id"), "{there:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_names_the_attributes_of_an_event_and_no_others() {
    let bed = Bed::start().await;
    let message = heard(&bed, "diagnosed-json", Case(0, OWN)).await;
    let event: Value = serde_json::from_slice(&message.payload).unwrap();
    let mut there: BTreeSet<String> = event.as_object().unwrap().keys().cloned().collect();
    there.insert("traceparent".to_owned());
    let named: BTreeSet<String> = first_cells(&section("### JSON"))
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(there, named);
}

/// The page's request to begin again, and its word on a tool that is in no list.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_is_made_by_the_operator_and_begins_again_where_it_is_told() {
    let bed = Bed::start().await;
    bed.diagnose(&[Case(0, OWN), Case(1, OWN)]).await;
    bed.copied(JSON, 2).await;
    let client = bed.tool().await;
    let js = jetstream::new(client.clone());
    let name = format!("{TOOL}_{OWN}");
    let consumer: PullConsumer = js.get_consumer_from_stream(&name, JSON).await.unwrap();
    let replayed = async || {
        let batch = consumer.fetch().messages().await.unwrap();
        let message = |message: Result<jetstream::Message, _>| async move {
            let message = message.unwrap();
            message.double_ack().await.unwrap();
            message.info().unwrap().stream_sequence
        };
        batch.then(message).collect::<Vec<_>>().await
    };
    assert_eq!(replayed().await, [1, 2]);
    assert_eq!(replayed().await, [0; 0]);
    let text = section("## Delivery");
    for (body, expected) in [(r#"{"seq": 1}"#, vec![1, 2]), (r#"{"seq": 2}"#, vec![2])] {
        let reset = format!("$JS.API.CONSUMER.RESET.{JSON}.{name}");
        client.request(reset, body.into()).await.unwrap();
        assert_eq!(replayed().await, expected);
    }
    assert!(text.contains(r#"`{"seq": 1}`"#) && text.contains("$JS.API.CONSUMER.RESET."));

    bed.provision(&[]).await;
    let absent = js
        .get_consumer_from_stream::<pull::Config, _, _>(&name, JSON)
        .await;
    assert!(absent.unwrap_err().to_string().contains("10014"));
    assert!(section("## When it does not work").contains("10014"));
}
