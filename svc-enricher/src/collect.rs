//! The evidence of one incident.
//!
//! The failing object and its pods are read first, because everything else depends on them; then
//! all sources at once, under one deadline. What one source cannot say becomes a note in the
//! evidence; only an API server that does not answer at all is an error.

use std::collections::BTreeSet;
use std::time::SystemTime;

use bonesetter_chassis::target::template_digest;
use bonesetter_keys::DigestKey;
use bonesetter_proto::to_timestamp;
use bonesetter_proto::v1::{Detected, Evidence, EvidenceItem, ObjectRef, Symptom, Target};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::config::EvidenceSettings;
use crate::json::{reference, text, uid};
use crate::kubernetes::{ClientOf, Filter, Kubernetes, resource};
use crate::lines::TailLimits;
use crate::loki::Loki;
use crate::provenance::Recorder;
use crate::query_error::QueryError;
use crate::workload::{self, Workload};
use crate::{events, items, nodes, pods, rollout, trim};

/// Queries that are under way at once, of one source.
const CONCURRENCY: usize = 8;
/// Objects whose events are asked for.
const MAX_EVENT_OBJECTS: usize = 24;
/// Nodes that are shown where no node would do.
const MAX_NODES: u32 = 10;
/// ReplicaSets that are shown.
const MAX_REPLICA_SETS: usize = 10;

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The message does not say what fails.
    #[error("the message names no failing object")]
    NoObject,
    /// The API server does not answer.
    #[error(transparent)]
    Kubernetes(#[from] QueryError),
}

/// Collects evidence; needs no bus.
#[derive(Debug, Clone)]
pub struct Collector {
    client: ClientOf,
    loki: Option<Loki>,
    settings: EvidenceSettings,
    digest: DigestKey,
}

impl Collector {
    /// A collector for one cluster. `digest` keys the digests in targets and query records.
    pub fn new(
        client: kube::Client,
        loki: Option<Loki>,
        settings: EvidenceSettings,
        digest: DigestKey,
    ) -> Self {
        Self {
            client: ClientOf(client),
            loki,
            settings,
            digest,
        }
    }

    /// The raw evidence of what was detected, within its budget.
    pub async fn collect(
        &self,
        detected: &Detected,
        now: SystemTime,
    ) -> Result<Evidence, CollectError> {
        let root = detected
            .incident
            .as_ref()
            .and_then(|incident| incident.root_owner.as_ref())
            .ok_or(CollectError::NoObject)?;
        let deadline = Instant::now() + self.settings.deadline;
        let recorder = Recorder::new(self.digest.clone());
        let kubernetes = Kubernetes::new(&self.client, &recorder, deadline);
        let workload = workload::read(&kubernetes, root, &detected.symptoms).await?;
        let chosen = pods::choose(&workload.pods, &detected.symptoms, self.settings.max_pods);
        let seen = Seen {
            root,
            workload: &workload,
            chosen: &chosen,
            symptoms: &detected.symptoms,
        };
        let (events, logs, nodes, kept_logs) = tokio::join!(
            self.events(&kubernetes, &seen),
            self.logs(&kubernetes, &chosen),
            nodes_of(
                &kubernetes,
                &seen,
                workload.is_unschedulable(detected.failure_class())
            ),
            self.kept_logs(&recorder, &seen, deadline, now),
        );
        let mut items = objects(&workload, &chosen);
        items.extend(changes(&workload, &chosen));
        items.extend([events, logs, nodes, kept_logs].into_iter().flatten());
        items.extend(
            workload
                .problems
                .iter()
                .chain(&kubernetes.into_gaps())
                .map(|problem| items::note("kubernetes", problem)),
        );
        items::number_ids(&mut items);
        let evidence = Evidence {
            items,
            target: workload
                .root
                .as_ref()
                .and_then(|root| target(root, &self.digest)),
            queries: recorder.into_records(),
            collected_at: Some(to_timestamp(now)),
        };
        Ok(trim::trim(evidence, self.settings.budget))
    }

    const fn tail(&self) -> TailLimits {
        TailLimits {
            lines: self.settings.log_tail_lines,
            line_bytes: self.settings.log_line_bytes,
        }
    }

    async fn events(&self, kubernetes: &Kubernetes<'_>, seen: &Seen<'_>) -> Vec<EvidenceItem> {
        let kind = resource("v1", "Event");
        let kind = &kind;
        let answers: Vec<_> = stream::iter(seen.event_uids())
            .map(|uid| async move {
                let fields = Some(format!("involvedObject.uid={uid}"));
                let filter = Filter {
                    fields,
                    ..Filter::default()
                };
                kubernetes.list(kind, &seen.root.namespace, &filter).await
            })
            .buffered(CONCURRENCY)
            .collect()
            .await;
        let mut found = Vec::new();
        let mut problems = BTreeSet::new();
        for answer in answers {
            match answer {
                Ok(events) => found.extend(events),
                Err(error) => {
                    problems.insert(error.to_string());
                }
            }
        }
        let (grouped, left_out) = events::group(&found, self.settings.max_events);
        if left_out > 0 {
            problems.insert(format!("{left_out} older events were left out"));
        }
        let notes = problems
            .iter()
            .map(|problem| items::note("events", problem));
        grouped.into_iter().map(items::event).chain(notes).collect()
    }

    async fn logs(&self, kubernetes: &Kubernetes<'_>, chosen: &[&Value]) -> Vec<EvidenceItem> {
        let limits = self.tail();
        let plans: Vec<_> = chosen.iter().flat_map(|pod| pods::logs(pod)).collect();
        stream::iter(plans)
            .map(|plan| async move {
                match kubernetes.log(&plan, limits).await {
                    Ok(chunk) => items::log(&plan.name(), chunk),
                    Err(error) => items::note(&format!("log/{}", plan.name()), &error.to_string()),
                }
            })
            .buffered(CONCURRENCY)
            .collect()
            .await
    }

    async fn kept_logs(
        &self,
        recorder: &Recorder,
        seen: &Seen<'_>,
        deadline: Instant,
        now: SystemTime,
    ) -> Vec<EvidenceItem> {
        let Some(loki) = &self.loki else {
            let text =
                "no Loki is configured (loki.url), so logs of pods that are gone are not there";
            return vec![items::note("loki", text)];
        };
        let limits = self.tail();
        let answers: Vec<_> = stream::iter(seen.pods(self.settings.max_pods))
            .map(|pod| async move {
                let query = loki.query(&pod, now, limits);
                let asked =
                    tokio::time::timeout_at(deadline, loki.pod_logs(&pod, &query, limits)).await;
                let answer = match asked {
                    Ok(answer) => answer.map_err(|error| error.to_string()),
                    Err(_) => Err("Loki did not answer before the deadline".to_owned()),
                };
                let inputs = json!({
                    "query": query.logql, "limit": query.limit,
                    "start": query.start.to_string(), "end": query.end.to_string(),
                });
                recorder.record("loki.query_range", &inputs, &loki_result(&answer));
                answer
            })
            .buffered(CONCURRENCY)
            .collect()
            .await;
        let mut found = Vec::new();
        let mut problems = BTreeSet::new();
        for answer in answers {
            match answer {
                Ok(chunks) => found.extend(chunks.into_iter().map(items::loki)),
                Err(problem) => {
                    problems.insert(problem);
                }
            }
        }
        found.extend(problems.iter().map(|problem| items::note("loki", problem)));
        found
    }
}

fn loki_result(answer: &Result<Vec<bonesetter_proto::v1::LogChunk>, String>) -> Vec<u8> {
    match answer {
        Ok(chunks) => {
            let lines = chunks.iter().flat_map(|chunk| &chunk.lines);
            lines
                .flat_map(|line| line.text.bytes().chain(*b"\n"))
                .collect()
        }
        Err(problem) => problem.clone().into_bytes(),
    }
}

/// What the first look has found.
struct Seen<'a> {
    root: &'a ObjectRef,
    workload: &'a Workload,
    chosen: &'a [&'a Value],
    symptoms: &'a [Symptom],
}

impl Seen<'_> {
    /// The objects whose events matter, gone ones too.
    fn event_uids(&self) -> Vec<String> {
        let live = self
            .chosen
            .iter()
            .copied()
            .chain(newest_between(self.workload));
        let mut uids = vec![self.root.uid.clone()];
        uids.extend(live.map(|object| uid(object).to_owned()));
        let symptoms = self
            .symptoms
            .iter()
            .filter_map(|symptom| symptom.object.as_ref());
        uids.extend(symptoms.map(|object| object.uid.clone()));
        let mut known = BTreeSet::new();
        uids.retain(|uid| !uid.is_empty() && known.insert(uid.clone()));
        uids.truncate(MAX_EVENT_OBJECTS);
        uids
    }

    /// The chosen pods, and then those that were seen failing and are gone.
    fn pods(&self, max: usize) -> Vec<ObjectRef> {
        let mut pods: Vec<ObjectRef> = self.chosen.iter().map(|pod| reference(pod)).collect();
        for pod in workload::seen_pods(self.symptoms) {
            if !pods.iter().any(|known| known.uid == pod.uid) {
                pods.push(pod.clone());
            }
        }
        pods.truncate(max);
        pods
    }
}

/// ReplicaSets by revision and jobs as they come, the newest first.
fn newest_between(workload: &Workload) -> impl Iterator<Item = &Value> {
    let mut between: Vec<&Value> = workload.between.iter().collect();
    between.sort_by_key(|object| std::cmp::Reverse(rollout::revision(object)));
    between.into_iter().take(MAX_REPLICA_SETS)
}

async fn nodes_of(
    kubernetes: &Kubernetes<'_>,
    seen: &Seen<'_>,
    is_unschedulable: bool,
) -> Vec<EvidenceItem> {
    let kind = resource("v1", "Node");
    let kind = &kind;
    if is_unschedulable {
        let filter = Filter {
            max: Some(MAX_NODES),
            ..Filter::default()
        };
        return match kubernetes.list(kind, "", &filter).await {
            Ok(found) => found
                .iter()
                .map(|node| items::node(nodes::state(node)))
                .collect(),
            Err(error) => vec![items::note("nodes", &error.to_string())],
        };
    }
    let names: BTreeSet<String> = seen
        .chosen
        .iter()
        .map(|pod| text(pod, "/spec/nodeName").to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    stream::iter(names)
        .map(|name| async move {
            match kubernetes.get(kind, "", &name).await {
                Ok(node) => items::node(nodes::state(&node)),
                Err(error) => items::note("nodes", &error.to_string()),
            }
        })
        .buffered(CONCURRENCY)
        .collect()
        .await
}

/// The failing object, what stands between it and its pods, and its failing pods.
fn objects(workload: &Workload, chosen: &[&Value]) -> Vec<EvidenceItem> {
    let root_uid = workload.root.as_ref().map(uid);
    let mut found: Vec<EvidenceItem> = workload.root.iter().map(items::object).collect();
    found.extend(
        newest_between(workload).map(|object| match text(object, "/kind") {
            "ReplicaSet" => items::replica_set(object),
            _ => items::object(object),
        }),
    );
    let pods = chosen.iter().filter(|pod| Some(uid(pod)) != root_uid);
    found.extend(pods.map(|pod| items::object(pod)));
    found
}

fn changes(workload: &Workload, chosen: &[&Value]) -> Vec<EvidenceItem> {
    let Some(root) = workload
        .root
        .as_ref()
        .filter(|root| text(root, "/kind") == "Deployment")
    else {
        return Vec::new();
    };
    let failing = pods::failing_controllers(chosen);
    let Some((change, more)) = rollout::last_change(root, &workload.between, &failing) else {
        return Vec::new();
    };
    let mut found = vec![items::change(change)];
    if more > 0 {
        found.push(items::note(
            "changes",
            &format!("{more} more fields changed than are listed"),
        ));
    }
    found
}

/// What a remedy would be bound to: the root owner, if it has a pod template.
fn target(root: &Value, key: &DigestKey) -> Option<Target> {
    let template = root.pointer("/spec/template")?;
    Some(Target {
        object: Some(reference(root)),
        template_digest: template_digest(key, template),
        revision: rollout::revision(root),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str) -> Value {
        json!({"kind": kind, "metadata": {"name": name, "uid": format!("uid-{name}")}})
    }

    fn symptom(name: &str) -> Symptom {
        let object = ObjectRef {
            kind: "Pod".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            ..ObjectRef::default()
        };
        Symptom {
            object: Some(object),
            ..Symptom::default()
        }
    }

    #[test]
    fn events_and_logs_of_gone_pods_are_asked_for_too() {
        let root = ObjectRef {
            uid: "uid-api".to_owned(),
            ..ObjectRef::default()
        };
        let set = object("ReplicaSet", "api-1");
        let pod = object("Pod", "api-1-a");
        let workload = Workload {
            between: vec![set],
            ..Workload::default()
        };
        let symptoms = [symptom("gone"), symptom("api-1-a")];
        let seen = Seen {
            root: &root,
            workload: &workload,
            chosen: &[&pod],
            symptoms: &symptoms,
        };
        assert_eq!(
            seen.event_uids(),
            ["uid-api", "uid-api-1-a", "uid-api-1", "uid-gone"]
        );
        let names = |max| {
            seen.pods(max)
                .into_iter()
                .map(|pod| pod.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(5), ["api-1-a", "gone"]);
        assert_eq!(names(1), ["api-1-a"]);
    }

    #[test]
    fn a_bare_pod_is_one_object_and_no_target() {
        let pod = object("Pod", "p");
        let workload = Workload {
            root: Some(pod.clone()),
            ..Workload::default()
        };
        let ids: Vec<_> = objects(&workload, &[&pod])
            .into_iter()
            .map(|item| item.id)
            .collect();
        assert_eq!(ids, ["object/Pod/p"]);
        assert_eq!(target(&pod, &DigestKey::from_bytes(&[1; 32])), None);
    }

    #[test]
    fn a_target_is_bound_to_uid_template_and_revision() {
        let mut deployment = object("Deployment", "api");
        deployment["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "7"});
        deployment["spec"] = json!({"replicas": 3, "template": {"spec": {}}});
        let key = DigestKey::from_bytes(&[1; 32]);
        let bound = target(&deployment, &key).unwrap();
        assert_eq!(
            (bound.revision, bound.object.as_ref().unwrap().uid.as_str()),
            (7, "uid-api")
        );
        deployment["spec"]["replicas"] = json!(4);
        assert_eq!(
            target(&deployment, &key).unwrap().template_digest,
            bound.template_digest
        );
        deployment["spec"]["template"]["spec"]["x"] = json!(1);
        assert_ne!(
            target(&deployment, &key).unwrap().template_digest,
            bound.template_digest
        );
    }
}
