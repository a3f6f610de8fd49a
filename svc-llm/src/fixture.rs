//! Evidence for tests, in the form in which svc-enricher collects it.

use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{
    Evidence, EvidenceItem, FieldChange, KubernetesEvent, KubernetesObject, LogChunk, LogLine,
    LogSource, NodeCondition, NodeState, ObjectRef, RolloutChange, Target,
};
use prost_types::Timestamp;
use serde_json::{Value, json};

pub(crate) const NAMESPACE: &str = "shop";

/// Builds evidence about one workload with one pod, `<name>-6d9f-x1`.
#[derive(Debug, Clone)]
pub(crate) struct Fixture {
    name: String,
    container: String,
    evidence: Evidence,
}

impl Fixture {
    pub(crate) fn deployment(name: &str, container: &Value) -> Self {
        Self::workload("Deployment", name, container, 2)
    }

    pub(crate) fn job(name: &str, container: &Value) -> Self {
        Self::workload("Job", name, container, 0)
    }

    fn workload(kind: &str, name: &str, container: &Value, revision: i64) -> Self {
        let reference = reference(kind, name);
        let target = Target {
            object: Some(reference.clone()),
            template_digest: "d".repeat(64),
            revision,
        };
        let evidence = Evidence {
            target: Some(target),
            ..Evidence::default()
        };
        let container_name = container["name"].as_str().unwrap_or_default().to_owned();
        let template = json!({ "spec": { "containers": [container] } });
        let body =
            json!({ "kind": kind, "metadata": { "name": name }, "spec": { "template": template } });
        Self {
            name: name.to_owned(),
            container: container_name,
            evidence,
        }
        .object(kind, name, &body)
    }

    pub(crate) fn pod_name(&self) -> String {
        format!("{}-6d9f-x1", self.name)
    }

    /// The pod, with the container of the template and this status of it.
    pub(crate) fn pod(self, status: &Value) -> Self {
        let mut status = status.clone();
        status["name"] = json!(self.container);
        self.pod_with(&json!({ "phase": "Running", "containerStatuses": [status] }))
    }

    pub(crate) fn pod_with(self, status: &Value) -> Self {
        let template = self
            .evidence
            .items
            .iter()
            .find_map(|item| match &item.content {
                Some(Content::Object(object)) => {
                    let body: Value = serde_json::from_slice(&object.json).unwrap();
                    body.pointer("/spec/template/spec").cloned()
                }
                _ => None,
            });
        let name = self.pod_name();
        let body = json!({
            "kind": "Pod",
            "metadata": {
                "name": name,
                "ownerReferences": [{ "kind": "ReplicaSet", "name": format!("{}-6d9f", self.name) }],
            },
            "spec": template,
            "status": status,
        });
        self.object("Pod", &name, &body)
    }

    pub(crate) fn object(mut self, kind: &str, name: &str, body: &Value) -> Self {
        let content = Content::Object(KubernetesObject {
            r#ref: Some(reference(kind, name)),
            json: body.to_string().into_bytes(),
        });
        self.push(format!("object/{kind}/{name}"), content);
        self
    }

    /// Says that the pod belongs to a revision.
    pub(crate) fn replica_set(self, revision: i64) -> Self {
        let name = format!("{}-6d9f", self.name);
        let annotations = json!({ "deployment.kubernetes.io/revision": revision.to_string() });
        let body = json!({ "metadata": { "name": name, "annotations": annotations } });
        self.object("ReplicaSet", &name, &body)
    }

    pub(crate) fn event(mut self, reason: &str, message: &str) -> Self {
        let uid = format!("e{}", self.evidence.items.len());
        let seen = Timestamp {
            seconds: i64::try_from(self.evidence.items.len()).unwrap(),
            nanos: 0,
        };
        let event = KubernetesEvent {
            uid: uid.clone(),
            r#type: "Warning".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            count: 3,
            first_seen: Some(seen),
            last_seen: Some(seen),
            involved: Some(reference("Pod", &self.pod_name())),
            source: "kubelet".to_owned(),
            field_path: String::new(),
        };
        self.push(format!("event/{uid}"), Content::Event(event));
        self
    }

    pub(crate) fn log(mut self, previous: bool, lines: &[&str]) -> Self {
        let which = if previous { "previous" } else { "current" };
        let id = format!("log/{}/{}/{which}", self.pod_name(), self.container);
        let line = |text: &&str| LogLine {
            at: None,
            text: (*text).to_owned(),
            cut: false,
        };
        let chunk = LogChunk {
            pod: Some(reference("Pod", &self.pod_name())),
            container: self.container.clone(),
            init_container: false,
            previous,
            source: LogSource::Kubernetes.into(),
            lines: lines.iter().map(line).collect(),
            lines_left_out: 0,
        };
        self.push(id, Content::Log(chunk));
        self
    }

    pub(crate) fn rollout(
        mut self,
        from: i64,
        to: i64,
        healthy: bool,
        fields: &[(&str, &str, &str)],
    ) -> Self {
        let field = |(path, before, after): &(&str, &str, &str)| FieldChange {
            path: (*path).to_owned(),
            before: (*before).to_owned(),
            after: (*after).to_owned(),
        };
        let change = RolloutChange {
            workload: Some(reference("Deployment", &self.name)),
            from_revision: from,
            to_revision: to,
            rolled_out_at: None,
            changes: fields.iter().map(field).collect(),
            from_revision_was_healthy: healthy,
        };
        self.push(
            format!("change/Deployment/{}", self.name),
            Content::Change(change),
        );
        self
    }

    pub(crate) fn node(
        mut self,
        name: &str,
        allocatable: &[(&str, &str)],
        taints: &[&str],
    ) -> Self {
        let ready = NodeCondition {
            r#type: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: "KubeletReady".to_owned(),
            message: String::new(),
        };
        let state = NodeState {
            r#ref: Some(reference("Node", name)),
            conditions: vec![ready],
            allocatable: allocatable
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            unschedulable: false,
            taints: taints.iter().map(|taint| (*taint).to_owned()).collect(),
        };
        self.push(format!("node/{name}"), Content::Node(state));
        self
    }

    pub(crate) fn without_target(mut self) -> Self {
        self.evidence.target = None;
        self
    }

    pub(crate) fn build(self) -> Evidence {
        self.evidence
    }

    fn push(&mut self, id: String, content: Content) {
        self.evidence.items.push(EvidenceItem {
            id,
            content: Some(content),
        });
    }
}

fn reference(kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "v1".to_owned(),
        kind: kind.to_owned(),
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
    }
}

/// The status of a container that crashed and waits for its next start.
pub(crate) fn crash_loop(reason: &str, exit_code: i64) -> Value {
    let end = json!({ "reason": reason, "exitCode": exit_code });
    json!({
        "ready": false,
        "restartCount": 4,
        "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container" } },
        "lastState": { "terminated": end },
    })
}

/// The status of a container that waits for a reason.
pub(crate) fn waiting(reason: &str, message: &str) -> Value {
    let waiting = json!({ "reason": reason, "message": message });
    json!({ "ready": false, "restartCount": 0, "state": { "waiting": waiting } })
}
