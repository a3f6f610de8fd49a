//! What the last rollout of a Deployment changed.
//!
//! The failing revision is the newest one that owns a failing pod, or the newest one of all. It is
//! compared with the newest earlier revision that is known to have been healthy, since that is what
//! people would go back to; where none is known, with the one before it.
//!
//! A revision counts as healthy only on facts that the cluster still shows:
//! its ReplicaSet has ready or available replicas now (a rolling update keeps the old pods until
//! the new ones are available); or the Deployment has been `Available` without a break since before
//! the failing revision was made, needs at least one replica for that, and no other earlier
//! revision exists that could have provided it. Anything else is unknown and counts as not healthy.

use std::collections::BTreeSet;

use bonesetter_proto::v1::RolloutChange;
use serde_json::Value;

use crate::diff;
use crate::json::{annotation, items, number, reference, text, time, uid};

const REVISION: &str = "deployment.kubernetes.io/revision";
/// Set by the Deployment controller when a rollback used a ReplicaSet again.
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";

/// The revision of a Deployment or ReplicaSet; 0 where it has none.
pub(crate) fn revision(object: &Value) -> i64 {
    annotation(object, REVISION).parse().unwrap_or_default()
}

/// The change between the failing revision and the one to compare it with, and how many changes
/// were too many to list. `None` if there is only one revision.
pub(crate) fn last_change(
    deployment: &Value,
    replica_sets: &[Value],
    owners_of_failing_pods: &BTreeSet<String>,
) -> Option<(RolloutChange, usize)> {
    let mut revisions: Vec<&Value> = replica_sets
        .iter()
        .filter(|set| revision(set) > 0)
        .collect();
    revisions.sort_by_key(|set| std::cmp::Reverse(revision(set)));
    let failing = revisions
        .iter()
        .position(|set| owners_of_failing_pods.contains(uid(set)))
        .unwrap_or_default();
    let (to, earlier) = revisions.get(failing..)?.split_first()?;
    let known_good = earlier
        .iter()
        .find(|set| was_healthy(deployment, set, to, earlier.len()));
    let from = known_good.or_else(|| earlier.first())?;
    let (changes, more) = diff::changes(&template(from), &template(to));
    let change = RolloutChange {
        workload: Some(reference(deployment)),
        from_revision: revision(from),
        to_revision: revision(to),
        rolled_out_at: if was_reused(to) {
            None
        } else {
            time(to, "/metadata/creationTimestamp")
        },
        changes,
        from_revision_was_healthy: known_good.is_some(),
    };
    Some((change, more))
}

fn was_healthy(deployment: &Value, from: &Value, to: &Value, earlier_revisions: usize) -> bool {
    let has_ready_pods =
        number(from, "/status/readyReplicas") > 0 || number(from, "/status/availableReplicas") > 0;
    has_ready_pods || (earlier_revisions == 1 && was_available_before(deployment, to))
}

fn was_available_before(deployment: &Value, to: &Value) -> bool {
    let Some(available) = items(deployment, "/status/conditions")
        .iter()
        .find(|condition| {
            text(condition, "/type") == "Available" && text(condition, "/status") == "True"
        })
    else {
        return false;
    };
    let since = time(available, "/lastTransitionTime");
    let made = time(to, "/metadata/creationTimestamp");
    let (Some(since), Some(made)) = (since, made) else {
        return false;
    };
    !was_reused(to) && since.seconds < made.seconds && needs_a_replica(deployment)
}

/// Whether the Deployment is `Available` only with at least one available replica.
fn needs_a_replica(deployment: &Value) -> bool {
    let written = deployment.pointer("/spec/replicas").and_then(Value::as_i64);
    let replicas = written.unwrap_or(1);
    let may_be_away = match deployment.pointer("/spec/strategy/rollingUpdate/maxUnavailable") {
        None | Some(Value::Null) => Some(0),
        Some(Value::String(percent)) => percent
            .strip_suffix('%')
            .and_then(|percent| percent.parse::<i64>().ok())
            .map(|percent| replicas.saturating_mul(percent) / 100),
        Some(count) => count.as_i64(),
    };
    may_be_away.is_some_and(|away| replicas - away >= 1)
}

fn was_reused(replica_set: &Value) -> bool {
    !annotation(replica_set, REVISION_HISTORY).is_empty()
}

/// The pod template without the label that the controller adds.
fn template(replica_set: &Value) -> Value {
    let mut template = replica_set
        .pointer("/spec/template")
        .cloned()
        .unwrap_or_default();
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove("pod-template-hash");
    }
    template
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(revision: i64, image: &str, ready: i64) -> Value {
        json!({
            "metadata": {
                "uid": format!("rs-{revision}"),
                "annotations": {REVISION: revision.to_string()},
                "creationTimestamp": format!("2026-11-25T1{revision}:00:00Z"),
            },
            "spec": {"template": {
                "metadata": {"labels": {"app": "a", "pod-template-hash": image}},
                "spec": {"containers": [{"name": "app", "image": image}]},
            }},
            "status": {"readyReplicas": ready},
        })
    }

    fn deployment(available: &str, since: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "api", "namespace": "shop", "uid": "d"},
            "spec": spec,
            "status": {"conditions": [
                {"type": "Available", "status": available, "lastTransitionTime": since},
            ]},
        })
    }

    fn failing(revisions: &[i64]) -> BTreeSet<String> {
        revisions
            .iter()
            .map(|revision| format!("rs-{revision}"))
            .collect()
    }

    #[test]
    fn the_right_revisions_are_compared() {
        let one = || set(1, "a:1", 0);
        let two = || set(2, "a:2", 0);
        let three = || set(3, "a:3", 0);
        let cases = [
            (
                "a single revision changed nothing",
                vec![one()],
                vec![1],
                None,
            ),
            ("no revision at all", vec![], vec![], None),
            (
                "the one before",
                vec![two(), one()],
                vec![2],
                Some((1, 2, false)),
            ),
            (
                "the one before, healthy",
                vec![set(1, "a:1", 2), two()],
                vec![2],
                Some((1, 2, true)),
            ),
            (
                "the last good one",
                vec![set(1, "a:1", 1), two(), three()],
                vec![3],
                Some((1, 3, true)),
            ),
            (
                "none known to be good",
                vec![one(), two(), three()],
                vec![3],
                Some((2, 3, false)),
            ),
            (
                "an older one fails",
                vec![one(), two(), set(3, "a:3", 1)],
                vec![2],
                Some((1, 2, false)),
            ),
            (
                "both fail",
                vec![one(), two(), three()],
                vec![2, 3],
                Some((2, 3, false)),
            ),
            (
                "no pod can be made",
                vec![set(1, "a:1", 1), two()],
                vec![],
                Some((1, 2, true)),
            ),
        ];
        for (what, sets, failing_sets, expected) in cases {
            let deployment = deployment("False", "2026-11-25T09:00:00Z", &json!({}));
            let change = last_change(&deployment, &sets, &failing(&failing_sets));
            let change = change.map(|(change, _)| {
                assert_eq!(change.changes.len(), 1, "{what}: {:?}", change.changes);
                (
                    change.from_revision,
                    change.to_revision,
                    change.from_revision_was_healthy,
                )
            });
            assert_eq!(change, expected, "{what}");
        }
    }

    #[test]
    fn a_former_revision_without_pods_is_healthy_only_when_nothing_else_explains_availability() {
        let before = "2026-11-25T11:30:00Z";
        let after = "2026-11-25T12:30:00Z";
        let sets = || vec![set(1, "a:1", 0), set(2, "a:2", 0)];
        let more = || {
            vec![
                set(0, "a:0", 0),
                set(1, "a:1", 0),
                set(2, "a:2", 0),
                set(3, "a:3", 0),
            ]
        };
        let rolling = |replicas: i64, away: Value| json!({"replicas": replicas, "strategy": {"rollingUpdate": {"maxUnavailable": away}}});
        let cases = [
            (
                "since before",
                "True",
                before,
                rolling(1, json!("25%")),
                sets(),
                true,
            ),
            (
                "only since",
                "True",
                after,
                rolling(1, json!("25%")),
                sets(),
                false,
            ),
            (
                "not available",
                "False",
                before,
                rolling(1, json!("25%")),
                sets(),
                false,
            ),
            (
                "none is needed",
                "True",
                before,
                rolling(1, json!(1)),
                sets(),
                false,
            ),
            (
                "none is needed either",
                "True",
                before,
                rolling(2, json!("100%")),
                sets(),
                false,
            ),
            (
                "scaled to zero",
                "True",
                before,
                rolling(0, json!("25%")),
                sets(),
                false,
            ),
            (
                "another could have been it",
                "True",
                before,
                rolling(1, json!("25%")),
                more(),
                false,
            ),
            ("defaults", "True", before, json!({}), sets(), true),
        ];
        for (what, status, since, spec, sets, expected) in cases {
            let deployment = deployment(status, since, &spec);
            let (change, _) = last_change(&deployment, &sets, &BTreeSet::new()).unwrap();
            assert_eq!(change.from_revision_was_healthy, expected, "{what}");
        }
    }

    #[test]
    fn a_replica_set_that_a_rollback_used_again_has_no_rollout_time() {
        let mut again = set(3, "a:3", 0);
        again["metadata"]["annotations"][REVISION_HISTORY] = json!("1");
        let deployment = deployment("True", "2026-11-25T09:00:00Z", &json!({}));
        let (change, _) =
            last_change(&deployment, &[set(2, "a:2", 0), again], &failing(&[3])).unwrap();
        assert_eq!(change.rolled_out_at, None);
        assert!(!change.from_revision_was_healthy);
    }
}
