//! Making a change once, whatever happens in between.

use bonesetter_chassis::stage::{Outcome, Stage as _};
use bonesetter_proto::v1::Acted;
use serde_json::json;
use svc_actuator::policy::Mode;
use svc_actuator::render::effect_of;

use crate::cluster::serving;
use crate::world::{World, one, roll_back, set_memory, then, violations};

const MEMORY: &str = "/spec/template/spec/containers/0/resources/limits/memory";

/// The change was refused at the last moment, for one reason.
fn assert_refused((step, message): &(String, Acted), violation: &str) {
    assert_eq!(
        (step.as_str(), violations(message)),
        ("refused", vec![violation])
    );
}

async fn assert_memory(world: &World, limit: &str) {
    let live = world.sandbox.get("web").await;
    assert_eq!(live.pointer(MEMORY), Some(&json!(limit)));
}

#[tokio::test]
async fn a_roll_back_restores_the_former_template_and_nothing_else() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let good = world.sandbox.get("web").await;
    let bad = json!({
        "name": "app",
        "args": ["need-env", "NOT_THERE"],
        "env": [{"name": "MODE", "value": "bad"}, {"name": "EXTRA", "value": "1"}],
    });
    world.sandbox.change("web", "kubectl-edit", &bad).await;
    world.sandbox.await_revision("web", 2).await;
    let applied = world.applied("web", roll_back(1)).await;
    assert_eq!(applied.subject.step, "applied");
    assert_eq!(violations(&applied.message), [""; 0]);
    let live = world.sandbox.get("web").await;
    assert_eq!(live["spec"], good["spec"]);
    let change = applied.message.change.as_ref().unwrap();
    assert_eq!(effect_of(&live), Some(change.effect_key.as_str()));
    let fields = change.fields.join(" ");
    assert!(
        fields.contains("/args") && fields.contains("/env"),
        "{fields}"
    );
    assert!(!format!("{change:?}").contains("NOT_THERE"));
    world.sandbox.remove().await;
}

#[tokio::test]
async fn a_crash_between_the_write_and_its_record_does_not_write_again() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let diagnosed = world.diagnosed("web", set_memory(128 << 20)).await;
    let intended = world.intended(&diagnosed).await;
    let apply = world.apply(Mode::Auto);
    let (step, _) = one(apply.handle(&intended).await);
    assert_eq!(step, "applied");
    let written = world.sandbox.get("web").await;

    // Killed before the record: it knows of the inverse and not of the write.
    let incident = intended.subject.incident.as_str();
    let mut held = world.changes.get(incident).await.unwrap().unwrap();
    assert!(held.record.inverse.is_some());
    held.record.applied = None;
    world.changes.store(&mut held).await.unwrap();
    let again = one(apply.handle(&intended).await);
    assert_eq!(again.0, "applied");
    let live = world.sandbox.get("web").await;
    assert_eq!(
        live["metadata"]["generation"],
        written["metadata"]["generation"]
    );
    assert_eq!(live["spec"], written["spec"]);

    // Killed before the ack: the same is said again, also after the object has moved on.
    world
        .sandbox
        .change(
            "web",
            "kubectl-edit",
            &json!({"name": "app", "image": "other:1"}),
        )
        .await;
    assert_eq!(one(apply.handle(&intended).await), again);
    world.sandbox.remove().await;
}

#[tokio::test]
async fn a_crash_after_the_write_and_a_lost_key_are_not_called_a_refusal() {
    let mut world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let applied = world.applied("web", set_memory(128 << 20)).await;
    let mut held = world
        .changes
        .get(applied.subject.incident.as_str())
        .await
        .unwrap()
        .unwrap();
    held.record.applied = None;
    world.changes.store(&mut held).await.unwrap();
    world.lose_keys().await;
    let (step, _) = one(world.apply(Mode::Auto).handle(&applied).await);
    assert_eq!(step, "applied");
    world.sandbox.remove().await;
}

/// However a limit is written, it is understood, and comes back as it was.
#[tokio::test]
async fn quantities_of_every_form_come_back_as_they_were() {
    let world = World::new().await;
    let cases = [
        ("64M", 128_000_000_u64, "128M"),
        ("0.5Gi", 1 << 30, "1Gi"),
        ("67108864", 128 << 20, "128Mi"),
        ("1e8", 200 << 20, "200Mi"),
        ("64000000k", 0, ""),
        ("134217728000m", 256 << 20, "256Mi"),
    ];
    for (index, (limit, wanted, expected)) in cases.into_iter().enumerate() {
        let name = format!("web-{index}");
        let mut container = serving();
        container["image"] = json!("localhost/not-there:1");
        container["resources"] = json!({"limits": {"memory": limit}});
        world.sandbox.create(&name, &container).await;
        let before = world.sandbox.get(&name).await;
        let input = world.diagnosed(&name, set_memory(wanted)).await;
        let decided = one(world.decide(Mode::Auto).handle(&input).await);
        if wanted == 0 {
            assert_eq!(decided.0, "proposed", "{limit}");
            continue;
        }
        assert_eq!(violations(&decided.1), [""; 0], "{limit}");
        let intended = then(&input, decided);
        let applied = then(
            &intended,
            one(world.apply(Mode::Auto).handle(&intended).await),
        );
        assert_eq!(applied.subject.step, "applied", "{limit}");
        let live = world.sandbox.get(&name).await;
        assert_eq!(live.pointer(MEMORY), Some(&json!(expected)), "{limit}");
        world.clock.advance(crate::world::DEADLINE);
        assert_eq!(one(world.verify().handle(&applied).await).0, "rolled-back");
        let after = world.sandbox.get(&name).await;
        assert_eq!(after["spec"], before["spec"], "{limit}");
    }
    world.sandbox.remove().await;
}

#[tokio::test]
async fn what_changed_since_the_intent_is_refused_and_stays_refused() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let diagnosed = world.diagnosed("web", set_memory(128 << 20)).await;
    let intended = world.intended(&diagnosed).await;
    world
        .sandbox
        .change(
            "web",
            "kubectl-edit",
            &json!({"name": "app", "image": "other:1"}),
        )
        .await;
    let apply = world.apply(Mode::Auto);
    let refused = one(apply.handle(&intended).await);
    assert_refused(&refused, "target-changed");
    let image = world.sandbox.get("web").await;
    world
        .sandbox
        .change(
            "web",
            "kubectl-edit",
            &json!({"name": "app", "image": serving()["image"]}),
        )
        .await;
    assert_eq!(one(apply.handle(&intended).await), refused);
    assert_eq!(image.pointer(MEMORY), Some(&json!("64Mi")));
    world.sandbox.remove().await;
}

#[tokio::test]
async fn a_policy_that_was_tightened_since_the_intent_counts() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let diagnosed = world.diagnosed("web", set_memory(128 << 20)).await;
    let intended = world.intended(&diagnosed).await;
    let refused = one(world.apply(Mode::Suggest).handle(&intended).await);
    assert_refused(&refused, "mode-suggest");
    assert_memory(&world, "64Mi").await;
    world.sandbox.remove().await;
}

#[tokio::test]
async fn an_intent_that_was_never_recorded_or_was_altered_is_refused() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let diagnosed = world.diagnosed("web", set_memory(128 << 20)).await;
    let output = one(world.decide(Mode::Auto).handle(&diagnosed).await);
    let apply = world.apply(Mode::Auto);

    let mut other = output.clone();
    other.1.change.as_mut().unwrap().effect_key = "0".repeat(64);
    let refused = one(apply.handle(&then(&diagnosed, other)).await);
    assert_refused(&refused, "record-missing");

    let mut altered = output;
    altered.1.change.as_mut().unwrap().change_digest = "0".repeat(64);
    let refused = one(apply.handle(&then(&diagnosed, altered)).await);
    assert_refused(&refused, "intent-differs");
    assert_memory(&world, "64Mi").await;
    world.sandbox.remove().await;
}

#[tokio::test]
async fn an_object_that_claims_our_effect_is_not_believed() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let diagnosed = world.diagnosed("web", set_memory(128 << 20)).await;
    let intended = world.intended(&diagnosed).await;
    let key = intended.message.change.as_ref().unwrap().effect_key.clone();
    let claim = json!({"metadata": {"annotations": {"bonesetter.dev/effect": key}}});
    world.sandbox.merge("web", "kubectl-annotate", &claim).await;
    let (step, _) = one(world.apply(Mode::Auto).handle(&intended).await);
    assert_eq!(step, "applied");
    assert_memory(&world, "128Mi").await;
    world.sandbox.remove().await;
}

#[tokio::test]
async fn a_status_that_changes_all_the_time_does_not_stand_in_the_way() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let live = world.sandbox.get("web").await;
    let edits = svc_actuator::render::mark(&live, "k");
    // Somebody writes after we have read: the write is refused, not made on top.
    let label = json!({"metadata": {"labels": {"touched": "yes"}}});
    world.sandbox.merge("web", "kubectl-label", &label).await;
    let error = world
        .cluster()
        .write(&live, &edits, false)
        .await
        .unwrap_err();
    assert!(
        matches!(error, svc_actuator::kubernetes::ApiError::Contended { .. }),
        "{error}"
    );
    // A whole attempt reads anew and succeeds.
    let applied = world.applied("web", set_memory(128 << 20)).await;
    assert_eq!(applied.subject.step, "applied");
    world.sandbox.remove().await;
}

#[tokio::test]
async fn an_api_server_that_is_away_is_waited_for() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let diagnosed = world.diagnosed("web", set_memory(128 << 20)).await;
    let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    let nowhere = kube::Client::try_from(config).unwrap();
    let mut decide = world.decide(Mode::Auto);
    let planner = std::sync::Arc::get_mut(&mut decide.planner).unwrap();
    planner.cluster =
        svc_actuator::kubernetes::Cluster::new(nowhere, std::time::Duration::from_secs(2));
    let outcome = decide.handle(&diagnosed).await;
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    world.sandbox.remove().await;
}

/// And whoever forges the intent has no record of one.
#[tokio::test]
async fn a_change_that_carries_a_placeholder_is_neither_intended_nor_applied() {
    let world = World::new().await;
    let mut first = serving();
    first["env"][0]["value"] = json!("<secret:k3f9q2>");
    world.sandbox.create("web", &first).await;
    world
        .sandbox
        .change("web", "kubectl-edit", &serving())
        .await;
    world.sandbox.await_revision("web", 2).await;
    let before = world.sandbox.get("web").await;
    let diagnosed = world.diagnosed("web", roll_back(1)).await;

    let (step, decided) = one(world.decide(Mode::Auto).handle(&diagnosed).await);
    assert_eq!(step, "proposed");
    assert_eq!(violations(&decided), ["placeholder"]);
    let intended = then(&diagnosed, ("intended".to_owned(), decided));
    let (step, applied) = one(world.apply(Mode::Auto).handle(&intended).await);
    assert_eq!(step, "refused");
    assert_eq!(violations(&applied), ["record-missing"]);
    let after = world.sandbox.get("web").await;
    assert_eq!(before["spec"], after["spec"]);
    world.sandbox.remove().await;
}
