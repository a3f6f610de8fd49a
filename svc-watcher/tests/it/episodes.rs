//! Incidents over restarts, replicas and outages.

use std::time::Duration;

use bonesetter_proto::Message as _;
use bonesetter_proto::v1::{FailureClass, Phase, ResolvedReason};
use bytes::Bytes;
use jiff::Timestamp;
use svc_watcher::detect::Finding;
use svc_watcher::episode::{Effect, Memory, Observation, Presence, Windows, next};
use svc_watcher::facts::Object;
use svc_watcher::{Config, Namespaces};

use crate::bus::{TestBus, config};
use crate::cluster::{Sandbox, at_work};

#[tokio::test]
async fn two_replicas_and_restarts_make_one_incident() {
    let (bus, sandbox) = (TestBus::start().await, Sandbox::new().await);
    let namespace = sandbox.namespace.clone();
    let config = config(sandbox.kubeconfig.clone(), &namespace);
    let first = bus.watcher(config.clone()).await;
    let second = bus.watcher(config.clone()).await;
    sandbox.create_failed("one").await;
    bus.await_step(&namespace, "one", "1/open").await;
    first.kill().await;
    sandbox.create_failed("two").await;
    bus.await_step(&namespace, "two", "1/open").await;
    second.kill().await;
    sandbox.delete_puppet("one").await;
    sandbox.create_failed("three").await;
    let third = bus.watcher(config).await;
    bus.await_step(&namespace, "one", "1/resolved").await;
    bus.await_step(&namespace, "three", "1/open").await;
    assert_eq!(
        bus.steps_of(&namespace, "one").await,
        ["1/open", "1/resolved"]
    );
    assert_eq!(bus.steps_of(&namespace, "two").await, ["1/open"]);
    third.stop().await;

    let steps = bus.steps(&namespace).await;
    let opened = &steps[0].message;
    assert_eq!(
        (opened.phase(), opened.failure_class()),
        (Phase::Open, FailureClass::OomKilled)
    );
    assert_eq!(
        (opened.failing_objects, opened.symptoms[0].exit_code),
        (1, Some(137))
    );
    assert_eq!(
        opened.envelope().unwrap().subject,
        steps[0].subject.to_string()
    );
    let gone = steps
        .iter()
        .find(|step| step.subject.step == "resolved")
        .unwrap();
    assert_eq!(gone.message.resolved_reason(), ResolvedReason::Gone);
    assert_eq!(gone.subject.incident, steps[0].subject.incident);
    sandbox.remove().await;
}

#[tokio::test]
async fn a_recovery_is_told_and_the_cooldown_survives_a_restart() {
    let (bus, sandbox) = (TestBus::start().await, Sandbox::new().await);
    let namespace = sandbox.namespace.clone();
    let config = config(sandbox.kubeconfig.clone(), &namespace);
    sandbox.create_failed("one").await;
    let watcher = bus.watcher(config.clone()).await;
    bus.await_step(&namespace, "one", "1/open").await;
    sandbox.set_status("one", &at_work()).await;
    bus.await_step(&namespace, "one", "1/resolved").await;
    let resolved = bus.steps(&namespace).await.pop().unwrap().message;
    assert_eq!(resolved.resolved_reason(), ResolvedReason::Recovered);
    watcher.stop().await;

    sandbox
        .set_status("one", &crate::cluster::out_of_memory())
        .await;
    let watcher = bus.watcher(config.clone()).await;
    sandbox.create_failed("later").await;
    bus.await_step(&namespace, "later", "1/open").await;
    assert_eq!(
        bus.steps_of(&namespace, "one").await,
        ["1/open", "1/resolved"]
    );
    watcher.stop().await;

    let watcher = bus
        .watcher(Config {
            cooldown: Duration::ZERO,
            ..config
        })
        .await;
    bus.await_step(&namespace, "one", "2/open").await;
    watcher.stop().await;
    sandbox.remove().await;
}

#[tokio::test]
async fn what_was_decided_before_a_crash_is_published_after_it() {
    let (bus, sandbox) = (TestBus::start().await, Sandbox::new().await);
    sandbox.create_failed("one").await;
    let uid = sandbox
        .pods()
        .get("one")
        .await
        .unwrap()
        .metadata
        .uid
        .unwrap();
    // The record of a watcher that was killed between storing and publishing.
    let owner = Object {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: sandbox.namespace.clone(),
        name: "one".to_owned(),
        uid: uid.clone(),
    };
    let finding = Finding {
        object: owner.clone(),
        container: "app".to_owned(),
        is_init: false,
        class: FailureClass::CrashLoopBackOff,
        exit_code: Some(1),
        signal: None,
        restarts: 5,
        since: None,
        is_ending: true,
    };
    let observed = Observation {
        owner: &owner,
        presence: Presence::Present,
        findings: std::slice::from_ref(&finding),
        is_healthy: false,
    };
    let zero = jiff::SignedDuration::ZERO;
    let windows = Windows {
        settle: zero,
        stability: zero,
        cooldown: zero,
    };
    let now = Timestamp::UNIX_EPOCH;
    let effect = next(
        "test",
        None,
        &mut Memory::default(),
        &observed,
        now,
        &windows,
    );
    let Effect::Store(record) = effect else {
        panic!("{effect:?}")
    };
    let value = Bytes::from(record.to_bytes().unwrap());
    bus.episodes()
        .await
        .create(&format!("test.{uid}"), value)
        .await
        .unwrap();

    let watcher = bus
        .watcher(config(sandbox.kubeconfig.clone(), &sandbox.namespace))
        .await;
    bus.await_step(&sandbox.namespace, "one", "1/reclassified-1")
        .await;
    let steps = bus.steps_of(&sandbox.namespace, "one").await;
    assert_eq!(steps, ["1/open", "1/reclassified-1"]);
    let opened = &bus.steps(&sandbox.namespace).await[0].message;
    assert_eq!(opened.failure_class(), FailureClass::CrashLoopBackOff);
    watcher.stop().await;
    sandbox.remove().await;
}

#[tokio::test]
async fn nothing_is_lost_while_the_bus_is_away() {
    let (mut bus, sandbox) = (TestBus::start().await, Sandbox::new().await);
    let watcher = bus
        .watcher(config(sandbox.kubeconfig.clone(), &sandbox.namespace))
        .await;
    watcher.ready().await;
    bus.shared.server.kill();
    sandbox.create_failed("one").await;
    crate::cluster::eventually("a round that fails", async || {
        let text = watcher.metrics.encode().unwrap();
        (!text.contains("watcher_failed_rounds_total 0")).then_some(())
    })
    .await;
    bus.shared.server.restart().await.unwrap();
    bus.await_step(&sandbox.namespace, "one", "1/open").await;
    watcher.stop().await;
    sandbox.remove().await;
}

#[tokio::test]
async fn a_garbled_record_stops_nobody_else() {
    let (bus, sandbox) = (TestBus::start().await, Sandbox::new().await);
    sandbox.create_failed("garbled").await;
    let uid = sandbox
        .pods()
        .get("garbled")
        .await
        .unwrap()
        .metadata
        .uid
        .unwrap();
    let garbage = Bytes::from_static(b"{\"owner\":");
    bus.episodes()
        .await
        .create(&format!("test.{uid}"), garbage)
        .await
        .unwrap();
    sandbox.create_failed("sound").await;
    let watcher = bus
        .watcher(config(sandbox.kubeconfig.clone(), &sandbox.namespace))
        .await;
    bus.await_step(&sandbox.namespace, "sound", "1/open").await;
    assert_eq!(
        bus.steps_of(&sandbox.namespace, "garbled").await,
        Vec::<String>::new()
    );
    watcher.stop().await;
    sandbox.remove().await;
}

#[tokio::test]
async fn excluded_namespaces_raise_nothing_and_exclusion_wins() {
    let (bus, watched, excluded) = (
        TestBus::start().await,
        Sandbox::new().await,
        Sandbox::new().await,
    );
    excluded.create_failed("one").await;
    watched.create_failed("one").await;
    let all = Namespaces {
        watch: Vec::new(),
        exclude: vec![excluded.namespace.clone()],
    };
    let config = Config {
        namespaces: all,
        ..config(watched.kubeconfig.clone(), "")
    };
    let watcher = bus.watcher(config).await;
    bus.await_step(&watched.namespace, "one", "1/open").await;
    assert!(bus.steps(&excluded.namespace).await.is_empty());
    watcher.stop().await;
    watched.remove().await;
    excluded.remove().await;
}
