//! Objects as API servers and kubelets of Kubernetes 1.36 write them, and what they must and must
//! not raise.

use bonesetter_proto::v1::FailureClass as Class;
use k8s_openapi::api::core::v1::Event;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::facts::{Kind, Workload};
use crate::index::Index;

/// Every case is judged at this time.
const NOW: &str = "2026-11-02T10:00:00Z";

/// A case: what it shows, the objects, and the class of each root owner that fails.
type Case = (&'static str, Vec<Value>, Vec<(&'static str, Class)>);

fn decode<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap()
}

fn index(objects: &[Value]) -> Index {
    let mut index = Index::default();
    for object in objects {
        let facts = match object["kind"].as_str().unwrap() {
            "Pod" => Facts::Pod(Pod::read(&decode(object))),
            "ReplicaSet" => Facts::Workload(Workload::read_replica_set(&decode(object))),
            "Deployment" => Facts::Workload(Workload::read_deployment(&decode(object))),
            "Job" => Facts::Job(Job::read(&decode(object))),
            "Event" => {
                if let Some(kill) = ProbeKill::read(&decode::<Event>(object)) {
                    index.kill(kill);
                }
                continue;
            }
            kind => panic!("{kind}"),
        };
        index.apply(facts);
    }
    index
}

fn judge(index: &Index, uid: &str) -> Assessment {
    let family = index.family(uid);
    let thresholds = Thresholds {
        unschedulable_grace: SignedDuration::from_secs(10),
    };
    assess(
        &family,
        &index.kills_of(&family),
        NOW.parse().unwrap(),
        &thresholds,
    )
}

fn check(cases: Vec<Case>) {
    for (name, objects, expected) in cases {
        let index = index(&objects);
        let mut found = Vec::new();
        for root in index.roots() {
            if let Some(finding) = judge(&index, &root.uid).findings.first() {
                found.push((root.name.clone(), finding.class));
            }
        }
        found.sort();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(root, class)| (root.to_owned(), class))
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

// Objects. The uid is the name; a controller is given as "Kind/name".

fn meta(name: &str, controller: Option<&str>) -> Value {
    let mut meta = json!({"name": name, "namespace": "shop", "uid": name, "generation": 2,
                          "creationTimestamp": "2026-11-02T09:00:00Z"});
    if let Some((kind, owner)) = controller.and_then(|controller| controller.split_once('/')) {
        let version = match kind {
            "Job" | "CronJob" => "batch/v1",
            _ => "apps/v1",
        };
        meta["ownerReferences"] = json!([{"apiVersion": version, "kind": kind, "name": owner,
            "uid": owner, "controller": true, "blockOwnerDeletion": true}]);
    }
    meta
}

fn pod(name: &str, controller: Option<&str>, status: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta(name, controller),
           "spec": {"containers": [{"name": "app", "image": "shop/app:1"}]}, "status": status})
}

/// A pod of a Deployment "web", with a single container in a given state.
fn web_pod(container: &Value) -> Value {
    let ready = container["ready"] == json!(true);
    pod(
        "web-1",
        Some("ReplicaSet/web-a"),
        &running(ready, &[container]),
    )
}

fn running(is_ready: bool, containers: &[&Value]) -> Value {
    let ready = if is_ready { "True" } else { "False" };
    json!({"phase": "Running", "containerStatuses": containers, "conditions": [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-02T09:00:00Z"},
        {"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-02T09:58:00Z"}]})
}

fn container(state: &Value, last: &Value, restarts: u32, ready: bool) -> Value {
    json!({"name": "app", "image": "shop/app:1", "imageID": "", "ready": ready, "started": ready,
           "restartCount": restarts, "state": state, "lastState": last})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

fn up(since: &str) -> Value {
    json!({"running": {"startedAt": format!("2026-11-02T{since}Z")}})
}

fn ended(reason: &str, exit_code: i32, started: &str, finished: &str) -> Value {
    json!({"terminated": {"reason": reason, "exitCode": exit_code, "containerID": "containerd://x",
        "startedAt": format!("2026-11-02T{started}Z"), "finishedAt": format!("2026-11-02T{finished}Z")}})
}

fn start_error(message: &str) -> Value {
    json!({"terminated": {"reason": "StartError", "exitCode": 128, "message": message,
        "containerID": "containerd://x", "startedAt": "1970-01-01T00:00:00Z",
        "finishedAt": "2026-11-02T09:59:40Z"}})
}

const OOM_AT_START: &str = "failed to create containerd task: failed to create shim task: OCI runtime \
    create failed: runc create failed: unable to start container process: container init was \
    OOM-killed (memory limit too low?): unknown";
const NO_EXECUTABLE: &str = "failed to create containerd task: failed to create shim task: OCI runtime \
    create failed: runc create failed: unable to start container process: exec: \"/nope\": stat /nope: \
    no such file or directory: unknown";
const LIMIT_TOO_SMALL: &str = "failed to create containerd task: failed to create shim task: OCI runtime \
    create failed: runc create failed: unable to start container process: error during container init: \
    error setting cgroup config for procHooks process: unable to set memory limit to 1048576 (current \
    usage: 2469888, peak usage: 2539520): unknown";
const BACK_OFF: &str = "back-off 20s restarting failed container=app pod=web-1_shop(web-1)";

fn deployment(desired: u32, updated: u32, available: u32, conditions: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("web", None),
        "spec": {"replicas": desired, "selector": {}, "template": {}},
        "status": {"observedGeneration": 2, "replicas": updated, "updatedReplicas": updated,
            "availableReplicas": available, "conditions": conditions}})
}

fn set(name: &str, desired: u32, available: u32, conditions: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": meta(name, Some("Deployment/web")),
        "spec": {"replicas": desired, "selector": {}},
        "status": {"observedGeneration": 2, "replicas": desired, "availableReplicas": available,
            "conditions": conditions}})
}

fn progressing() -> Value {
    json!([{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
            "lastTransitionTime": "2026-11-02T09:58:00Z"}])
}

fn deadline_exceeded() -> Value {
    json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
            "message": "ReplicaSet \"web-a\" has timed out progressing.",
            "lastTransitionTime": "2026-11-02T09:58:00Z"}])
}

fn replica_failure() -> Value {
    json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
            "message": "pods \"web-a-\" is forbidden: exceeded quota: small",
            "lastTransitionTime": "2026-11-02T09:58:00Z"}])
}

/// A Deployment of one replica that is rolling out, its ReplicaSet and the given pod.
fn rollout(pod: Value) -> Vec<Value> {
    vec![
        deployment(1, 1, 0, &progressing()),
        set("web-a", 1, 0, &json!([])),
        pod,
    ]
}

fn job(name: &str, controller: Option<&str>, status: &Value) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta(name, controller),
        "spec": {"backoffLimit": 2, "template": {}}, "status": status})
}

fn job_condition(type_: &str, reason: &str) -> Value {
    json!([{"type": type_, "status": "True", "reason": reason,
            "lastTransitionTime": "2026-11-02T09:59:00Z"}])
}

fn killing(probe: &str, at: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Event", "reason": "Killing", "type": "Normal", "count": 2,
        "metadata": {"name": "web-1.18", "namespace": "shop", "uid": "e"},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "web-1",
                           "fieldPath": "spec.containers{app}"},
        "message": format!("Container app failed {probe} probe, will be restarted"),
        "lastTimestamp": format!("2026-11-02T{at}Z")})
}

fn none() -> Value {
    json!({})
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
    object
}

fn failed_pod(reason: Option<&str>, exit: &Value) -> Value {
    let mut status = running(false, &[&container(exit, &none(), 0, false)]);
    status["phase"] = json!("Failed");
    status["reason"] = json!(reason);
    status
}

#[test]
fn containers_that_cannot_start() {
    let waits = |reason: &str, message: &str| {
        rollout(web_pod(&container(
            &waiting(reason, message),
            &none(),
            0,
            false,
        )))
    };
    let mut cases: Vec<Case> = Vec::new();
    for reason in [
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
    ] {
        cases.push((reason, waits(reason, ""), vec![("web", Class::ImagePull)]));
    }
    cases.extend([
        (
            "a ConfigMap that does not exist",
            waits(
                "CreateContainerConfigError",
                "configmap \"absent\" not found",
            ),
            vec![("web", Class::CreateContainerConfigError)],
        ),
        (
            "a container that cannot be created",
            waits("CreateContainerError", "context deadline exceeded"),
            vec![("web", Class::CreateContainerError)],
        ),
        (
            "a program that does not exist",
            waits("RunContainerError", NO_EXECUTABLE),
            vec![("web", Class::CreateContainerError)],
        ),
        (
            "a program that does not exist, in back-off",
            rollout(web_pod(&container(
                &waiting("CrashLoopBackOff", BACK_OFF),
                &start_error(NO_EXECUTABLE),
                3,
                false,
            ))),
            vec![("web", Class::CreateContainerError)],
        ),
        (
            "out of memory before the program begins",
            waits("RunContainerError", OOM_AT_START),
            vec![("web", Class::OomKilled)],
        ),
        (
            "out of memory before the program begins, in back-off",
            rollout(web_pod(&container(
                &waiting("CrashLoopBackOff", BACK_OFF),
                &start_error(OOM_AT_START),
                3,
                false,
            ))),
            vec![("web", Class::OomKilled)],
        ),
        (
            "a limit that the start itself exceeds",
            waits("RunContainerError", LIMIT_TOO_SMALL),
            vec![("web", Class::OomKilled)],
        ),
        ("being created", waits("ContainerCreating", ""), vec![]),
        (
            "waiting for init containers",
            waits("PodInitializing", ""),
            vec![],
        ),
    ]);
    check(cases);
}

/// A Deployment whose only container is in the given state.
fn one(state: &Value, last: &Value, restarts: u32, ready: bool) -> Vec<Value> {
    rollout(web_pod(&container(state, last, restarts, ready)))
}

#[test]
fn containers_that_crash() {
    let back_off = waiting("CrashLoopBackOff", BACK_OFF);
    let crash = ended("Error", 1, "09:59:30", "09:59:31");
    let success = ended("Completed", 0, "09:59:30", "09:59:31");
    check(vec![
        (
            "in back-off",
            one(&back_off, &crash, 3, false),
            vec![("web", Class::CrashLoopBackOff)],
        ),
        (
            "in back-off after exits with 0",
            one(
                &back_off,
                &ended("Completed", 0, "09:59:30", "09:59:31"),
                3,
                false,
            ),
            vec![("web", Class::CrashLoopBackOff)],
        ),
        ("crashed once", one(&crash, &none(), 0, false), vec![]),
        (
            "crashed once and started again",
            one(&up("09:59:32"), &crash, 1, false),
            vec![],
        ),
        (
            "crashed again, not said to be in back-off yet",
            one(&crash, &crash, 1, false),
            vec![("web", Class::CrashLoopBackOff)],
        ),
        (
            "exits with 0 again",
            one(&success, &success, 1, false),
            vec![("web", Class::CrashLoopBackOff)],
        ),
        (
            "exits with 0 again, as it should",
            vec![with(
                pod(
                    "alone",
                    None,
                    &running(false, &[&container(&success, &success, 1, false)]),
                ),
                "/spec/restartPolicy",
                json!("OnFailure"),
            )],
            vec![],
        ),
        (
            "up and ready between two crashes",
            one(&up("09:59:59"), &crash, 4, true),
            vec![("web", Class::CrashLoopBackOff)],
        ),
        (
            "outlived its last life",
            one(&up("09:59:50"), &crash, 4, true),
            vec![],
        ),
        (
            "lives five minutes at a time",
            one(
                &up("09:55:00"),
                &ended("Error", 1, "09:49:59", "09:54:59"),
                4,
                true,
            ),
            vec![("web", Class::CrashLoopBackOff)],
        ),
        (
            "crashes once a day",
            one(
                &up("09:59:50"),
                &ended("Error", 1, "01:00:00", "09:59:49"),
                9,
                true,
            ),
            vec![],
        ),
        (
            "not ready for another reason, crashed long ago",
            one(
                &up("01:00:00"),
                &ended("OOMKilled", 137, "00:59:00", "01:00:00"),
                3,
                false,
            ),
            vec![],
        ),
    ]);
}

#[test]
fn containers_that_are_killed_at_their_limit() {
    let oom = ended("OOMKilled", 137, "09:59:30", "09:59:31");
    let back_off = waiting("CrashLoopBackOff", BACK_OFF);
    check(vec![
        (
            "killed at the limit",
            one(&oom, &none(), 0, false),
            vec![("web", Class::OomKilled)],
        ),
        (
            "killed at the limit, in back-off",
            one(&back_off, &oom, 3, false),
            vec![("web", Class::OomKilled)],
        ),
        (
            "killed at the limit, not ready again",
            one(&up("09:59:32"), &oom, 1, false),
            vec![("web", Class::OomKilled)],
        ),
        (
            "killed at the limit once, ready again",
            one(&up("09:59:32"), &oom, 1, true),
            vec![],
        ),
    ]);
}

#[test]
fn kills_by_probes() {
    let back_off = waiting("CrashLoopBackOff", BACK_OFF);
    let killed = ended("Error", 137, "09:59:00", "09:59:31");
    let of = |state: &Value, last: &Value, restarts: u32, ready: bool, event: Value| {
        let mut objects = rollout(web_pod(&container(state, last, restarts, ready)));
        objects.push(event);
        objects
    };
    let liveness = || killing("liveness", "09:59:30");
    check(vec![
        (
            "by liveness",
            of(&back_off, &killed, 3, false, liveness()),
            vec![("web", Class::ProbeKill)],
        ),
        (
            "by liveness, exits with 0",
            of(
                &back_off,
                &ended("Completed", 0, "09:59:00", "09:59:31"),
                3,
                false,
                liveness(),
            ),
            vec![("web", Class::ProbeKill)],
        ),
        (
            "by startup, not up yet",
            of(
                &up("09:59:32"),
                &killed,
                1,
                false,
                killing("startup", "09:59:30"),
            ),
            vec![("web", Class::ProbeKill)],
        ),
        (
            "ready between two kills",
            of(&up("09:59:32"), &killed, 2, true, liveness()),
            vec![("web", Class::ProbeKill)],
        ),
        (
            "once, ready again",
            of(&up("09:59:32"), &killed, 1, true, liveness()),
            vec![],
        ),
        (
            "long ago, and ended by a signal since",
            of(
                &back_off,
                &killed,
                9,
                false,
                killing("liveness", "09:40:00"),
            ),
            vec![("web", Class::ProbeKill)],
        ),
        (
            "long before a crash",
            of(
                &back_off,
                &ended("Error", 1, "09:59:00", "09:59:31"),
                3,
                false,
                killing("liveness", "09:40:00"),
            ),
            vec![("web", Class::CrashLoopBackOff)],
        ),
        (
            "out of memory counts more",
            of(
                &back_off,
                &ended("OOMKilled", 137, "09:59:00", "09:59:31"),
                3,
                false,
                liveness(),
            ),
            vec![("web", Class::OomKilled)],
        ),
        (
            "of another pod",
            of(
                &back_off,
                &killed,
                3,
                false,
                with(liveness(), "/involvedObject/uid", json!("web-0")),
            ),
            vec![("web", Class::CrashLoopBackOff)],
        ),
        (
            "an event alone",
            of(&up("09:00:00"), &none(), 0, true, liveness()),
            vec![],
        ),
    ]);
}

#[test]
fn init_containers_and_sidecars() {
    let init = |state: &Value, last: &Value, restarts: u32| {
        let mut status = running(
            false,
            &[&container(
                &waiting("PodInitializing", ""),
                &none(),
                0,
                false,
            )],
        );
        let mut init = container(state, last, restarts, false);
        init["name"] = json!("migrate");
        status["phase"] = json!("Pending");
        status["initContainerStatuses"] = json!([init]);
        rollout(pod("web-1", Some("ReplicaSet/web-a"), &status))
    };
    let crash = ended("Error", 1, "09:59:30", "09:59:31");
    check(vec![
        (
            "in back-off",
            init(&waiting("CrashLoopBackOff", BACK_OFF), &crash, 3),
            vec![("web", Class::CrashLoopBackOff)],
        ),
        (
            "without image",
            init(&waiting("ErrImagePull", ""), &none(), 0),
            vec![("web", Class::ImagePull)],
        ),
        (
            "out of memory",
            init(
                &waiting("CrashLoopBackOff", BACK_OFF),
                &ended("OOMKilled", 137, "09:59:30", "09:59:31"),
                3,
            ),
            vec![("web", Class::OomKilled)],
        ),
        (
            "done",
            init(&ended("Completed", 0, "09:59:30", "09:59:31"), &none(), 0),
            vec![],
        ),
        (
            "done after two tries",
            init(&ended("Completed", 0, "09:59:40", "09:59:41"), &crash, 2),
            vec![],
        ),
        ("at work", init(&up("09:59:31"), &none(), 0), vec![]),
    ]);
    let index = index(&init(&waiting("CrashLoopBackOff", BACK_OFF), &crash, 3));
    let finding = &judge(&index, "web").findings[0];
    assert_eq!(
        (finding.container.as_str(), finding.is_init),
        ("migrate", true)
    );
    assert_eq!((finding.exit_code, finding.restarts), (Some(1), 3));
}

#[test]
fn pods_that_cannot_be_placed_or_were_evicted() {
    let unscheduled = |reason: &str, since: &str| {
        rollout(pod(
            "web-1",
            Some("ReplicaSet/web-a"),
            &json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": reason,
             "message": "0/1 nodes are available: 1 Insufficient cpu.",
             "lastTransitionTime": format!("2026-11-02T{since}Z")}]}),
        ))
    };
    let evicted = |at: &str| {
        let status = json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource",
            "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet",
                            "lastTransitionTime": format!("2026-11-02T{at}Z")}]});
        pod("web-1", Some("ReplicaSet/web-a"), &status)
    };
    let healthy = |corpse: Value| {
        vec![
            deployment(1, 1, 1, &json!([])),
            set("web-a", 1, 1, &json!([])),
            corpse,
        ]
    };
    check(vec![
        (
            "for a while",
            unscheduled("Unschedulable", "09:59:00"),
            vec![("web", Class::Unschedulable)],
        ),
        (
            "for a moment",
            unscheduled("Unschedulable", "09:59:55"),
            vec![],
        ),
        (
            "gated on purpose",
            unscheduled("SchedulingGated", "09:59:00"),
            vec![],
        ),
        (
            "evicted",
            rollout(evicted("09:50:00")),
            vec![("web", Class::Evicted)],
        ),
        (
            "evicted just now and replaced",
            healthy(evicted("09:59:30")),
            vec![("web", Class::Evicted)],
        ),
        ("evicted and replaced", healthy(evicted("09:50:00")), vec![]),
        (
            "failed and replaced",
            healthy(pod(
                "web-1",
                Some("ReplicaSet/web-a"),
                &failed_pod(
                    Some("NodeShutdown"),
                    &ended("Error", 137, "09:00:00", "09:59:59"),
                ),
            )),
            vec![],
        ),
    ]);
}

#[test]
fn pods_without_controller() {
    let bare = |status: &Value| vec![pod("alone", None, status)];
    let mut succeeded = running(false, &[]);
    succeeded["phase"] = json!("Succeeded");
    check(vec![
        (
            "failed",
            bare(&failed_pod(
                None,
                &ended("Error", 3, "09:00:00", "09:01:00"),
            )),
            vec![("alone", Class::Failed)],
        ),
        (
            "out of memory",
            bare(&failed_pod(
                None,
                &ended("OOMKilled", 137, "09:00:00", "09:01:00"),
            )),
            vec![("alone", Class::OomKilled)],
        ),
        (
            "not startable",
            bare(&failed_pod(None, &start_error(NO_EXECUTABLE))),
            vec![("alone", Class::CreateContainerError)],
        ),
        (
            "refused by the node",
            bare(&json!({"phase": "Failed", "reason": "OutOfcpu"})),
            vec![("alone", Class::Failed)],
        ),
        ("done", bare(&succeeded), vec![]),
        (
            "at work",
            bare(&running(
                true,
                &[&container(&up("09:00:00"), &none(), 0, true)],
            )),
            vec![],
        ),
        ("without status", bare(&json!({})), vec![]),
    ]);
}

#[test]
fn rollouts() {
    let slow = container(&up("09:59:00"), &none(), 0, false);
    let new_pod = || web_pod(&slow);
    let zero = || {
        vec![
            deployment(0, 0, 0, &deadline_exceeded()),
            set("web-a", 0, 0, &replica_failure()),
        ]
    };
    let stuck = |deployment: Value| vec![deployment, set("web-a", 1, 0, &json!([])), new_pod()];
    check(vec![
        ("slow", rollout(new_pod()), vec![]),
        (
            "beyond its deadline",
            stuck(deployment(1, 1, 0, &deadline_exceeded())),
            vec![("web", Class::ProgressDeadlineExceeded)],
        ),
        (
            "beyond its deadline before the last change",
            stuck(with(
                deployment(1, 1, 0, &deadline_exceeded()),
                "/metadata/generation",
                json!(3),
            )),
            vec![],
        ),
        (
            "paused",
            stuck(with(
                deployment(1, 1, 0, &deadline_exceeded()),
                "/spec/paused",
                json!(true),
            )),
            vec![],
        ),
        ("scaled to zero", zero(), vec![]),
        (
            "pods over quota",
            vec![
                deployment(1, 0, 0, &replica_failure()),
                set("web-a", 1, 0, &replica_failure()),
            ],
            vec![("web", Class::ReplicaFailure)],
        ),
        (
            "being deleted",
            vec![with(
                deployment(1, 1, 0, &deadline_exceeded()),
                "/metadata/deletionTimestamp",
                json!("2026-11-02T09:59:00Z"),
            )],
            vec![],
        ),
        (
            "a pod being deleted",
            rollout(with(
                web_pod(&container(
                    &waiting("CrashLoopBackOff", BACK_OFF),
                    &none(),
                    3,
                    false,
                )),
                "/metadata/deletionTimestamp",
                json!("2026-11-02T09:59:00Z"),
            )),
            vec![],
        ),
    ]);
    let over_quota = index(&[
        deployment(1, 0, 0, &replica_failure()),
        set("web-a", 1, 0, &replica_failure()),
    ]);
    let findings = judge(&over_quota, "web").findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].object.kind, "ReplicaSet");
}

#[test]
fn jobs() {
    let failed = |reason: &str| json!({"failed": 3, "conditions": job_condition("Failed", reason)});
    let retrying = || json!({"active": 1, "failed": 1, "ready": 0});
    let complete = || json!({"succeeded": 1, "failed": 1, "conditions": job_condition("Complete", "CompletionsReached")});
    let crashed = || {
        pod(
            "batch-1",
            Some("Job/batch"),
            &failed_pod(None, &ended("Error", 3, "09:00:00", "09:01:00")),
        )
    };
    let oom = || {
        pod(
            "batch-1",
            Some("Job/batch"),
            &failed_pod(None, &ended("OOMKilled", 137, "09:00:00", "09:01:00")),
        )
    };
    let waits = |reason: &str| {
        let last = ended("Error", 3, "09:59:30", "09:59:31");
        let status = running(false, &[&container(&waiting(reason, ""), &last, 3, false)]);
        pod("batch-2", Some("Job/batch"), &status)
    };
    let run = |name: &str, created: &str, status: &Value| {
        let created = json!(format!("2026-11-02T{created}Z"));
        with(
            job(name, Some("CronJob/nightly"), status),
            "/metadata/creationTimestamp",
            created,
        )
    };
    check(vec![
        (
            "over its backoff limit",
            vec![
                job("batch", None, &failed("BackoffLimitExceeded")),
                crashed(),
            ],
            vec![("batch", Class::JobFailed)],
        ),
        (
            "over its deadline",
            vec![job("batch", None, &failed("DeadlineExceeded"))],
            vec![("batch", Class::JobFailed)],
        ),
        (
            "failed out of memory",
            vec![job("batch", None, &failed("BackoffLimitExceeded")), oom()],
            vec![("batch", Class::OomKilled)],
        ),
        (
            "trying again",
            vec![job("batch", None, &retrying()), crashed()],
            vec![],
        ),
        (
            "trying again in place",
            vec![job("batch", None, &retrying()), waits("CrashLoopBackOff")],
            vec![],
        ),
        (
            "out of memory and trying again",
            vec![job("batch", None, &retrying()), oom()],
            vec![],
        ),
        (
            "without image",
            vec![job("batch", None, &retrying()), waits("ImagePullBackOff")],
            vec![("batch", Class::ImagePull)],
        ),
        (
            "complete in the second try",
            vec![job("batch", None, &complete()), crashed()],
            vec![],
        ),
        (
            "of a CronJob, failed",
            vec![run("n-1", "08:00:00", &failed("BackoffLimitExceeded"))],
            vec![("nightly", Class::JobFailed)],
        ),
        (
            "of a CronJob, well the next time",
            vec![
                run("n-1", "08:00:00", &failed("BackoffLimitExceeded")),
                run("n-2", "09:00:00", &complete()),
            ],
            vec![],
        ),
        (
            "of a CronJob, well the time before",
            vec![
                run("n-1", "09:00:00", &failed("BackoffLimitExceeded")),
                run("n-2", "08:00:00", &complete()),
            ],
            vec![("nightly", Class::JobFailed)],
        ),
    ]);
}

#[test]
fn all_failures_of_one_owner_are_one_case_with_the_most_specific_class() {
    let oom = ended("OOMKilled", 137, "09:59:30", "09:59:31");
    let mut objects = vec![
        deployment(3, 3, 0, &deadline_exceeded()),
        set("web-a", 3, 0, &json!([])),
    ];
    for name in ["web-1", "web-2", "web-3"] {
        let last = if name == "web-3" {
            &oom
        } else {
            &ended("Error", 1, "09:59:30", "09:59:31")
        };
        let container = container(&waiting("CrashLoopBackOff", BACK_OFF), last, 3, false);
        objects.push(pod(
            name,
            Some("ReplicaSet/web-a"),
            &running(false, &[&container]),
        ));
    }
    let index = index(&objects);
    assert_eq!(index.roots().len(), 1);
    let classes: Vec<_> = judge(&index, "web")
        .findings
        .iter()
        .map(|it| it.class)
        .collect();
    assert_eq!(
        classes,
        [
            Class::OomKilled,
            Class::CrashLoopBackOff,
            Class::CrashLoopBackOff,
            Class::ProgressDeadlineExceeded
        ]
    );
}

#[test]
fn healthy_means_that_the_work_is_done() {
    let good = || container(&up("09:00:00"), &none(), 0, true);
    let good_pod = |controller: &str| pod("web-1", Some(controller), &running(true, &[&good()]));
    let paused = with(deployment(1, 1, 1, &json!([])), "/spec/paused", json!(true));
    let stale = with(
        deployment(1, 1, 1, &json!([])),
        "/metadata/generation",
        json!(3),
    );
    let surplus = with(
        deployment(1, 1, 1, &json!([])),
        "/status/replicas",
        json!(2),
    );
    let cases: Vec<(&str, Vec<Value>, &str, bool)> = vec![
        (
            "available",
            vec![deployment(1, 1, 1, &json!([]))],
            "web",
            true,
        ),
        (
            "not available",
            vec![deployment(2, 2, 1, &json!([]))],
            "web",
            false,
        ),
        (
            "not updated",
            vec![deployment(2, 1, 2, &json!([]))],
            "web",
            false,
        ),
        ("old pods left", vec![surplus], "web", false),
        ("status of an older spec", vec![stale], "web", false),
        ("paused", vec![paused], "web", false),
        (
            "scaled to zero",
            vec![deployment(0, 0, 0, &json!([]))],
            "web",
            false,
        ),
        (
            "a job at work",
            vec![job("batch", None, &json!({"active": 1, "ready": 1}))],
            "batch",
            true,
        ),
        (
            "a job that waits",
            vec![job("batch", None, &json!({"active": 1, "ready": 0}))],
            "batch",
            false,
        ),
        (
            "a job that is done",
            vec![job(
                "batch",
                None,
                &json!({"conditions": job_condition("Complete", "")}),
            )],
            "batch",
            true,
        ),
        (
            "a pod of a StatefulSet",
            vec![good_pod("StatefulSet/db")],
            "db",
            true,
        ),
        ("nothing of a StatefulSet", vec![], "db", false),
        (
            "a StatefulSet with a pod that is not ready",
            vec![
                good_pod("StatefulSet/db"),
                pod("db-2", Some("StatefulSet/db"), &running(false, &[])),
            ],
            "db",
            false,
        ),
    ];
    for (name, objects, root, expected) in cases {
        assert_eq!(judge(&index(&objects), root).is_healthy, expected, "{name}");
    }
}

#[test]
fn no_object_is_too_odd_to_be_judged() {
    let huge = "\u{1f600}".repeat(10_000);
    let odd = container(
        &waiting(&huge, &huge),
        &json!({"terminated": {"exitCode": -2_147_483_648}}),
        0,
        false,
    );
    let odd = with(odd, "/restartCount", json!(-1));
    let future = container(
        &up("23:59:59"),
        &ended("Error", 1, "23:00:00", "22:00:00"),
        7,
        true,
    );
    for status in [
        json!({}),
        json!({"phase": huge, "conditions": [], "containerStatuses": []}),
        running(false, &[&odd]),
        running(false, &[&future]),
        running(false, &[&container(&json!({}), &json!({}), 2, false)]),
    ] {
        judge(&index(&[pod("web-1", None, &status)]), "web-1");
    }
    let empty = [
        json!({"kind": "Pod", "metadata": {}}),
        json!({"kind": "Deployment", "metadata": {}}),
        json!({"kind": "Job", "metadata": {}}),
        json!({"kind": "ReplicaSet", "metadata": {}}),
    ];
    for object in empty {
        judge(&index(&[object]), "");
    }
}

#[test]
fn every_symptom_is_free_of_text() {
    let message = "configmap \"CANARY\" not found";
    let container = container(
        &waiting("CreateContainerConfigError", message),
        &none(),
        0,
        false,
    );
    let index = index(&rollout(web_pod(&container)));
    let symptom = judge(&index, "web").findings[0].to_symptom();
    assert!(!format!("{symptom:?}").contains("CANARY"));
    assert_eq!(symptom.failure_class(), Class::CreateContainerConfigError);
    assert_eq!(symptom.object.unwrap().kind, Kind::Pod.as_str());
}
