//! Ways around permissions that the server itself leaves open, or once did (nats-server issues and
//! decisions), tried against the configuration of production.

use std::time::Duration;

use bonesetter_chassis::bus::provision;
use bonesetter_chassis::topology::{STREAMS, USERS};
use bonesetter_proto::Stage;
use futures::StreamExt as _;
use serde_json::json;

use crate::bed::{Bed, subject};
use crate::spy::{Admin, Spy, Verdict, headers};

fn decision() -> String {
    subject(0, "intended")
        .at(Stage::Acted, "intended")
        .to_string()
}

/// The server does not check where a push consumer delivers to (nats-server issue 8274). So nobody in the
/// pipeline's account may make a consumer, and streams have subjects with wildcards only: to those the
/// server does not deliver.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_in_the_pipeline_can_make_a_consumer_that_pushes() {
    let admin = Admin::new();
    let bed = Bed::start_with(&[], |accounts| admin.joining(&accounts, "BONESETTER")).await;
    provision(&bed.bus("provisioner").await).await.unwrap();
    let push = |stream: &str| {
        let request = format!("$JS.API.CONSUMER.CREATE.{stream}.spy-push");
        let config =
            json!({ "name": "spy-push", "ack_policy": "none", "deliver_subject": decision() });
        (request, json!({ "stream_name": stream, "config": config }))
    };
    for user in USERS {
        if user.name.starts_with("provisioner") {
            continue;
        }
        let mut spy = Spy::of(&bed, user.name).await;
        for stream in STREAMS {
            let (request, body) = push(stream.name);
            let verdict = spy.request(&request, &body).await;
            assert_eq!(verdict, Verdict::Denied, "{}: {}", user.name, stream.name);
        }
    }
    let mut admin = admin.spy(&bed).await;
    for stream in STREAMS {
        let (request, body) = push(stream.name);
        let verdict = admin.request(&request, &body).await;
        // Under its own subject an incident's message would come in a circle, which the server refuses.
        let possible = [Verdict::Done, Verdict::Refused(10081)];
        assert!(possible.contains(&verdict), "{}: {verdict:?}", stream.name);
        // What the server itself tells is under its own subjects, which nobody acts on.
        let is_safe = |it: &String| it.ends_with('>') || it.starts_with("$JS.EVENT.");
        let subjects = stream.subjects();
        assert!(
            subjects.iter().all(is_safe),
            "{}: {subjects:?}",
            stream.name
        );
    }
}

/// A header can ask the server to tell another subject what became of a message.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_a_message_goes_nowhere_that_its_sender_may_not_write() {
    let admin = Admin::new();
    let bed = Bed::start_with(&[], |accounts| admin.joining(&accounts, "BONESETTER")).await;
    provision(&bed.bus("provisioner").await).await.unwrap();
    let admin = admin.spy(&bed).await;
    let mut told = admin
        .client
        .subscribe("bonesetter.v1.acted.>")
        .await
        .unwrap();
    admin.client.flush().await.unwrap();
    let own = subject(0, "open").at(Stage::Diagnosed, "open").to_string();
    let traced = |to: &str| headers(&[("Nats-Trace-Dest", to)]);
    let mut llm = Spy::of(&bed, "svc-llm").await;
    let sent = llm
        .client
        .publish_with_headers(own.clone(), traced(&decision()), "x".into());
    sent.await.unwrap();
    // The server has dealt with what came before.
    assert_eq!(
        llm.publish("no.such.right", None, "").await,
        Verdict::Denied
    );
    // Who may write there gets what was asked for, and nothing else has come before it.
    let other = subject(1, "intended")
        .at(Stage::Acted, "intended")
        .to_string();
    let sent = admin
        .client
        .publish_with_headers(own, traced(&other), "x".into());
    sent.await.unwrap();
    let first = tokio::time::timeout(Duration::from_secs(20), told.next()).await;
    assert_eq!(first.unwrap().unwrap().subject.as_str(), other);
}
