//! What the page says of filters, attributes, headers and errors, tried as the tool.

use std::collections::BTreeSet;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::{self, Context, ErrorCode};
use bonesetter_proto::escape;
use futures::StreamExt as _;
use serde_json::Value;

use crate::bed::{Bed, Case, OWN, TOOL};
use crate::page::{first_cells, section};

const JSON: &str = "EXTERNAL_DIAGNOSED_JSON";

fn consumer(filter: &str) -> pull::Config {
    pull::Config {
        durable_name: Some(format!("{TOOL}_{OWN}")),
        filter_subject: filter.to_owned(),
        ..pull::Config::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_of_the_page_can_be_listened_to_and_replayed() {
    let bed = Bed::start().await;
    let client = bed.tool().await;
    let js = jetstream::new(client.clone());
    let text = section("## Subjects");
    let filters: Vec<&str> = text
        .split('`')
        .filter(|it| it.starts_with("bonesetter.v1.diagnosed-json."))
        .collect();
    assert!(filters.len() >= 5, "{filters:?}");
    for filter in filters {
        let _listening = client.subscribe(filter.to_owned()).await.unwrap();
        bed.listened_to(filter).await;
        let mut made = js
            .create_consumer_on_stream(consumer(filter), JSON)
            .await
            .unwrap();
        assert_eq!(made.info().await.unwrap().config.filter_subject, filter);
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

async fn refusal(js: &Context, config: pull::Config) -> ErrorCode {
    let refused = js.create_consumer_on_stream(config, JSON).await;
    match refused.unwrap_err().kind() {
        jetstream::stream::ConsumerErrorKind::JetStream(error) => error.error_code(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_answers_with_the_errors_of_the_page() {
    let bed = Bed::start().await;
    let js = jetstream::new(bed.tool().await);
    let absent = js
        .get_consumer_from_stream::<pull::Config, _, _>(format!("{TOOL}_{OWN}"), JSON)
        .await;
    assert!(absent.unwrap_err().to_string().contains("10014"));

    let filter = format!("bonesetter.v1.diagnosed-json.*.{OWN}.>");
    js.create_consumer_on_stream(consumer(&filter), JSON)
        .await
        .unwrap();
    let elsewhere = pull::Config {
        deliver_policy: jetstream::consumer::DeliverPolicy::New,
        ..consumer(&filter)
    };
    assert_eq!(refusal(&js, elsewhere).await, ErrorCode(10012));
    let text = section("## When it does not work");
    for code in ["10012", "10014"] {
        assert!(text.contains(code), "{code}");
    }
}
