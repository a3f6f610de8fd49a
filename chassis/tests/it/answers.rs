//! The server does not check where it is asked to send an answer. So every request that a user may make is
//! made here with its answer directed at everything that purges, deletes, pauses or acknowledges, whosever
//! it is: an empty answer is all that such a request needs.

use std::collections::BTreeMap;

use bonesetter_chassis::bus::provision;
use bonesetter_chassis::topology::{
    ADVISORY, BUCKETS, COPIES, STREAMS, USERS, consumers, external_permissions, permissions,
    permissions_with, user,
};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::bed::{Bed, subject};
use crate::external;
use crate::spy::{Admin, Spy, Verdict, headers};

/// A stream as the server has it: what an attack could take away.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    first: u64,
    last: u64,
    /// Of each consumer: what is acknowledged, and whether it is paused.
    consumers: BTreeMap<String, (u64, bool)>,
}

type State = BTreeMap<String, Kept>;

async fn ask(admin: &Spy, path: &str) -> Value {
    let answer = admin
        .client
        .request(format!("$JS.API.{path}"), Bytes::new());
    serde_json::from_slice(&answer.await.unwrap().payload).unwrap()
}

async fn state(admin: &Spy) -> State {
    let streams = ask(admin, "STREAM.LIST").await;
    let mut state = State::new();
    for info in streams["streams"].as_array().unwrap() {
        let name = info["config"]["name"].as_str().unwrap();
        let listed = ask(admin, &format!("CONSUMER.LIST.{name}")).await;
        let consumers = listed["consumers"].as_array().unwrap().iter().map(|info| {
            let floor = info["ack_floor"]["stream_seq"].as_u64().unwrap();
            let is_paused = info["paused"].as_bool().unwrap_or_default();
            let name = info["name"].as_str().unwrap().to_owned();
            (name, (floor, is_paused))
        });
        let place = |end: &str| info["state"][end].as_u64().unwrap();
        let kept = Kept {
            first: place("first_seq"),
            last: place("last_seq"),
            consumers: consumers.collect(),
        };
        state.insert(name.to_owned(), kept);
    }
    state
}

/// What the server makes of an answer goes through its queues. By the time that it has listed everything
/// five times, an answer that does harm has done it, as the last part of each test shows.
async fn settled(admin: &Spy) -> State {
    for _ in 0..4 {
        state(admin).await;
    }
    state(admin).await
}

/// The subjects under which the server does harm to what there is, without a word in the body, and those of
/// the stages.
fn targets(state: &State) -> Vec<String> {
    let stages = STREAMS.iter().filter_map(|stream| stream.stage);
    let mut targets: Vec<_> = stages
        .map(|stage| subject(1, "open").at(stage, "open").to_string())
        .collect();
    for (stream, kept) in state {
        for verb in ["PURGE", "DELETE"] {
            targets.push(format!("$JS.API.STREAM.{verb}.{stream}"));
        }
        for consumer in kept.consumers.keys() {
            for verb in ["DELETE", "PAUSE", "RESET", "UNPIN"] {
                targets.push(format!("$JS.API.CONSUMER.{verb}.{stream}.{consumer}"));
            }
            // Of the one message that has been delivered and not been acknowledged.
            targets.push(format!("$JS.ACK.{stream}.{consumer}.1.1.1.1.0"));
            targets.push(format!("$JS.ACK._.x.{stream}.{consumer}.1.1.1.1.0.x"));
        }
    }
    targets
}

/// A subject that a right covers, and the body with which the request harms nothing by itself.
fn request(right: &str) -> (String, &'static str) {
    let subject = match right.strip_suffix(".>") {
        Some(consumer) if consumer.starts_with("$JS.ACK.") => format!("{consumer}.1.1.1.1.0"),
        Some(prefix) => format!("{prefix}.x"),
        None => right.to_owned(),
    };
    let body = if subject.starts_with("$JS.ACK.") {
        "+WPI"
    } else if subject.contains(".MSG.NEXT.") {
        r#"{"batch":1,"no_wait":true}"#
    } else if subject.contains(".PURGE.") {
        r#"{"keep":1000}"#
    } else {
        ""
    };
    (subject.replace(".*", ".x"), body)
}

/// Everything that the rights allow, answered everywhere. What would be stored is refused instead.
async fn direct_all(spy: &Spy, rights: &[String], targets: &[String]) {
    for right in rights {
        let (subject, body) = request(right);
        for target in targets {
            let sent = spy.client.publish_with_reply_and_headers(
                subject.clone(),
                target.clone(),
                headers(&[("Nats-Expected-Last-Sequence", "1000")]),
                body.into(),
            );
            sent.await.unwrap();
        }
    }
    spy.client.flush().await.unwrap();
}

/// The same from within the account: the attack is one.
async fn succeeds_inside(admin: &Spy, stream: &str, consumer: &str) {
    let before = settled(admin).await;
    let own = [format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}")];
    let kill = |verb: &str| format!("$JS.API.{verb}.{stream}");
    // Pulls that are answered with a message, whose body is no purge, come first; what the server does of its own
    // accord may need more of them.
    let mut is_purged = false;
    for _ in 0..50 {
        direct_all(admin, &own, &[kill("STREAM.PURGE")]).await;
        is_purged = settled(admin).await[stream].first > before[stream].first;
        if is_purged {
            break;
        }
    }
    assert!(is_purged, "{stream}");
    let other = format!("CONSUMER.DELETE.{stream}.{consumer}");
    let confirmed = [format!("$JS.ACK.{stream}.{consumer}.>")];
    direct_all(admin, &confirmed, &[format!("$JS.API.{other}")]).await;
    let consumers = &settled(admin).await[stream].consumers;
    assert!(!consumers.contains_key(consumer), "{consumer}");
    direct_all(
        admin,
        &["$JS.API.INFO".to_owned()],
        &[kill("STREAM.DELETE")],
    )
    .await;
    let after = settled(admin).await;
    assert!(
        after.contains_key(stream),
        "an answer with a body deletes nothing"
    );
}

/// One message delivered to each consumer and not acknowledged.
async fn pull_each(admin: &mut Spy, state: &State) {
    for (stream, kept) in state {
        for consumer in kept.consumers.keys() {
            let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
            let pull = json!({ "batch": 1, "no_wait": true });
            assert_eq!(admin.request(&next, &pull).await, Verdict::Done, "{next}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_to_any_user_does_harm() {
    let admin = Admin::new();
    let bed = Bed::start_with(&[], |accounts| admin.joining(&accounts, "BONESETTER")).await;
    provision(&bed.bus("provisioner").await).await.unwrap();
    let mut admin = admin.spy(&bed).await;
    for stream in STREAMS {
        let subject = match stream.stage {
            Some(stage) => subject(0, "open").at(stage, "open").to_string(),
            None => ADVISORY.subjects()[0].replace('*', "x"),
        };
        assert_eq!(admin.publish(&subject, None, "x").await, Verdict::Done);
    }
    for bucket in BUCKETS {
        let key = format!("$KV.{}.x", bucket.name);
        assert_eq!(admin.publish(&key, None, "x").await, Verdict::Done);
    }
    let before = settled(&admin).await;
    assert_eq!(before.len(), STREAMS.len() + BUCKETS.len());
    let there: usize = before.values().map(|kept| kept.consumers.len()).sum();
    assert_eq!(there, consumers().count());
    assert!(before.values().all(|kept| kept.first == 1), "{before:?}");
    pull_each(&mut admin, &before).await;

    let targets = targets(&before);
    let of_pipeline = USERS.iter().filter(|it| it.streams() == "BONESETTER");
    for user in of_pipeline {
        let spy = Spy::of(&bed, user.name).await;
        direct_all(&spy, &permissions(user).publish, &targets).await;
        assert_eq!(settled(&admin).await, before, "{}", user.name);
    }
    succeeds_inside(&admin, "BONESETTER_SECURITY", "audit-security").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_to_a_tool_does_harm() {
    let admin = Admin::new();
    let bed = external::start(|accounts| admin.joining(&accounts, "EXTERNAL")).await;
    external::diagnose(&bed, &[(0, "shop"), (1, "pay"), (2, "stock")]).await;
    let mut admin = admin.spy(&bed).await;
    let before = settled(&admin).await;
    assert_eq!(before.len(), COPIES.len());
    assert_eq!(before["EXTERNAL_DIAGNOSED"].consumers.len(), 3);
    pull_each(&mut admin, &before).await;

    let targets = targets(&before);
    for tool in external::tools() {
        let spy = Spy::of(&bed, &tool.user()).await;
        direct_all(&spy, &external_permissions(&tool).publish, &targets).await;
        assert_eq!(settled(&admin).await, before, "{}", tool.user());
    }
    let provisioner = user("provisioner-external").unwrap();
    let spy = Spy::of(&bed, provisioner.name).await;
    let rights = permissions_with(provisioner, &external::tools());
    direct_all(&spy, &rights.publish, &targets).await;
    assert_eq!(settled(&admin).await, before);
    succeeds_inside(&admin, "EXTERNAL_DIAGNOSED", "dave_pay").await;
}
