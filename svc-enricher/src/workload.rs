//! What belongs to the failing object: its pods, and what stands between it and them.

use bonesetter_proto::v1::{FailureClass, ObjectRef, Symptom};
use serde_json::Value;

use crate::json::{controller_uid, has, items, number, text, uid};
use crate::kubernetes::{Filter, Kubernetes, resource};
use crate::query_error::QueryError;
use crate::selector;

/// Jobs of a CronJob whose pods are looked at.
const MAX_JOBS: usize = 3;

/// An object and what it owns.
#[derive(Debug, Default)]
pub(crate) struct Workload {
    /// The root owner; `None` when it is gone.
    pub(crate) root: Option<Value>,
    /// ReplicaSets of a Deployment, jobs of a CronJob.
    pub(crate) between: Vec<Value>,
    /// Pods, failing or not.
    pub(crate) pods: Vec<Value>,
    /// What could not be read, and why.
    pub(crate) problems: Vec<String>,
}

impl Workload {
    /// Whether a pod waits for a node.
    pub(crate) fn is_unschedulable(&self, class: FailureClass) -> bool {
        let waits = |pod: &Value| {
            items(pod, "/status/conditions").iter().any(|condition| {
                text(condition, "/type") == "PodScheduled" && text(condition, "/status") == "False"
            })
        };
        class == FailureClass::Unschedulable || self.pods.iter().any(waits)
    }

    fn note(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Takes a result, or notes why there is none. An API server that is away ends the collection:
    /// evidence without the object itself would be worthless.
    fn take<T>(&mut self, result: Result<T, QueryError>) -> Result<Option<T>, QueryError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ QueryError::Unavailable { .. }) => Err(error),
            Err(error) => {
                self.note(error.to_string());
                Ok(None)
            }
        }
    }
}

/// Reads the root owner and what it owns.
pub(crate) async fn read(
    kubernetes: &Kubernetes<'_>,
    root: &ObjectRef,
    symptoms: &[Symptom],
) -> Result<Workload, QueryError> {
    let mut workload = Workload::default();
    let kind = resource(&root.api_version, &root.kind);
    let found = workload.take(kubernetes.get(&kind, &root.namespace, &root.name).await)?;
    workload.root = found.filter(|object| root.uid.is_empty() || uid(object) == root.uid);
    match &workload.root {
        None if workload.problems.is_empty() => {
            workload.note(format!(
                "{} {} was replaced by another object of the same name",
                root.kind, root.name
            ));
        }
        None => {}
        Some(_) => read_owned(kubernetes, root, &mut workload).await?,
    }
    read_symptoms(kubernetes, symptoms, &mut workload).await?;
    Ok(workload)
}

async fn read_owned(
    kubernetes: &Kubernetes<'_>,
    root: &ObjectRef,
    workload: &mut Workload,
) -> Result<(), QueryError> {
    let Some(object) = workload.root.clone() else {
        return Ok(());
    };
    let owner = uid(&object).to_owned();
    match root.kind.as_str() {
        "Pod" => workload.pods.push(object),
        "CronJob" => {
            let kind = resource("batch/v1", "Job");
            let jobs = kubernetes
                .list(&kind, &root.namespace, &Filter::default())
                .await;
            let jobs = workload.take(jobs)?.unwrap_or_default();
            workload.between = newest_failed_jobs(jobs, &owner);
            for job in workload.between.clone() {
                let pods = pods_of(kubernetes, root, &job, workload).await?;
                workload.pods.extend(owned_by(pods, &[uid(&job)]));
            }
        }
        "Deployment" => {
            let Some(labels) = selector_of(&object) else {
                return Ok(());
            };
            let filter = Filter {
                labels: Some(labels),
                ..Filter::default()
            };
            let kind = resource("apps/v1", "ReplicaSet");
            let sets = kubernetes.list(&kind, &root.namespace, &filter).await;
            let sets = workload.take(sets)?.unwrap_or_default();
            workload.between = owned_by(sets, &[&owner]);
            let pods = pods_of(kubernetes, root, &object, workload).await?;
            let owners: Vec<&str> = workload.between.iter().map(uid).collect();
            workload.pods = owned_by(pods, &owners);
        }
        _ => {
            let pods = pods_of(kubernetes, root, &object, workload).await?;
            workload.pods = owned_by(pods, &[&owner]);
        }
    }
    Ok(())
}

async fn pods_of(
    kubernetes: &Kubernetes<'_>,
    root: &ObjectRef,
    object: &Value,
    workload: &mut Workload,
) -> Result<Vec<Value>, QueryError> {
    let Some(labels) = selector_of(object) else {
        return Ok(Vec::new());
    };
    let filter = Filter {
        labels: Some(labels),
        ..Filter::default()
    };
    let pods = kubernetes
        .list(&resource("v1", "Pod"), &root.namespace, &filter)
        .await;
    Ok(workload.take(pods)?.unwrap_or_default())
}

/// Pods that the watcher saw failing and that no selector found: those of kinds that we do not
/// know, and of owners that are gone.
async fn read_symptoms(
    kubernetes: &Kubernetes<'_>,
    symptoms: &[Symptom],
    workload: &mut Workload,
) -> Result<(), QueryError> {
    for pod in seen_pods(symptoms) {
        if workload.pods.iter().any(|known| uid(known) == pod.uid) {
            continue;
        }
        match kubernetes
            .get(&resource("v1", "Pod"), &pod.namespace, &pod.name)
            .await
        {
            Ok(found) if uid(&found) == pod.uid => workload.pods.push(found),
            Ok(_) | Err(QueryError::NotFound { .. }) => {
                workload.note(format!("pod {} is gone", pod.name));
            }
            Err(error) => {
                workload.take(Err::<(), _>(error))?;
            }
        }
    }
    Ok(())
}

/// The pods among what the watcher saw failing, each once, at most as many as are ever looked at.
pub(crate) fn seen_pods(symptoms: &[Symptom]) -> Vec<&ObjectRef> {
    let mut pods: Vec<&ObjectRef> = Vec::new();
    for object in symptoms
        .iter()
        .filter_map(|symptom| symptom.object.as_ref())
    {
        if object.kind == "Pod" && !pods.iter().any(|known| known.uid == object.uid) {
            pods.push(object);
        }
    }
    pods.truncate(MAX_SEEN_PODS);
    pods
}

/// Symptoms are at most 20 a message.
const MAX_SEEN_PODS: usize = 20;

fn selector_of(object: &Value) -> Option<String> {
    selector::query(object.pointer("/spec/selector")?)
}

fn owned_by(objects: Vec<Value>, owners: &[&str]) -> Vec<Value> {
    let is_owned = |object: &Value| controller_uid(object).is_some_and(|uid| owners.contains(&uid));
    objects.into_iter().filter(is_owned).collect()
}

fn newest_failed_jobs(jobs: Vec<Value>, owner: &str) -> Vec<Value> {
    let mut failed: Vec<Value> = owned_by(jobs, &[owner])
        .into_iter()
        .filter(|job| number(job, "/status/failed") > 0 && !has(job, "/metadata/deletionTimestamp"))
        .collect();
    failed.sort_by(|a, b| {
        let at = |job: &'_ Value| text(job, "/metadata/creationTimestamp").to_owned();
        at(b).cmp(&at(a))
    });
    failed.truncate(MAX_JOBS);
    failed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(name: &str, owner: &str, failed: i64, hour: u8) -> Value {
        json!({
            "metadata": {
                "name": name, "uid": name, "creationTimestamp": format!("2026-11-25T{hour:02}:00:00Z"),
                "ownerReferences": [{"uid": owner, "controller": true}],
            },
            "status": {"failed": failed},
        })
    }

    #[test]
    fn the_newest_failed_jobs_of_a_cron_job_are_looked_at() {
        let jobs = vec![
            job("old", "c", 1, 1),
            job("fine", "c", 0, 9),
            job("other", "d", 1, 9),
            job("a", "c", 1, 2),
            job("b", "c", 2, 3),
            job("newest", "c", 1, 4),
        ];
        let chosen = newest_failed_jobs(jobs, "c");
        assert_eq!(
            chosen.iter().map(uid).collect::<Vec<_>>(),
            ["newest", "b", "a"]
        );
    }

    #[test]
    fn a_pod_with_several_failing_containers_is_seen_once() {
        let seen = |kind: &str, uid: &str| Symptom {
            object: Some(ObjectRef {
                kind: kind.to_owned(),
                uid: uid.to_owned(),
                ..ObjectRef::default()
            }),
            ..Symptom::default()
        };
        let symptoms = [
            seen("Pod", "a"),
            seen("Job", "j"),
            seen("Pod", "a"),
            seen("Pod", "b"),
            Symptom::default(),
        ];
        let pods: Vec<_> = seen_pods(&symptoms)
            .into_iter()
            .map(|pod| pod.uid.as_str())
            .collect();
        assert_eq!(pods, ["a", "b"]);
    }

    #[test]
    fn a_waiting_pod_or_the_class_tells_that_nodes_matter() {
        let mut workload = Workload::default();
        assert!(workload.is_unschedulable(FailureClass::Unschedulable));
        assert!(!workload.is_unschedulable(FailureClass::Failed));
        workload
            .pods
            .push(json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}}));
        assert!(workload.is_unschedulable(FailureClass::ProgressDeadlineExceeded));
    }
}
