//! Admission policies that refuse the change, or make more of it than was asked for.

use bonesetter_chassis::stage::Stage as _;
use serde_json::{Value, json};
use svc_actuator::policy::Mode;

use crate::cluster::{eventually, serving};
use crate::world::{World, one, set_memory, violations};

const API: &str = "admissionregistration.k8s.io/v1";

fn constraints() -> Value {
    json!({"resourceRules": [{
        "apiGroups": ["apps"], "apiVersions": ["v1"],
        "operations": ["UPDATE"], "resources": ["deployments"],
    }]})
}

async fn install(world: &World, kind: &str, spec: Value, extra: Value) {
    let name = &world.sandbox.namespace;
    let policy = json!({"metadata": {"name": name}, "spec": spec});
    world.sandbox.create_object(API, kind, policy).await;
    let mut binding = json!({
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "matchResources": {"namespaceSelector": {"matchLabels": {"bonesetter-test": name}}},
        },
    });
    binding["spec"]
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    world
        .sandbox
        .create_object(API, &format!("{kind}Binding"), binding)
        .await;
}

async fn uninstall(world: &World, kind: &str) {
    let name = &world.sandbox.namespace;
    world
        .sandbox
        .delete_object(API, &format!("{kind}Binding"), name)
        .await;
    world.sandbox.delete_object(API, kind, name).await;
}

/// Policies take effect after a moment; until then the dry run is content, and nothing is written.
async fn planned(world: &World) -> String {
    let input = world.diagnosed("web", set_memory(128 << 20)).await;
    let planner = world.planner(Mode::Auto);
    let claim = svc_actuator::gates::Claim::of(input.subject.namespace.as_ref(), &input.message);
    let incident = input.subject.incident.as_str();
    eventually("the policy to take effect", async || {
        let plan = planner.plan(incident, &claim).await.unwrap();
        let first = plan.violations.first()?;
        Some(format!("{}: {}", first.name.as_str(), first.detail))
    })
    .await
}

#[tokio::test]
async fn a_validating_policy_that_refuses_is_named_and_its_message_is_not_quoted() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let spec = json!({
        "failurePolicy": "Fail",
        "matchConstraints": constraints(),
        "validations": [{
            "expression": "object.spec.template == oldObject.spec.template",
            "message": "not on my watch: hunter2",
        }],
    });
    let kind = "ValidatingAdmissionPolicy";
    install(&world, kind, spec, json!({"validationActions": ["Deny"]})).await;
    let found = planned(&world).await;
    uninstall(&world, kind).await;
    assert!(
        found.starts_with("api-refused") && found.contains(&world.sandbox.namespace),
        "{found}"
    );
    assert!(!found.contains("hunter2"), "{found}");
    world.sandbox.remove().await;
}

#[tokio::test]
async fn a_mutating_policy_that_adds_something_makes_the_change_another_one() {
    let world = World::new().await;
    world.sandbox.create("web", &serving()).await;
    let spec = json!({
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": constraints(),
        "mutations": [{
            "patchType": "ApplyConfiguration",
            "applyConfiguration": {"expression":
                "Object{spec: Object.spec{template: Object.spec.template{metadata: Object.spec.template.metadata{labels: Object.spec.template.metadata.labels{injected: \"yes\"}}}}}"
            },
        }],
    });
    let kind = "MutatingAdmissionPolicy";
    install(&world, kind, spec, json!({})).await;
    let found = planned(&world).await;
    let input = world.diagnosed("web", set_memory(128 << 20)).await;
    let (step, message) = one(world.decide(Mode::Auto).handle(&input).await);
    uninstall(&world, kind).await;
    assert!(
        found.starts_with("dry-run-touches-more") && found.contains("injected"),
        "{found}"
    );
    assert_eq!(
        (step.as_str(), violations(&message)),
        ("proposed", vec!["dry-run-touches-more"])
    );
    let live = world.sandbox.get("web").await;
    assert!(
        live["spec"]["template"]["metadata"]["labels"]
            .get("injected")
            .is_none()
    );
    world.sandbox.remove().await;
}
