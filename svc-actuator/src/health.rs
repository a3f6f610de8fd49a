//! Whether a workload is healthy, and for how long it has been.
//!
//! Health is what the workload shows, never the silence of an alert: scaled to zero, paused or being
//! deleted is not healthy, and neither is what nobody has looked at. The window begins anew whenever
//! a pod is replaced, a container restarts or readiness was lost, also between two looks, because
//! all of that is part of the fingerprint.

use std::time::Duration;

use bonesetter_keys::content_hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Counts in the status of a Deployment that must be what is desired, and how they read.
const COUNTS: [(&str, &str); 4] = [
    ("updatedReplicas", "are of the new revision"),
    ("availableReplicas", "are available"),
    ("readyReplicas", "are ready"),
    ("replicas", "exist, old ones included"),
];

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assessment {
    /// Everything runs.
    Healthy {
        /// Equal as long as the same pods run without interruption.
        fingerprint: String,
        /// How many pods.
        pods: u64,
    },
    /// Something does not, in one line.
    Unhealthy(String),
}

/// A healthy state that has been seen before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Milliseconds since the epoch.
    pub since_millis: u64,
    /// Of the state that began then.
    pub fingerprint: String,
}

/// What follows from a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Look again.
    Wait,
    /// Healthy for the whole window.
    Verified,
    /// The deadline has passed and it is not healthy.
    TakeBack,
}

/// Looks at a Deployment and the pods of its newest `ReplicaSet`.
pub fn assess(live: &Value, pods: &[Value]) -> Assessment {
    match unhealthy(live, pods) {
        Some(why) => Assessment::Unhealthy(why),
        None => Assessment::Healthy {
            fingerprint: fingerprint(pods),
            pods: live["spec"]["replicas"].as_u64().unwrap_or(1),
        },
    }
}

/// Judges a look. A healthy state is given its whole window even if the deadline passes meanwhile.
pub fn judge(
    assessment: &Assessment,
    before: Option<&Watch>,
    now_millis: u64,
    window: Duration,
    deadline_millis: u64,
) -> (Option<Watch>, Verdict) {
    let Assessment::Healthy { fingerprint, .. } = assessment else {
        let is_over = now_millis >= deadline_millis;
        return (
            None,
            if is_over {
                Verdict::TakeBack
            } else {
                Verdict::Wait
            },
        );
    };
    let same = before.filter(|watch| watch.fingerprint == *fingerprint);
    let watch = same.cloned().unwrap_or_else(|| Watch {
        since_millis: now_millis,
        fingerprint: fingerprint.clone(),
    });
    let healthy_for = u128::from(now_millis.saturating_sub(watch.since_millis));
    let verdict = if healthy_for >= window.as_millis() {
        Verdict::Verified
    } else {
        Verdict::Wait
    };
    (Some(watch), verdict)
}

fn unhealthy(live: &Value, pods: &[Value]) -> Option<String> {
    let (metadata, spec, status) = (&live["metadata"], &live["spec"], &live["status"]);
    if metadata["deletionTimestamp"].is_string() {
        return Some("the workload is being deleted".to_owned());
    }
    if spec["paused"] == true {
        return Some("the rollout is paused".to_owned());
    }
    let desired = spec["replicas"].as_u64().unwrap_or(1);
    if desired == 0 {
        return Some("the workload is scaled to zero".to_owned());
    }
    let generation = metadata["generation"].as_u64().unwrap_or(u64::MAX);
    if status["observedGeneration"]
        .as_u64()
        .is_none_or(|observed| observed < generation)
    {
        return Some("the change has not been seen by the controller yet".to_owned());
    }
    if let Some(why) = failed_condition(status) {
        return Some(why);
    }
    let running: Vec<_> = pods.iter().filter(|pod| is_active(pod)).collect();
    for (count, what) in COUNTS {
        let found = status[count].as_u64().unwrap_or(0);
        if found != desired {
            let counted = format!("{found} of {desired} pods {what}");
            // The pod says why, the count only that.
            return Some(match running.into_iter().find_map(failing_pod) {
                Some(why) => format!("{counted}; {why}"),
                None => counted,
            });
        }
    }
    if running.len() as u64 != desired {
        return Some(format!(
            "{} of {desired} pods of the new revision are seen",
            running.len()
        ));
    }
    running.into_iter().find_map(failing_pod)
}

fn failed_condition(status: &Value) -> Option<String> {
    let conditions = status["conditions"].as_array()?;
    conditions.iter().find_map(|condition| {
        let is =
            |kind: &str, value: &str| condition["type"] == kind && condition["status"] == value;
        let reason = condition["reason"].as_str().unwrap_or("unknown");
        (is("ReplicaFailure", "True") || is("Progressing", "False"))
            .then(|| format!("the rollout fails: {reason}"))
    })
}

fn is_active(pod: &Value) -> bool {
    let is_over = pod["status"]["phase"] == "Failed" || pod["status"]["phase"] == "Succeeded";
    !is_over && !pod["metadata"]["deletionTimestamp"].is_string()
}

fn failing_pod(pod: &Value) -> Option<String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or("a pod");
    let Some(containers) = pod["status"]["containerStatuses"].as_array() else {
        return Some(format!("{name} has no container status"));
    };
    let failing = containers.iter().find_map(|container| {
        let state = &container["state"];
        let reason = state["waiting"]["reason"]
            .as_str()
            .or_else(|| state["terminated"].is_object().then_some("Terminated"))?;
        let container = container["name"].as_str().unwrap_or_default();
        Some(format!(
            "container {container} of {name} is in state {reason}"
        ))
    });
    let is_ready = ready_since(pod).is_some();
    failing.or_else(|| (!is_ready).then(|| format!("{name} is not ready")))
}

fn ready_since(pod: &Value) -> Option<&str> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let ready = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready" && condition["status"] == "True")?;
    Some(ready["lastTransitionTime"].as_str().unwrap_or_default())
}

fn fingerprint(pods: &[Value]) -> String {
    let mut lines: Vec<_> = pods
        .iter()
        .filter(|pod| is_active(pod))
        .map(|pod| {
            let restarts: u64 = ["containerStatuses", "initContainerStatuses"]
                .iter()
                .flat_map(|list| pod["status"][*list].as_array().into_iter().flatten())
                .filter_map(|container| container["restartCount"].as_u64())
                .sum();
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
            format!("{uid} {restarts} {}", ready_since(pod).unwrap_or_default())
        })
        .collect();
    lines.sort();
    content_hash(lines.join("\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(20);

    fn workload() -> Value {
        json!({
            "metadata": {"generation": 3},
            "spec": {"replicas": 2},
            "status": {
                "observedGeneration": 3, "replicas": 2, "updatedReplicas": 2,
                "availableReplicas": 2, "readyReplicas": 2,
                "conditions": [{"type": "Progressing", "status": "True"}],
            },
        })
    }

    fn pod(uid: &str, restarts: u64, since: &str) -> Value {
        json!({
            "metadata": {"name": uid, "uid": uid},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}],
                "containerStatuses": [{"name": "app", "restartCount": restarts, "state": {"running": {}}}],
            },
        })
    }

    fn pods() -> Vec<Value> {
        vec![pod("a", 0, "t1"), pod("b", 0, "t1")]
    }

    fn set(mut value: Value, path: &str, to: Value) -> Value {
        let (above, key) = path.rsplit_once('/').unwrap();
        value.pointer_mut(above).unwrap()[key] = to;
        value
    }

    #[test]
    fn a_workload_that_runs_is_healthy() {
        let Assessment::Healthy { pods, .. } = assess(&workload(), &pods()) else {
            panic!("{:?}", assess(&workload(), &pods()));
        };
        assert_eq!(pods, 2);
        let mut with_leftovers = self::pods();
        with_leftovers.push(set(pod("c", 9, "t0"), "/status/phase", json!("Failed")));
        with_leftovers.push(set(
            pod("d", 9, "t0"),
            "/metadata/deletionTimestamp",
            json!("t"),
        ));
        assert_eq!(
            assess(&workload(), &with_leftovers),
            assess(&workload(), &self::pods())
        );
    }

    #[test]
    fn everything_short_of_running_is_not() {
        let condition = |kind: &str, status: &str| json!([{"type": kind, "status": status, "reason": "Because"}]);
        let cases = [
            (
                "/metadata/deletionTimestamp",
                json!("2026-01-01T00:00:00Z"),
                "deleted",
            ),
            ("/spec/paused", json!(true), "paused"),
            ("/spec/replicas", json!(0), "scaled to zero"),
            ("/status/observedGeneration", json!(2), "controller"),
            ("/status/observedGeneration", Value::Null, "controller"),
            (
                "/status/conditions",
                condition("ReplicaFailure", "True"),
                "Because",
            ),
            (
                "/status/conditions",
                condition("Progressing", "False"),
                "Because",
            ),
            (
                "/status/updatedReplicas",
                json!(1),
                "1 of 2 pods are of the new revision",
            ),
            (
                "/status/availableReplicas",
                Value::Null,
                "0 of 2 pods are available",
            ),
            ("/status/replicas", json!(3), "3 of 2 pods exist"),
        ];
        for (path, value, expected) in cases {
            let found = assess(&set(workload(), path, value), &pods());
            let Assessment::Unhealthy(why) = found else {
                panic!("{path}")
            };
            assert!(why.contains(expected), "{path}: {why}");
        }
        let states = [
            (
                "/status/containerStatuses/0/state",
                json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            ),
            (
                "/status/containerStatuses/0/state",
                json!({"terminated": {"exitCode": 1}}),
            ),
            ("/status/conditions/0/status", json!("False")),
            ("/status/phase", json!("Failed")),
        ];
        for (path, value) in states {
            let pods = [pod("a", 0, "t1"), set(pod("b", 0, "t1"), path, value)];
            assert!(
                matches!(assess(&workload(), &pods), Assessment::Unhealthy(_)),
                "{path}"
            );
        }
        assert!(
            matches!(assess(&workload(), &[]), Assessment::Unhealthy(_)),
            "no data"
        );
        assert!(
            matches!(assess(&json!({}), &[]), Assessment::Unhealthy(_)),
            "no data at all"
        );
    }

    #[test]
    fn a_count_is_explained_by_a_pod_that_fails() {
        let crashing = set(
            pod("b", 3, "t1"),
            "/status/containerStatuses/0/state",
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        );
        let short = set(workload(), "/status/availableReplicas", json!(1));
        assert_eq!(
            assess(&short, &[pod("a", 0, "t1"), crashing]),
            Assessment::Unhealthy(
                "1 of 2 pods are available; container app of b is in state CrashLoopBackOff"
                    .to_owned()
            )
        );
    }

    #[test]
    fn the_window_begins_anew_with_every_interruption() {
        let calm = assess(&workload(), &pods());
        let (watch, verdict) = judge(&calm, None, 1_000, WINDOW, 120_000);
        assert_eq!(verdict, Verdict::Wait);
        let (watch, verdict) = judge(&calm, watch.as_ref(), 20_999, WINDOW, 120_000);
        assert_eq!(
            (watch.as_ref().map(|it| it.since_millis), verdict),
            (Some(1_000), Verdict::Wait)
        );
        assert_eq!(
            judge(&calm, watch.as_ref(), 21_000, WINDOW, 120_000).1,
            Verdict::Verified
        );
        for interrupted in [
            [pod("a", 1, "t1"), pod("b", 0, "t1")],
            [pod("a", 0, "t2"), pod("b", 0, "t1")],
            [pod("c", 0, "t1"), pod("b", 0, "t1")],
        ] {
            let look = assess(&workload(), &interrupted);
            let (fresh, verdict) = judge(&look, watch.as_ref(), 21_000, WINDOW, 120_000);
            assert_eq!(
                (fresh.map(|it| it.since_millis), verdict),
                (Some(21_000), Verdict::Wait)
            );
        }
    }

    #[test]
    fn the_deadline_ends_what_is_not_healthy_and_nothing_else() {
        let bad = Assessment::Unhealthy(String::new());
        let watch = Watch {
            since_millis: 0,
            fingerprint: "f".to_owned(),
        };
        assert_eq!(
            judge(&bad, Some(&watch), 119_999, WINDOW, 120_000),
            (None, Verdict::Wait)
        );
        assert_eq!(
            judge(&bad, Some(&watch), 120_000, WINDOW, 120_000),
            (None, Verdict::TakeBack)
        );
        let calm = assess(&workload(), &pods());
        assert_eq!(
            judge(&calm, None, 130_000, WINDOW, 120_000).1,
            Verdict::Wait
        );
    }
}
