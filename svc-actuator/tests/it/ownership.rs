//! Fields that others own.

use bonesetter_chassis::stage::Stage as _;
use serde_json::json;
use svc_actuator::ownership::Conflict;
use svc_actuator::policy::Mode;

use crate::cluster::serving;
use crate::world::{World, one, roll_back, set_memory, violations};

#[tokio::test]
async fn other_managers_fields_are_theirs_and_kubectls_are_not() {
    let world = World::new().await;
    let memory = json!({"name": "app", "resources": {"limits": {"memory": "72Mi"}}});
    let cases = [
        ("argocd-controller", true, "gitops-managed"),
        ("kustomize-controller", true, "gitops-managed"),
        ("helm", false, "owned-by-other"),
        ("some-autoscaler", true, "owned-by-other"),
        ("kubectl-edit", false, ""),
        ("kubectl", true, ""),
    ];
    for (index, (manager, is_apply, expected)) in cases.into_iter().enumerate() {
        let name = format!("web-{index}");
        world.sandbox.create(&name, &serving()).await;
        if is_apply {
            world.sandbox.apply(&name, manager, &memory).await;
        } else {
            world.sandbox.change(&name, manager, &memory).await;
        }
        let input = world.diagnosed(&name, set_memory(128 << 20)).await;
        let (_, message) = one(world.decide(Mode::Auto).handle(&input).await);
        assert_eq!(violations(&message).join(" "), expected, "{manager}");
    }
    world.sandbox.remove().await;
}

#[tokio::test]
async fn a_field_that_would_be_removed_has_an_owner_too() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let sidecar = json!({"name": "side", "image": "side:1"});
    world.sandbox.change("web", "injector", &sidecar).await;
    world.sandbox.await_revision("web", 2).await;
    let input = world.diagnosed("web", roll_back(1)).await;
    let (_, message) = one(world.decide(Mode::Auto).handle(&input).await);
    assert_eq!(violations(&message), ["owned-by-other"]);
    let detail = &message.decision.as_ref().unwrap().violations[0].detail;
    assert!(detail.contains("injector"), "{detail}");
    world.sandbox.remove().await;
}

#[tokio::test]
async fn the_api_server_names_manager_and_field_and_nothing_is_written() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let image = json!({"name": "app", "image": "theirs:1"});
    world
        .sandbox
        .apply("web", "argocd-controller", &image)
        .await;
    let live = world.sandbox.get("web").await;
    let wanted = |image: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": world.sandbox.namespace},
            "spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}},
        })
    };
    let conflicts = world
        .cluster()
        .conflicts(&live, &wanted("ours:1"))
        .await
        .unwrap();
    let expected = Conflict {
        manager: "argocd-controller".to_owned(),
        field: ".spec.template.spec.containers[name=\"app\"].image".to_owned(),
    };
    assert_eq!(conflicts, [expected]);
    let same = world
        .cluster()
        .conflicts(&live, &wanted("theirs:1"))
        .await
        .unwrap();
    assert_eq!(same, []);
    // The controller's own entry, of the status, changes all the time.
    let owners = |live: &serde_json::Value| {
        let entries = live["metadata"]["managedFields"].as_array().unwrap();
        let own = entries.iter().filter(|it| it.get("subresource").is_none());
        own.cloned().collect::<Vec<_>>()
    };
    assert_eq!(owners(&world.sandbox.get("web").await), owners(&live));
    world.sandbox.remove().await;
}
