//! With no more rights than needed, or fewer.

use bonesetter_proto::v1::FailureClass;
use jiff::Timestamp;
use svc_watcher::{Config, Namespaces, Sharding, kubernetes, scan};

use crate::bus::{TestBus, config};
use crate::cluster::Sandbox;

/// Every right that svc-watcher needs, in the namespaces that it watches.
const RIGHTS: [(&str, &str); 5] = [
    ("", "pods"),
    ("", "events"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("batch", "jobs"),
];

#[tokio::test]
async fn list_and_watch_in_the_watched_namespace_suffice() {
    let (bus, sandbox) = (TestBus::start().await, Sandbox::new().await);
    let kubeconfig = sandbox.restricted(&RIGHTS).await;
    sandbox.create_failed("one").await;
    let watcher = bus.watcher(config(kubeconfig, &sandbox.namespace)).await;
    bus.await_step(&sandbox.namespace, "one", "1/open").await;
    assert!(
        watcher
            .metrics
            .encode()
            .unwrap()
            .contains("watcher_refused_lists 0")
    );
    watcher.stop().await;
    sandbox.remove().await;
}

#[tokio::test]
async fn a_kind_that_may_not_be_watched_is_named_and_the_rest_works() {
    let (bus, sandbox) = (TestBus::start().await, Sandbox::new().await);
    let without_jobs = &RIGHTS[..4];
    let kubeconfig = sandbox.restricted(without_jobs).await;
    sandbox.create_failed("one").await;
    let watcher = bus
        .watcher(config(kubeconfig.clone(), &sandbox.namespace))
        .await;
    watcher.ready().await;
    bus.await_step(&sandbox.namespace, "one", "1/open").await;
    assert!(
        watcher
            .metrics
            .encode()
            .unwrap()
            .contains("watcher_refused_lists 1")
    );
    watcher.stop().await;

    let client = kubernetes::connect(Some(&kubeconfig)).await.unwrap();
    let watch = vec![sandbox.namespace.clone()];
    let namespaces = Namespaces {
        watch,
        exclude: Vec::new(),
    };
    let thresholds = Config::default().thresholds();
    let now = Timestamp::now();
    let found = scan(&client, "test", &namespaces, &thresholds, now)
        .await
        .unwrap();
    assert_eq!(found.not_watched, [format!("Job in {}", sandbox.namespace)]);
    let [finding] = &found.findings[..] else {
        panic!("{:?}", found.findings)
    };
    assert_eq!(finding.failure_class(), FailureClass::OomKilled);
    let stored = &bus.steps(&sandbox.namespace).await[0].message;
    assert_eq!(
        finding.incident.as_ref().unwrap().id,
        stored.incident.as_ref().unwrap().id
    );
    assert_eq!(finding.symptoms, stored.symptoms);
    sandbox.remove().await;
}

#[tokio::test]
async fn without_the_right_to_leases_nothing_is_held_and_the_rest_goes_on() {
    let (bus, sandbox) = (TestBus::start().await, Sandbox::new().await);
    let kubeconfig = sandbox.restricted(&RIGHTS).await;
    let sharded = Config {
        sharding: Sharding { shards: 2 },
        ..config(kubeconfig, &sandbox.namespace)
    };
    sandbox.create_failed("one").await;
    let refused = bus.watcher(sharded.clone()).await;
    let allowed = Config {
        kubeconfig: Some(sandbox.kubeconfig_at("allowed", None)),
        ..sharded
    };
    let allowed = bus.watcher(allowed).await;
    bus.await_step(&sandbox.namespace, "one", "1/open").await;
    assert_eq!(refused.readiness.missing(), ["leases"]);
    let held = "watcher_shards_held 0";
    assert!(refused.metrics.encode().unwrap().contains(held));
    refused.stop().await;
    allowed.stop().await;
    sandbox.remove().await;
}
