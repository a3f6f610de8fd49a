//! Replicas that divide the namespaces among them, come, go, die, and are cut off.

use std::time::Duration;

use bonesetter_testbed::fault::{Link, Proxy};
use k8s_openapi::api::coordination::v1::LeaseSpec;

use crate::cluster::{at_work, eventually, out_of_memory};
use crate::replica::{Reach, SHARDS, Scene};

/// Waits until every Lease has been renewed three times, and returns how often they changed hands.
async fn transitions_after_renewals(scene: &Scene) -> Vec<i32> {
    let mut transitions = Vec::new();
    for shard in 0..SHARDS {
        let mut last = scene.lease(shard).await;
        for _ in 0..3 {
            last = eventually("a renewal", async || {
                let now = scene.lease(shard).await;
                (now.renew_time != last.renew_time).then_some(now)
            })
            .await;
        }
        transitions.push(last.lease_transitions.unwrap_or(0));
    }
    transitions
}

/// How long nobody held a Lease, by its own account, in milliseconds.
fn gap(before: &LeaseSpec, after: &LeaseSpec) -> i64 {
    let (renewed, acquired) = (before.renew_time.as_ref(), after.acquire_time.as_ref());
    let gap = acquired.unwrap().0.duration_since(renewed.unwrap().0);
    i64::try_from(gap.as_millis()).unwrap()
}

#[tokio::test]
async fn what_a_killed_replica_held_is_taken_over_and_nothing_is_lost_or_told_twice() {
    let scene = Scene::new().await;
    let mut first = scene.replica("first", Reach::default());
    let first_name = scene.all_are_of(&first).await;
    let second = scene.replica("second", Reach::default());
    let lost = scene.is_shared([&first, &second]).await;
    let before = transitions_after_renewals(&scene).await;
    assert_eq!(
        transitions_after_renewals(&scene).await,
        before,
        "they move to and fro"
    );
    for sandbox in &scene.watched {
        sandbox.create_failed("early").await;
        let namespace = &sandbox.namespace;
        scene.bus.await_step(namespace, "early", "1/open").await;
    }

    first.server.kill();
    let last = scene.lease(lost).await;
    assert_eq!(last.holder_identity.as_deref(), Some(first_name.as_str()));
    // While nobody looks.
    for sandbox in &scene.watched {
        sandbox.create_failed("gap").await;
    }
    let orphaned = scene.of_shard(lost);
    orphaned.delete_puppet("early").await;
    let second_name = scene.all_are_of(&second).await;
    assert_ne!(second_name, first_name);
    let gap = gap(&last, &scene.lease(lost).await);
    println!("taken over {gap} ms after the last renewal");
    let duration = i64::from(last.lease_duration_seconds.unwrap()) * 1000;
    assert!(
        gap >= duration,
        "taken {gap} ms after a renewal, which holds for {duration} ms"
    );
    let namespace = &orphaned.namespace;
    scene.bus.await_step(namespace, "early", "1/resolved").await;
    for sandbox in &scene.watched {
        let namespace = &sandbox.namespace;
        scene.bus.await_step(namespace, "gap", "1/open").await;
        let steps = scene.bus.steps_of(namespace, "gap").await;
        assert_eq!(steps, ["1/open"]);
    }
    let steps = scene.bus.steps_of(namespace, "early").await;
    assert_eq!(steps, ["1/open", "1/resolved"]);
    let takeovers = "bonesetter_watcher_takeovers_total";
    assert_eq!(second.metric(takeovers).await, "1");

    // One that is asked to end gives back what it holds.
    let third = scene.replica("third", Reach::default());
    let given = scene.is_shared([&third, &second]).await;
    let third_name = scene.holders().await[given as usize].clone();
    third.stop().await;
    assert_ne!(scene.holders().await[given as usize], third_name);
    scene.all_are_of(&second).await;
    assert_eq!(second.metric(takeovers).await, "1");
    let sandbox = scene.of_shard(given);
    sandbox.create_failed("late").await;
    let namespace = &sandbox.namespace;
    scene.bus.await_step(namespace, "late", "1/open").await;
    second.stop().await;
    assert_eq!(scene.holders().await, ["", ""]);
    scene.remove().await;
}

#[tokio::test]
async fn one_that_is_cut_off_from_the_api_server_stops_before_another_begins() {
    let scene = Scene::new().await;
    let proxy = Proxy::start(scene.system.api_server()).await.unwrap();
    let api = Some(proxy.address());
    let cut = scene.replica("cut", Reach { api, nats: None });
    let cut_name = scene.all_are_of(&cut).await;
    let other = scene.replica("other", Reach::default());
    let shard = scene.is_shared([&cut, &other]).await;
    let sandbox = scene.of_shard(shard);
    let namespace = &sandbox.namespace;
    sandbox.create_failed("one").await;
    scene.bus.await_step(namespace, "one", "1/open").await;
    // Whoever has seen the second of these has seen that `one` works again.
    sandbox.set_status("one", &at_work()).await;
    sandbox.create_failed("canary").await;
    scene.bus.await_step(namespace, "canary", "1/open").await;

    proxy.set(Link::Stalled);
    sandbox.set_status("one", &out_of_memory()).await;
    sandbox.create_failed("gap").await;
    scene.bus.await_step(namespace, "gap", "1/open").await;
    let lease = scene.lease(shard).await;
    assert_ne!(lease.holder_identity.as_deref(), Some(cut_name.as_str()));
    assert_eq!(cut.shards().await, "none of 2");
    let (stopped, taken) = (cut.said("none of 2"), lease.acquire_time.unwrap().0);
    assert!(stopped < taken, "stopped at {stopped}, taken at {taken}");
    println!(
        "stopped {} before another began",
        taken.duration_since(stopped)
    );

    // Had it not, it would have told by now that `one` has recovered, as far as it knows.
    sandbox.set_status("one", &at_work()).await;
    let recovered = jiff::Timestamp::now();
    scene.bus.await_step(namespace, "one", "1/resolved").await;
    let steps = scene.bus.steps(namespace).await;
    let resolved = steps
        .iter()
        .find(|it| it.subject.step == "resolved")
        .unwrap();
    let told = resolved.message.resolved_at.as_ref().unwrap().seconds;
    assert!(
        told >= recovered.as_second(),
        "told at {told}, at work since {recovered}"
    );
    let steps = scene.bus.steps_of(namespace, "one").await;
    assert_eq!(steps, ["1/open", "1/resolved"]);

    proxy.set(Link::Open);
    scene.is_shared([&cut, &other]).await;
    for sandbox in &scene.watched {
        sandbox.create_failed("after").await;
        let namespace = &sandbox.namespace;
        scene.bus.await_step(namespace, "after", "1/open").await;
        let steps = scene.bus.steps_of(namespace, "after").await;
        assert_eq!(steps, ["1/open"]);
    }
    let steps = scene.bus.steps_of(namespace, "gap").await;
    assert_eq!(steps, ["1/open"]);
    cut.stop().await;
    other.stop().await;
    scene.remove().await;
}

#[tokio::test]
async fn one_that_cannot_reach_the_bus_leaves_its_shards_to_others() {
    let scene = Scene::new().await;
    let proxy = Proxy::start(scene.bus.address()).await.unwrap();
    let nats = Some(proxy.address());
    let cut = scene.replica("cut", Reach { api: None, nats });
    scene.all_are_of(&cut).await;
    let other = scene.replica("other", Reach::default());
    let shard = scene.is_shared([&cut, &other]).await;
    let sandbox = scene.of_shard(shard);
    let namespace = &sandbox.namespace;

    proxy.set(Link::Stalled);
    // It sees this, decides that it is to be told, and waits for the bus.
    sandbox.create_failed("one").await;
    scene.bus.await_step(namespace, "one", "1/open").await;
    scene.all_are_of(&other).await;
    proxy.set(Link::Open);
    scene.is_shared([&cut, &other]).await;
    for sandbox in &scene.watched {
        sandbox.create_failed("after").await;
        let namespace = &sandbox.namespace;
        scene.bus.await_step(namespace, "after", "1/open").await;
    }
    let steps = scene.bus.steps_of(namespace, "one").await;
    assert_eq!(steps, ["1/open"]);
    cut.stop().await;
    other.stop().await;
    scene.remove().await;
}

#[tokio::test]
async fn shards_are_kept_while_very_many_episodes_are_read() {
    const RECORDS: u64 = 20_000;
    let scene = Scene::new().await;
    let namespace = &scene.of_shard(0).namespace;
    scene.bus.remember_ended(namespace, RECORDS).await;
    let proxy = Proxy::start(scene.bus.address()).await.unwrap();
    // One after the other, reading takes ten times as long as shards are held without progress.
    proxy.set(Link::Slow(Duration::from_millis(3)));
    let nats = Some(proxy.address());
    let replica = scene.replica("slow", Reach { api: None, nats });
    scene.all_are_of(&replica).await;
    for sandbox in &scene.watched {
        sandbox.create_failed("one").await;
        let namespace = &sandbox.namespace;
        scene.bus.await_step(namespace, "one", "1/open").await;
    }
    let held = replica.held();
    let first = held.iter().position(|shards| shards == "0, 1 of 2");
    assert_eq!(first, Some(held.len() - 1), "{held:?}");
    assert!(replica.read().ends_with(&[RECORDS]), "{:?}", replica.read());
    replica.stop().await;
    scene.remove().await;
}
