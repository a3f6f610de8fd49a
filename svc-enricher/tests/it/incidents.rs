use bonesetter_chassis::target::template_digest;
use bonesetter_keys::DigestKey;
use bonesetter_proto::v1::FailureClass;
use bonesetter_proto::v1::evidence_item::Content;
use serde_json::json;

use crate::cluster::{
    Sandbox, container, deployment, detected, is_in_phase, is_ready, is_waiting, pod,
};
use crate::reading::{content, has_event, ids, log, note};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_rollout_shows_what_changed_and_the_last_words() {
    let sandbox = Sandbox::new().await;
    let root = sandbox
        .create(&deployment("orders", &["serve", "--port", "8080"]))
        .await;
    sandbox.await_pod("the first revision", is_ready).await;
    let bad = ["check-config", "--set", "pool_size=many", "pool_size=int"];
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "args": bad,
        "env": [{"name": "LOG_LEVEL", "value": "debug"}]}]}}}});
    sandbox.patch(&root, patch).await;
    let failing = sandbox
        .await_pod("a crash loop", |pod| is_waiting(pod, "CrashLoopBackOff"))
        .await;

    let detected = detected(&root, &[&failing], FailureClass::CrashLoopBackOff);
    let evidence = sandbox.collect(&detected).await;

    let last_words = log(&evidence, &format!("log/{}/app/previous", failing.name));
    let last = last_words.lines.last().unwrap();
    assert!(
        last.text.contains("pool_size") && last.at.is_some(),
        "{last:?}"
    );
    let Content::Change(change) = content(&evidence, "change/Deployment/orders") else {
        panic!()
    };
    assert_eq!((change.from_revision, change.to_revision), (1, 2));
    assert!(change.from_revision_was_healthy);
    let paths: Vec<_> = change
        .changes
        .iter()
        .map(|change| change.path.as_str())
        .collect();
    assert_eq!(
        paths,
        ["/spec/containers/0/args", "/spec/containers/0/env/0"]
    );
    assert!(has_event(&evidence, "BackOff") && has_event(&evidence, "ScalingReplicaSet"));
    let kinds = |prefix: &str| {
        ids(&evidence)
            .iter()
            .filter(|id| id.starts_with(prefix))
            .count()
    };
    assert_eq!(kinds("object/Deployment/"), 1);
    assert_eq!(kinds("object/ReplicaSet/"), 2);
    assert_eq!(
        kinds("object/Pod/"),
        1,
        "the healthy pod is not shown: {:?}",
        ids(&evidence)
    );
    assert_eq!(kinds("node/"), 1);
    assert!(note(&evidence, "note/loki").contains("no Loki"));

    let live = sandbox.get(&root).await;
    let target = evidence.target.unwrap();
    let digest = template_digest(&DigestKey::from_bytes(&[7; 32]), &live["spec"]["template"]);
    assert_eq!((target.template_digest, target.revision), (digest, 2));
    assert_eq!(target.object.unwrap().uid, root.uid);
    let tools: Vec<_> = evidence
        .queries
        .iter()
        .map(|query| query.tool.as_str())
        .collect();
    for tool in [
        "kubernetes.get_deployment",
        "kubernetes.list_pods",
        "kubernetes.list_events",
        "kubernetes.pod_log",
    ] {
        assert!(tools.contains(&tool), "{tools:?}");
    }
    sandbox.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_megabytes_is_cut_and_init_containers_are_read() {
    let sandbox = Sandbox::new().await;
    let mut object = pod(
        "long",
        &[
            "log",
            "--long-line",
            "3000000",
            "--then",
            "crash",
            "--message",
            "no such key",
        ],
    );
    object["spec"]["initContainers"] =
        json!([container("prepare", &["log", "--line", "prepared"])]);
    let root = sandbox.create(&object).await;
    sandbox
        .await_pod("its end", |pod| is_in_phase(pod, "Failed"))
        .await;
    let detected = detected(&root, &[&root], FailureClass::Failed);
    let evidence = sandbox.collect(&detected).await;
    let chunk = log(&evidence, "log/long/app/current");
    let long = chunk
        .lines
        .iter()
        .find(|line| line.cut)
        .expect("a line that was cut");
    assert!(long.text.len() < 4200);
    assert!(
        chunk.lines.last().unwrap().text.contains("no such key"),
        "{:?}",
        chunk.lines.last()
    );
    let prepare = log(&evidence, "log/long/prepare/current");
    assert!(prepare.init_container && prepare.lines[0].text.ends_with("prepared"));
    assert_eq!(evidence.target, None);
    sandbox.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_shows_its_pods() {
    let sandbox = Sandbox::new().await;
    let root = sandbox
        .create(&json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"},
            "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never",
                "containers": [container("app", &["crash", "--message", "relation exists already"])]}}}}))
        .await;
    let failed = sandbox
        .await_pod("its end", |pod| is_in_phase(pod, "Failed"))
        .await;
    let detected = detected(&root, &[], FailureClass::JobFailed);
    let evidence = sandbox.collect(&detected).await;
    let chunk = log(&evidence, &format!("log/{}/app/current", failed.name));
    assert!(
        chunk
            .lines
            .last()
            .unwrap()
            .text
            .contains("relation exists already")
    );
    assert_eq!(
        evidence
            .target
            .as_ref()
            .unwrap()
            .object
            .as_ref()
            .unwrap()
            .kind,
        "Job"
    );
    sandbox.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_fits_nowhere_shows_all_nodes() {
    let sandbox = Sandbox::new().await;
    let mut object = pod("huge", &["serve", "--port", "8080"]);
    object["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1000"}});
    let root = sandbox.create(&object).await;
    sandbox
        .await_pod("the scheduler's refusal", |pod| {
            pod.pointer("/status/conditions/0/reason")
                .is_some_and(|reason| reason == "Unschedulable")
        })
        .await;
    let detected = detected(&root, &[&root], FailureClass::Unschedulable);
    let evidence = sandbox.collect(&detected).await;
    let node = ids(&evidence)
        .into_iter()
        .find(|id| id.starts_with("node/"))
        .expect("a node");
    let Content::Node(node) = content(&evidence, node) else {
        panic!()
    };
    assert!(node.allocatable.contains_key("cpu") && !node.conditions.is_empty());
    assert!(has_event(&evidence, "FailedScheduling"));
    sandbox.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_gone_is_a_note() {
    let sandbox = Sandbox::new().await;
    let root = sandbox
        .create(&pod("brief", &["exit", "--code", "3"]))
        .await;
    sandbox
        .await_pod("its end", |pod| is_in_phase(pod, "Failed"))
        .await;
    sandbox.delete(&root).await;
    let detected = detected(&root, &[&root], FailureClass::Failed);
    let evidence = sandbox.collect(&detected).await;
    assert!(note(&evidence, "note/kubernetes").contains("does not exist"));
    assert!(
        has_event(&evidence, "Started"),
        "events outlive their object: {:?}",
        ids(&evidence)
    );
    sandbox.remove().await;
}
