//! What is decided, and that deciding changes nothing.

use bonesetter_chassis::stage::Stage as _;
use bonesetter_proto::v1::{Diagnosed, Target};
use prost::Message as _;
use serde_json::json;
use svc_actuator::policy::Mode;

use crate::cluster::{RIGHTS, Sandbox, serving};
use crate::world::{World, diagnosed, one, roll_back, set_memory, violations};

#[tokio::test]
async fn suggest_mode_proposes_with_a_command_and_changes_nothing() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let before = world.sandbox.get("web").await;
    let input = world.diagnosed("web", set_memory(128 << 20)).await;
    let (step, message) = one(world.decide(Mode::Suggest).handle(&input).await);
    assert_eq!(step, "proposed");
    assert_eq!(violations(&message), ["mode-suggest"]);
    let change = message.change.unwrap();
    assert_eq!(
        change.suggested_command,
        format!(
            "kubectl set resources deployment/web -n {} -c app --limits=memory=128Mi",
            world.sandbox.namespace
        )
    );
    assert_eq!(
        change.fields,
        ["/spec/template/spec/containers/0/resources/limits/memory"]
    );
    let embedded = message.diagnosis.unwrap();
    assert_eq!(Diagnosed::decode(embedded.payload).unwrap(), *input.message);
    let after = world.sandbox.get("web").await;
    assert_eq!(before["spec"], after["spec"]);
    world.sandbox.remove().await;
}

#[tokio::test]
async fn a_command_that_would_fail_is_not_suggested() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let paused = json!({"spec": {"paused": true}});
    world.sandbox.merge("web", "kubectl-edit", &paused).await;
    let input = world.diagnosed("web", set_memory(128 << 20)).await;
    let (_, message) = one(world.decide(Mode::Auto).handle(&input).await);
    assert_eq!(violations(&message), ["rollout-paused"]);
    assert_eq!(message.change.unwrap().suggested_command, "");
    world.sandbox.remove().await;
}

#[tokio::test]
async fn one_incident_gets_one_intent() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let input = world.diagnosed("web", set_memory(128 << 20)).await;
    let decide = world.decide(Mode::Auto);
    let first = one(decide.handle(&input).await);
    assert_eq!(
        (first.0.as_str(), violations(&first.1)),
        ("intended", vec![])
    );
    // The same diagnosis again says the same, even when the object has moved on.
    world
        .sandbox
        .change(
            "web",
            "kubectl-set",
            &json!({"name": "app", "image": "other:1"}),
        )
        .await;
    assert_eq!(one(decide.handle(&input).await), first);
    // A later one of the same incident is for people.
    let target = world.target(&world.sandbox.get("web").await);
    let later = diagnosed(target, Some(set_memory(96 << 20)), "reclassified-1");
    let (step, message) = one(decide.handle(&later).await);
    assert_eq!(step, "proposed-reclassified-1");
    assert_eq!(violations(&message), ["already-intended"]);
    world.sandbox.remove().await;
}

#[tokio::test]
async fn a_reclassified_diagnosis_may_be_the_one_that_is_intended() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let target = world.target(&world.sandbox.get("web").await);
    let decide = world.decide(Mode::Auto);
    let (step, message) = one(decide
        .handle(&diagnosed(target.clone(), None, "open"))
        .await);
    assert_eq!(
        (step.as_str(), violations(&message)),
        ("proposed", vec!["no-remedy"])
    );
    let later = diagnosed(target, Some(set_memory(128 << 20)), "reclassified-1");
    assert_eq!(one(decide.handle(&later).await).0, "intended");
    world.sandbox.remove().await;
}

#[tokio::test]
async fn what_is_not_the_diagnosed_object_is_left_alone() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let target = world.target(&world.sandbox.get("web").await);
    let decide = world.decide(Mode::Auto);
    let decided = async |target: &Target, fix| {
        let (step, message) = one(decide
            .handle(&diagnosed(target.clone(), Some(fix), "open"))
            .await);
        assert_eq!(step, "proposed");
        violations(&message).join(" ")
    };
    assert_eq!(decided(&target, roll_back(7)).await, "revision-missing");
    assert_eq!(decided(&target, roll_back(1)).await, "no-effect");
    assert_eq!(decided(&target, set_memory(64 << 20)).await, "no-effect");
    assert_eq!(
        decided(&target, set_memory(1 << 40)).await,
        "memory-above-maximum memory-above-factor"
    );

    world
        .sandbox
        .change(
            "web",
            "kubectl-edit",
            &json!({"name": "app", "image": "other:1"}),
        )
        .await;
    assert_eq!(
        decided(&target, set_memory(128 << 20)).await,
        "target-changed"
    );

    world.sandbox.delete("web").await;
    assert_eq!(
        decided(&target, set_memory(128 << 20)).await,
        "target-missing"
    );
    world.sandbox.create("web", &serving()).await;
    assert_eq!(
        decided(&target, set_memory(128 << 20)).await,
        "target-replaced"
    );
    world.sandbox.remove().await;
}

#[tokio::test]
async fn a_missing_right_is_a_decision_that_names_it() {
    let sandbox = Sandbox::new().await;
    let client = sandbox.client_with(&RIGHTS[1..]).await;
    let world = World::with_client(sandbox, client).await;
    world.sandbox.create("web", &serving()).await;
    let input = world.diagnosed("web", set_memory(128 << 20)).await;
    let (step, message) = one(world.decide(Mode::Auto).handle(&input).await);
    assert_eq!(
        (step.as_str(), violations(&message)),
        ("proposed", vec!["target-unreadable"])
    );
    let reason = message.decision.unwrap().reason;
    assert!(
        reason.contains("get deployment") && reason.contains("403"),
        "{reason}"
    );
    assert_ne!(message.change.unwrap().suggested_command, "");

    // What nobody should do is not suggested either, although nothing could be looked at.
    let mut diagnosed = (*input.message).clone();
    let diagnosis = diagnosed.diagnosis.as_mut().unwrap();
    diagnosis.remedy.as_mut().unwrap().fix = Some(set_memory(u64::MAX));
    let input = crate::world::input(diagnosed, input.subject);
    let (_, message) = one(world.decide(Mode::Auto).handle(&input).await);
    assert_eq!(
        violations(&message),
        ["memory-above-maximum", "target-unreadable"]
    );
    assert_eq!(message.change.unwrap().suggested_command, "");

    let read_only = [("apps", "deployments", &["get"][..])];
    let client = world.sandbox.client_with(&read_only).await;
    let world = World::with_client(world.sandbox, client).await;
    let input = world.diagnosed("web", set_memory(128 << 20)).await;
    let (step, message) = one(world.decide(Mode::Auto).handle(&input).await);
    assert_eq!(
        (step.as_str(), violations(&message)),
        ("proposed", vec!["api-refused"])
    );
    world.sandbox.remove().await;
}
