//! Remedies that every gate allows and that do not help: taken back exactly, and people are told.

use std::path::Path;
use std::time::Duration;

use bonesetter::timeline::{Body, Follower};
use bonesetter_demo::cluster::wait_until;
use bonesetter_demo::environment::Environment;
use bonesetter_demo::receiver::Receiver;
use bonesetter_demo::run::programs;
use bonesetter_demo::scenario::AUTO_NAMESPACE;
use bonesetter_demo::services::Services;
use bonesetter_proto::v1::Step;
use bonesetter_testbed::{State, identity};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Takes what it gets: any limit that a remedy may set is still too low.
const LEAK: &str = include_str!("leak.yaml");
/// Three documents: a `ConfigMap`, a revision that needs it, and a bad revision that does not.
const LEDGER: &str = include_str!("ledger-service.yaml");

const LIMIT: Duration = Duration::from_mins(3);
const STEPS: [Step; 3] = [Step::Intended, Step::Applied, Step::RolledBack];

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_help_is_taken_back_exactly_and_told() {
    let _node = crate::NODE.lock().await;
    let state = State::load().expect("a testbed");
    let keys = identity::keys(&state.dir).expect("the testbed's keys");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let environment = Environment::prepare(state, keys, &sources)
        .await
        .expect("prepared");
    let shutdown = CancellationToken::new();
    let _stop = shutdown.clone().drop_guard();
    let receiver = Receiver::start(shutdown.clone()).await.expect("a receiver");
    let services = start(&environment, &receiver).await;
    let bus = environment.connect("operator").await.expect("a bus");
    let mut follower = Follower::from_now(&bus).await.expect("streams");
    let mut seen = Vec::new();

    let before = break_workloads(&environment).await;
    for workload in ["leak", "ledger"] {
        let steps = tokio::time::timeout(LIMIT, steps(&mut follower, &mut seen, workload)).await;
        assert_eq!(
            steps.ok().as_deref(),
            Some(&STEPS[..]),
            "{workload}: {seen:?}"
        );
    }
    // The very same template as before, not just another working one.
    assert_eq!(specs(&environment).await, before);
    let limit = environment
        .cluster
        .memory_limit(AUTO_NAMESPACE, "leak")
        .await;
    assert_eq!(limit.expect("a limit"), "32Mi");
    was_told(&receiver).await;
    clean_up(&environment, &receiver).await;
    bus.close().await;
    let problems = services.stop().await;
    assert!(problems.is_empty(), "{problems:?}");
}

/// The services of the demo, with less patience for a change.
async fn start(environment: &Environment, receiver: &Receiver) -> Services {
    let mut specs = environment.specs(&receiver.url("")).expect("specs");
    let actuator = specs.iter_mut().find(|spec| spec.program == "svc-actuator");
    let verification = json!({"window": "10s", "deadline": "30s"});
    let config = &mut actuator.expect("svc-actuator").config;
    config.insert("verification".to_owned(), verification);
    Services::start(
        specs,
        &programs().expect("programs"),
        &environment.dir,
        None,
    )
    .await
    .expect("seven services")
}

/// Breaks both, and returns what they are then.
async fn break_workloads(environment: &Environment) -> [DeploymentSpec; 2] {
    let cluster = &environment.cluster;
    let (good, bad) = LEDGER.rsplit_once("\n---\n").expect("several documents");
    for text in [good, LEAK] {
        cluster
            .apply(text, Some(AUTO_NAMESPACE))
            .await
            .expect("applied");
    }
    cluster
        .wait_available(AUTO_NAMESPACE, "ledger")
        .await
        .expect("a revision that ran");
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), AUTO_NAMESPACE);
    maps.delete("ledger", &DeleteParams::default())
        .await
        .expect("deleted");
    cluster
        .apply(bad, Some(AUTO_NAMESPACE))
        .await
        .expect("applied");
    specs(environment).await
}

async fn specs(environment: &Environment) -> [DeploymentSpec; 2] {
    let api: Api<Deployment> = Api::namespaced(environment.cluster.client(), AUTO_NAMESPACE);
    let spec = async |name| api.get(name).await.expect("there").spec.expect("a spec");
    [spec("leak").await, spec("ledger").await]
}

/// What was done to a workload, once that is over. What others see meanwhile is kept.
async fn steps(
    follower: &mut Follower,
    seen: &mut Vec<(String, Step)>,
    workload: &str,
) -> Vec<Step> {
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        ticks.tick().await;
        for step in follower.poll().await.expect("read").steps {
            let Body::Acted(acted) = &step.body else {
                continue;
            };
            let owner = acted
                .incident
                .as_ref()
                .and_then(|it| it.root_owner.as_ref());
            seen.push((owner.expect("an owner").name.clone(), acted.step()));
        }
        // A later diagnosis of the same incident is only shown.
        let own = seen
            .iter()
            .filter(|(name, step)| name == workload && *step != Step::Proposed);
        let steps: Vec<Step> = own.map(|(_, step)| *step).collect();
        if steps.len() >= STEPS.len() {
            return steps;
        }
    }
}

/// Both channels say that it was applied, and then that it was taken back.
async fn was_told(receiver: &Receiver) {
    let kinds = |workload: &str| -> Vec<String> {
        let own = bodies(receiver, "/webhook").into_iter().filter(|body| {
            body["incident"]["name"] == workload && body["incident"]["namespace"] == AUTO_NAMESPACE
        });
        let told = own
            .filter(|body| body["resolution"].is_null() && body["decision"]["step"] != "proposed");
        told.map(|body| body["kind"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    for workload in ["leak", "ledger"] {
        wait_until(LIMIT, &format!("{workload} is told"), async || {
            Ok(kinds(workload) == ["applied", "rolled-back"])
        })
        .await
        .expect("told");
        let title = format!("Taken back: Deployment {AUTO_NAMESPACE}/{workload}");
        wait_until(LIMIT, &title, async || {
            Ok(bodies(receiver, "/slack")
                .iter()
                .any(|body| body["text"] == title.as_str()))
        })
        .await
        .expect("told in Slack");
    }
}

/// Nothing is left over for whoever runs next; that the workloads are gone is told, too.
async fn clean_up(environment: &Environment, receiver: &Receiver) {
    let api: Api<Deployment> = Api::namespaced(environment.cluster.client(), AUTO_NAMESPACE);
    for workload in ["leak", "ledger"] {
        api.delete(workload, &DeleteParams::default())
            .await
            .expect("deleted");
        let title = format!("Resolved: Deployment {AUTO_NAMESPACE}/{workload}");
        wait_until(LIMIT, &title, async || {
            Ok(bodies(receiver, "/slack")
                .iter()
                .any(|body| body["text"] == title.as_str()))
        })
        .await
        .expect("told that it is gone");
    }
}

fn bodies(receiver: &Receiver, path: &str) -> Vec<Value> {
    let received = receiver.received(path);
    let bodies = received
        .iter()
        .map(|request| serde_json::from_slice(&request.body));
    bodies.map(|body| body.expect("JSON")).collect()
}
