//! Real containers that fail on a real node.

use std::collections::BTreeMap;
use std::time::Duration;

use bonesetter_proto::v1::{Detected, FailureClass as Class, ResolvedReason};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use svc_watcher::{Config, Namespaces, scan};

use crate::bus::{Step, TestBus, config};
use crate::cluster::{Sandbox, equal, eventually};

const IMAGE: &str = "localhost/faultbox:1";

fn container(args: &[&str], more: &Value) -> Value {
    let mut container =
        json!({"name": "app", "image": IMAGE, "imagePullPolicy": "Never", "args": args});
    for (key, value) in more.as_object().unwrap() {
        container[key] = value.clone();
    }
    container
}

fn deployment(name: &str, pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["terminationGracePeriodSeconds"] = json!(1);
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod}}})
}

fn simple(name: &str, args: &[&str], more: &Value) -> Value {
    deployment(name, &json!({"containers": [container(args, more)]}))
}

fn probe(port: u16) -> Value {
    json!({"httpGet": {"path": "/healthz", "port": port}, "periodSeconds": 1, "failureThreshold": 2})
}

/// What fails, and as what.
fn failing() -> Vec<(Value, Class)> {
    let no_limit = json!({});
    let memory = |limit: &str| json!({"resources": {"limits": {"memory": limit}}});
    let from_map = json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "a"}}}]});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "batch"},
        "spec": {"backoffLimit": 1, "template": {"spec": {"restartPolicy": "Never",
            "containers": [container(&["crash", "--code", "3"], &no_limit)]}}}});
    let init = json!({"containers": [container(&["serve"], &no_limit)],
        "initContainers": [{"name": "migrate", "image": IMAGE, "imagePullPolicy": "Never",
                            "args": ["crash", "--code", "4"]}]});
    // Less than the start itself needs. Another container keeps the pod as a whole unlimited, or its
    // sandbox could not start either.
    let tiny = deployment(
        "tiny",
        &json!({"automountServiceAccountToken": false, "containers": [
        container(&["serve"], &memory("1Mi")),
        {"name": "other", "image": IMAGE, "imagePullPolicy": "Never", "args": ["pause"]}]}),
    );
    let mut missing_image = container(&["serve"], &no_limit);
    missing_image["image"] = json!("localhost/absent:1");
    let mut stuck = simple(
        "stuck",
        &["serve", "--port", "8080"],
        &json!({"readinessProbe": probe(9)}),
    );
    stuck["spec"]["progressDeadlineSeconds"] = json!(5);
    vec![
        (
            simple("crash", &["crash", "--code", "1"], &no_limit),
            Class::CrashLoopBackOff,
        ),
        (
            simple(
                "eater",
                &["eat", "--mib", "200", "--then", "hang"],
                &memory("24Mi"),
            ),
            Class::OomKilled,
        ),
        (tiny, Class::OomKilled),
        (
            deployment("no-image", &json!({"containers": [missing_image]})),
            Class::ImagePull,
        ),
        (
            simple("no-map", &["serve"], &from_map),
            Class::CreateContainerConfigError,
        ),
        (
            simple("no-program", &[], &json!({"command": ["/absent"]})),
            Class::CreateContainerError,
        ),
        (
            simple(
                "probed",
                &["serve", "--port", "8080"],
                &json!({"livenessProbe": probe(9)}),
            ),
            Class::ProbeKill,
        ),
        (
            simple(
                "too-big",
                &["serve"],
                &json!({"resources": {"requests": {"cpu": "999"}}}),
            ),
            Class::Unschedulable,
        ),
        (job, Class::JobFailed),
        (deployment("init", &init), Class::CrashLoopBackOff),
        (stuck, Class::ProgressDeadlineExceeded),
        (
            simple("no-account", &["serve"], &no_limit),
            Class::ReplicaFailure,
        ),
    ]
}

fn by_owner(steps: &[Step]) -> BTreeMap<String, Vec<&Step>> {
    let mut owners: BTreeMap<String, Vec<&Step>> = BTreeMap::new();
    for step in steps {
        let incident = step.message.incident.as_ref().unwrap();
        owners
            .entry(incident.root_owner.as_ref().unwrap().name.clone())
            .or_default()
            .push(step);
    }
    owners
}

#[tokio::test]
async fn every_failure_is_one_incident_of_the_right_class_and_health_is_none() {
    let (bus, sandbox) = (TestBus::start().await, Sandbox::new().await);
    let namespace = sandbox.namespace.clone();
    let windows = Config::default();
    let config = Config {
        settle: windows.settle,
        stability_window: windows.stability_window,
        ..config(sandbox.kubeconfig.clone(), &namespace)
    };
    let watcher = bus.watcher(config.clone()).await;
    watcher.ready().await;
    for name in ["healthy", "slow"] {
        let delay = if name == "slow" { "15" } else { "0" };
        let args = ["serve", "--port", "8080", "--startup-delay", delay];
        sandbox
            .create(&simple(
                name,
                &args,
                &json!({"readinessProbe": probe(8080)}),
            ))
            .await;
    }
    let failing = failing();
    for (object, class) in &failing {
        let mut object = object.clone();
        if *class == Class::ReplicaFailure {
            object["spec"]["template"]["spec"]["serviceAccountName"] = json!("absent");
        }
        sandbox.create(&object).await;
    }
    let expected: BTreeMap<String, Class> = failing
        .iter()
        .map(|(object, class)| {
            (
                object["metadata"]["name"].as_str().unwrap().to_owned(),
                *class,
            )
        })
        .collect();
    equal("the class of each incident", &expected, async || {
        let steps = bus.steps(&namespace).await;
        let last = |steps: Vec<&Step>| steps.last().unwrap().message.failure_class();
        by_owner(&steps)
            .into_iter()
            .map(|(owner, steps)| (owner, last(steps)))
            .collect()
    })
    .await;
    for (owner, steps) in by_owner(&bus.steps(&namespace).await) {
        let opened: Vec<_> = steps
            .iter()
            .map(|step| step.subject.step.as_str())
            .collect();
        assert_eq!(
            opened.iter().filter(|step| **step == "open").count(),
            1,
            "{owner}: {opened:?}"
        );
        assert!(!opened.contains(&"resolved"), "{owner}: {opened:?}");
    }
    assert_scan(&sandbox, &expected).await;
    assert_recovery(&bus, &sandbox).await;
    watcher.stop().await;
    sandbox.remove().await;
}

/// One look finds the same as watching.
async fn assert_scan(sandbox: &Sandbox, expected: &BTreeMap<String, Class>) {
    let watch = vec![sandbox.namespace.clone()];
    let namespaces = Namespaces {
        watch,
        exclude: Vec::new(),
    };
    let thresholds = Config::default().thresholds();
    equal("the class of each finding", expected, async || {
        let now = Timestamp::now();
        let scan = scan(&sandbox.client, "test", &namespaces, &thresholds, now)
            .await
            .unwrap();
        let class = |found: &Detected| {
            let owner = found.incident.clone().unwrap().root_owner.unwrap();
            (owner.name, found.failure_class())
        };
        scan.findings.iter().map(class).collect()
    })
    .await;
}

/// Mended workloads are resolved as recovered, deleted ones as gone.
async fn assert_recovery(bus: &TestBus, sandbox: &Sandbox) {
    let deployments: Api<Deployment> = Api::namespaced(sandbox.client.clone(), &sandbox.namespace);
    let good = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "app", "args": ["serve", "--port", "8080"]}]}}}});
    deployments
        .patch("crash", &PatchParams::default(), &Patch::Strategic(&good))
        .await
        .unwrap();
    deployments
        .delete("eater", &kube::api::DeleteParams::background())
        .await
        .unwrap();
    for (name, reason) in [
        ("crash", ResolvedReason::Recovered),
        ("eater", ResolvedReason::Gone),
    ] {
        bus.await_step(&sandbox.namespace, name, "1/resolved").await;
        let steps = bus.steps(&sandbox.namespace).await;
        let last = by_owner(&steps)[name].last().unwrap().message.clone();
        assert_eq!(last.resolved_reason(), reason, "{name}");
    }
}

#[tokio::test]
async fn a_crash_loop_with_ready_pauses_is_not_called_recovered() {
    let (bus, sandbox) = (TestBus::start().await, Sandbox::new().await);
    let config = Config {
        stability_window: Duration::from_secs(2),
        ..config(sandbox.kubeconfig.clone(), &sandbox.namespace)
    };
    let watcher = bus.watcher(config).await;
    sandbox
        .create(&simple("pauses", &["crash", "--after", "6"], &json!({})))
        .await;
    bus.await_step(&sandbox.namespace, "pauses", "1/open").await;
    eventually("two more crashes", async || {
        let pods = sandbox
            .pods()
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        let status = pods.items[0].status.clone()?;
        (status.container_statuses?[0].restart_count >= 4).then_some(())
    })
    .await;
    assert_eq!(bus.steps_of(&sandbox.namespace, "pauses").await, ["1/open"]);
    watcher.stop().await;
    sandbox.remove().await;
}
