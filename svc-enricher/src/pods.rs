//! Which pods are looked at, and which of their logs can be there.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use bonesetter_proto::v1::{ObjectRef, Symptom};
use serde_json::Value;

use crate::json::{controller_uid, has, items, number, reference, text, uid};

/// One log that a node may still have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogPlan {
    pub(crate) pod: ObjectRef,
    pub(crate) container: String,
    pub(crate) init_container: bool,
    pub(crate) previous: bool,
}

impl LogPlan {
    /// `POD/CONTAINER/current` or `POD/CONTAINER/previous`.
    pub(crate) fn name(&self) -> String {
        let instance = if self.previous { "previous" } else { "current" };
        format!("{}/{}/{instance}", self.pod.name, self.container)
    }
}

/// The failing pods, the worst first, at most `max`.
///
/// What the watcher saw failing comes first and in its order, which is by severity; then what fails
/// by its own state. Pods that are being deleted come last, healthy ones not at all.
pub(crate) fn choose<'a>(pods: &'a [Value], symptoms: &[Symptom], max: usize) -> Vec<&'a Value> {
    let rank = |pod: &Value| {
        symptoms
            .iter()
            .position(|symptom| {
                symptom
                    .object
                    .as_ref()
                    .is_some_and(|object| object.uid == uid(pod))
            })
            .unwrap_or(usize::MAX)
    };
    let mut failing: Vec<&Value> = pods
        .iter()
        .filter(|pod| rank(pod) != usize::MAX || severity(pod) > 0)
        .collect();
    failing.sort_by_key(|pod| {
        (
            has(pod, "/metadata/deletionTimestamp"),
            rank(pod),
            Reverse(severity(pod)),
            Reverse(text(pod, "/metadata/creationTimestamp").to_owned()),
            text(pod, "/metadata/name").to_owned(),
        )
    });
    failing.truncate(max);
    failing
}

/// The controllers of the pods that fail now.
pub(crate) fn failing_controllers(pods: &[&Value]) -> BTreeSet<String> {
    pods.iter()
        .filter_map(|pod| controller_uid(pod))
        .map(str::to_owned)
        .collect()
}

/// How badly a pod is doing; 0 when nothing is wrong or it has only just begun.
fn severity(pod: &Value) -> u8 {
    let by_container = statuses(pod)
        .map(|(_, status)| container_severity(status))
        .max()
        .unwrap_or(0);
    let by_pod = match text(pod, "/status/phase") {
        "Failed" => 4,
        "Pending" if condition(pod, "PodScheduled") == Some("False") => 4,
        // A pod whose volumes or sandbox cannot be had waits without any reason at its containers.
        "Pending" | "Running" if condition(pod, "Ready") == Some("False") => 1,
        _ => 0,
    };
    by_container.max(by_pod)
}

fn container_severity(status: &Value) -> u8 {
    let waiting = text(status, "/state/waiting/reason");
    if !["", "ContainerCreating", "PodInitializing"].contains(&waiting) {
        return 4;
    }
    if number(status, "/state/terminated/exitCode") != 0 {
        return 3;
    }
    match number(status, "/lastState/terminated/exitCode") {
        0 => 0,
        _ => 2,
    }
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a str> {
    items(pod, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == kind)
        .map(|condition| text(condition, "/status"))
}

/// The statuses of all containers, and whether each is an init container.
fn statuses(pod: &Value) -> impl Iterator<Item = (bool, &Value)> {
    [
        ("/status/initContainerStatuses", true),
        ("/status/containerStatuses", false),
        ("/status/ephemeralContainerStatuses", false),
    ]
    .into_iter()
    .flat_map(move |(pointer, is_init)| {
        items(pod, pointer)
            .iter()
            .map(move |status| (is_init, status))
    })
}

/// The logs that the containers of a pod have written.
///
/// A container that waits for its next start is asked for its previous log alone: the API server
/// would give the same one under both names.
pub(crate) fn logs(pod: &Value) -> Vec<LogPlan> {
    let mut plans = Vec::new();
    for (is_init, status) in statuses(pod) {
        let plan = |previous| LogPlan {
            pod: reference(pod),
            container: text(status, "/name").to_owned(),
            init_container: is_init,
            previous,
        };
        if has_run(status, "/lastState/terminated") {
            plans.push(plan(true));
        }
        if has(status, "/state/running") || has_run(status, "/state/terminated") {
            plans.push(plan(false));
        }
    }
    plans
}

/// A container that was lost with its node, or never made, has no id and no log.
fn has_run(status: &Value, pointer: &str) -> bool {
    status
        .pointer(pointer)
        .is_some_and(|state| !text(state, "/containerID").is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, status: &Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
                "creationTimestamp": "2026-11-25T13:00:00Z"},
            "status": status,
        })
    }

    fn with(name: &str, state: &Value, last_state: &Value) -> Value {
        pod(
            name,
            &json!({"phase": "Running", "containerStatuses": [
                {"name": "app", "state": state, "lastState": last_state},
            ]}),
        )
    }

    fn seen(name: &str) -> Symptom {
        let object = ObjectRef {
            uid: format!("uid-{name}"),
            ..ObjectRef::default()
        };
        Symptom {
            object: Some(object),
            ..Symptom::default()
        }
    }

    fn waiting(reason: &str) -> Value {
        json!({"waiting": {"reason": reason}})
    }

    fn exited(code: i32) -> Value {
        json!({"terminated": {"exitCode": code, "containerID": "containerd://x"}})
    }

    fn names(pods: &[&Value]) -> Vec<String> {
        pods.iter()
            .map(|pod| text(pod, "/metadata/name").to_owned())
            .collect()
    }

    #[test]
    fn the_worst_come_first_and_the_healthy_not_at_all() {
        let running = || json!({"running": {}});
        let mut leaving = with("leaving", &waiting("CrashLoopBackOff"), &exited(1));
        leaving["metadata"]["deletionTimestamp"] = json!("2026-11-25T13:00:00Z");
        let mut newer = with("newer", &waiting("ErrImagePull"), &json!({}));
        newer["metadata"]["creationTimestamp"] = json!("2026-11-25T13:00:01Z");
        let unschedulable = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False"}]});
        let unready =
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]});
        let stuck = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]});
        let pods = [
            with("healthy", &running(), &json!({})),
            with("done", &exited(0), &json!({})),
            with("creating", &waiting("ContainerCreating"), &json!({})),
            pod("unready", &unready),
            pod("stuck", &stuck),
            leaving,
            with("restarted", &running(), &exited(137)),
            with("exited", &exited(2), &json!({})),
            with("crashing", &waiting("CrashLoopBackOff"), &exited(1)),
            newer,
            pod("unschedulable", &unschedulable),
            pod("failed", &json!({"phase": "Failed"})),
        ];
        assert_eq!(
            names(&choose(&pods, &[], 20)),
            [
                "newer",
                "crashing",
                "failed",
                "unschedulable",
                "exited",
                "restarted",
                "stuck",
                "unready",
                "leaving"
            ]
        );
        let chosen = choose(
            &pods,
            &[seen("restarted"), seen("healthy"), seen("gone")],
            3,
        );
        assert_eq!(names(&chosen), ["restarted", "healthy", "newer"]);
    }

    #[test]
    fn only_logs_that_can_be_there_are_asked_for() {
        let lost = json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}});
        let cases = [
            ("never started", waiting("ErrImagePull"), json!({}), vec![]),
            (
                "between two starts",
                waiting("CrashLoopBackOff"),
                exited(1),
                vec!["previous"],
            ),
            (
                "running again",
                json!({"running": {}}),
                exited(1),
                vec!["previous", "current"],
            ),
            (
                "just exited",
                exited(1),
                exited(1),
                vec!["previous", "current"],
            ),
            ("finished", exited(0), json!({}), vec!["current"]),
            ("lost with its node", lost, json!({}), vec![]),
        ];
        for (what, state, last_state, expected) in cases {
            let plans = logs(&with("p", &state, &last_state));
            let instances: Vec<_> = plans.iter().map(LogPlan::name).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|instance| format!("p/app/{instance}"))
                .collect();
            assert_eq!(instances, expected, "{what}");
        }
    }

    #[test]
    fn init_and_ephemeral_containers_count_too() {
        let pod = pod(
            "p",
            &json!({
                "initContainerStatuses": [{"name": "init", "state": exited(1)}],
                "containerStatuses": [{"name": "app", "state": waiting("PodInitializing")}],
                "ephemeralContainerStatuses": [{"name": "debug", "state": {"running": {}}}],
            }),
        );
        let plans: Vec<_> = logs(&pod)
            .into_iter()
            .map(|plan| (plan.container, plan.init_container))
            .collect();
        assert_eq!(
            plans,
            [("init".to_owned(), true), ("debug".to_owned(), false)]
        );
        assert_eq!(severity(&pod), 3);
    }
}
