//! Taking a change back exactly, or leaving it to a person.

use std::time::Duration;

use bonesetter_chassis::stage::{Outcome, Stage as _};
use bonesetter_proto::v1::Acted;
use kube::{Client, Config};
use serde_json::json;
use svc_actuator::kubernetes::Cluster;
use svc_actuator::stage::Verify;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::cluster::serving;
use crate::world::{DEADLINE, World, one, roll_back, set_memory, violations};

fn is_waiting(outcome: &Outcome<Acted>) -> bool {
    matches!(outcome, Outcome::Retry { .. })
}

/// A container that never becomes ready, on a node or without one.
fn hopeless() -> serde_json::Value {
    let mut container = serving();
    container["image"] = json!("localhost/not-there:1");
    container
}

#[tokio::test]
async fn what_does_not_help_is_taken_back_exactly() {
    let world = World::new().await;
    world.sandbox.create("web", &hopeless()).await;
    let bad = json!({"name": "app", "args": ["x"], "env": [{"name": "MODE", "$patch": "delete"}]});
    world.sandbox.change("web", "kubectl-edit", &bad).await;
    world.sandbox.await_revision("web", 2).await;
    let before = world.sandbox.get("web").await;
    let applied = world.applied("web", roll_back(1)).await;
    assert_ne!(world.sandbox.get("web").await["spec"], before["spec"]);
    let verify = world.verify();
    assert!(is_waiting(&verify.handle(&applied).await));
    world.clock.advance(Duration::from_secs(119));
    assert!(is_waiting(&verify.handle(&applied).await));
    world.clock.advance(Duration::from_secs(1));
    let ended = one(verify.handle(&applied).await);
    assert_eq!(ended.0, "rolled-back");
    assert!(!ended.1.verification.as_ref().unwrap().observed.is_empty());
    let after = world.sandbox.get("web").await;
    assert_eq!(after["spec"], before["spec"]);
    assert!(
        after["metadata"]["annotations"]
            .get("bonesetter.dev/effect")
            .is_none()
    );

    // Redelivered after a crash before the ack.
    assert_eq!(one(verify.handle(&applied).await), ended);
    assert_eq!(
        world.sandbox.get("web").await["metadata"]["generation"],
        after["metadata"]["generation"]
    );

    // Redelivered after a crash between the write and its record.
    let incident = applied.subject.incident.as_str();
    let mut held = world.changes.get(incident).await.unwrap().unwrap();
    held.record.ended = None;
    world.changes.store(&mut held).await.unwrap();
    assert_eq!(one(verify.handle(&applied).await).0, "rolled-back");
    assert_eq!(world.sandbox.get("web").await["spec"], before["spec"]);
    world.sandbox.remove().await;
}

#[tokio::test]
async fn what_somebody_else_has_changed_since_is_left_alone() {
    let world = World::new().await;
    world.sandbox.create("web", &hopeless()).await;
    let applied = world.applied("web", set_memory(128 << 20)).await;
    let theirs = json!({"name": "app", "resources": {"limits": {"memory": "100Mi"}}});
    world.sandbox.change("web", "kubectl-edit", &theirs).await;
    let before = world.sandbox.get("web").await;
    world.clock.advance(DEADLINE);
    let (step, message) = one(world.verify().handle(&applied).await);
    assert_eq!(
        (step.as_str(), violations(&message)),
        ("stuck", vec!["changed-since"])
    );
    assert_eq!(world.sandbox.get("web").await["spec"], before["spec"]);
    world.sandbox.remove().await;
}

#[tokio::test]
async fn what_others_changed_elsewhere_survives_the_taking_back() {
    let world = World::new().await;
    world.sandbox.create("web", &hopeless()).await;
    let applied = world.applied("web", set_memory(128 << 20)).await;
    let elsewhere = json!({"spec": {"replicas": 2, "minReadySeconds": 3}});
    world.sandbox.merge("web", "kubectl-edit", &elsewhere).await;
    world.clock.advance(DEADLINE);
    assert_eq!(one(world.verify().handle(&applied).await).0, "rolled-back");
    let live = world.sandbox.get("web").await;
    assert_eq!(live["spec"]["replicas"], 2);
    assert_eq!(live["spec"]["minReadySeconds"], 3);
    let memory = live.pointer("/spec/template/spec/containers/0/resources/limits/memory");
    assert_eq!(memory, Some(&json!("64Mi")));
    world.sandbox.remove().await;
}

#[tokio::test]
async fn former_values_that_cannot_be_opened_need_a_person() {
    let mut world = World::new().await;
    world.sandbox.create("web", &hopeless()).await;
    let applied = world.applied("web", set_memory(128 << 20)).await;
    let before = world.sandbox.get("web").await;
    world.lose_keys().await;
    let ended = one(world.verify().handle(&applied).await);
    assert_eq!(
        (ended.0.as_str(), violations(&ended.1)),
        ("stuck", vec!["record-missing"])
    );
    assert_eq!(one(world.verify().handle(&applied).await), ended);
    assert_eq!(world.sandbox.get("web").await["spec"], before["spec"]);
    world.sandbox.remove().await;
}

/// An API server that understands nothing, which the real one cannot be made to be.
async fn refusing() -> Cluster {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": "BadRequest", "code": 400, "message": "no"});
    let body = status.to_string();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            // Whoever has gone away needs no answer.
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let client = Client::try_from(Config::new(url.parse().unwrap())).unwrap();
    Cluster::new(client, Duration::from_secs(10))
}

#[tokio::test]
async fn a_change_of_which_nothing_can_be_seen_needs_a_person_when_its_time_is_over() {
    let world = World::new().await;
    world.sandbox.create("web", &hopeless()).await;
    let applied = world.applied("web", set_memory(128 << 20)).await;
    let verify = Verify {
        cluster: refusing().await,
        ..world.verify()
    };
    assert!(is_waiting(&verify.handle(&applied).await));
    world.clock.advance(DEADLINE);
    let ended = one(verify.handle(&applied).await);
    assert_eq!(
        (ended.0.as_str(), violations(&ended.1)),
        ("stuck", vec!["api-refused"])
    );
    // It has been told, whatever can be seen now.
    assert_eq!(one(world.verify().handle(&applied).await), ended);
    world.sandbox.remove().await;
}

#[tokio::test]
async fn a_deleted_workload_is_not_healthy_and_cannot_be_taken_back() {
    let world = World::new().await;
    world.sandbox.create("web", &hopeless()).await;
    let applied = world.applied("web", set_memory(128 << 20)).await;
    world.sandbox.delete("web").await;
    let (step, message) = one(world.verify().handle(&applied).await);
    assert_eq!(
        (step.as_str(), violations(&message)),
        ("stuck", vec!["target-missing"])
    );
    world.sandbox.remove().await;
}

#[tokio::test]
async fn paused_and_scaled_to_zero_are_not_healthy() {
    let world = World::new().await;
    world.sandbox.create("web", &hopeless()).await;
    let applied = world.applied("web", set_memory(128 << 20)).await;
    let verify = world.verify();
    for (spec, expected) in [
        (json!({"paused": true}), "paused"),
        (json!({"paused": false, "replicas": 0}), "zero"),
    ] {
        world
            .sandbox
            .merge("web", "kubectl-edit", &json!({ "spec": spec }))
            .await;
        let outcome = verify.handle(&applied).await;
        let Outcome::Retry { cause, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(cause.to_string().contains(expected), "{cause}");
    }
    world.sandbox.remove().await;
}
