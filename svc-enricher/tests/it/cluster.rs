//! A namespace of its own on the API server, and what tests do in it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bonesetter_keys::DigestKey;
use bonesetter_proto::v1::{Detected, Evidence, FailureClass, Incident, ObjectRef, Symptom};
use bonesetter_testbed::State;
use bonesetter_testbed::cluster::Cluster;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use svc_enricher::config::EvidenceSettings;
use svc_enricher::{Collector, Loki};

static NEXT: AtomicU64 = AtomicU64::new(1);
/// Real back-off takes its time; a test that waits longer has failed.
const LIMIT: Duration = Duration::from_mins(4);

pub(crate) struct Sandbox {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) kubeconfig: PathBuf,
    testbed: Cluster,
    folder: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) async fn new() -> Self {
        let kubeconfig = State::load().unwrap().kubeconfig().unwrap().to_owned();
        let testbed = Cluster::connect(&kubeconfig).await.unwrap();
        let client = testbed.client();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("enricher-{}-{number}", std::process::id());
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        let api: Api<Namespace> = Api::all(client.clone());
        api.create(&PostParams::default(), &object).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self {
            client,
            namespace,
            kubeconfig,
            testbed,
            folder,
        }
    }

    /// Removes everything. A test that fails leaves it behind, to be looked at.
    pub(crate) async fn remove(self) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.delete(&self.namespace, &DeleteParams::background())
            .await
            .unwrap();
    }

    fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Creates an object of any kind.
    pub(crate) async fn create(&self, object: &Value) -> ObjectRef {
        let text = |key: &str| object[key].as_str().unwrap();
        let api = self.api(text("apiVersion"), text("kind"));
        let object = serde_json::from_value(object.clone()).unwrap();
        let made = api.create(&PostParams::default(), &object).await.unwrap();
        reference(&serde_json::to_value(made).unwrap())
    }

    /// Patches an object by strategic merge.
    pub(crate) async fn patch(&self, object: &ObjectRef, patch: Value) {
        let api = self.api(&object.api_version, &object.kind);
        let patch = Patch::Strategic(patch);
        api.patch(&object.name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    pub(crate) async fn get(&self, object: &ObjectRef) -> Value {
        let api = self.api(&object.api_version, &object.kind);
        serde_json::to_value(api.get(&object.name).await.unwrap()).unwrap()
    }

    pub(crate) async fn delete(&self, object: &ObjectRef) {
        let api = self.api(&object.api_version, &object.kind);
        api.delete(&object.name, &DeleteParams::default().grace_period(0))
            .await
            .unwrap();
    }

    /// Waits until a pod satisfies a condition.
    pub(crate) async fn await_pod(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> ObjectRef {
        let api = self.api("v1", "Pod");
        let deadline = Instant::now() + LIMIT;
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            let pods = api.list(&ListParams::default()).await.unwrap();
            for pod in pods {
                let mut pod = serde_json::to_value(pod).unwrap();
                pod["apiVersion"] = json!("v1");
                pod["kind"] = json!("Pod");
                if is_it(&pod) {
                    return reference(&pod);
                }
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}");
        }
    }

    pub(crate) fn collector(&self, loki: Option<Loki>) -> Collector {
        let digest = DigestKey::from_bytes(&[7; 32]);
        Collector::new(
            self.client.clone(),
            loki,
            EvidenceSettings::default(),
            digest,
        )
    }

    /// What the cluster says of a failure.
    pub(crate) async fn collect(&self, detected: &Detected) -> Evidence {
        let collector = self.collector(None);
        collector
            .collect(detected, SystemTime::UNIX_EPOCH)
            .await
            .unwrap()
    }

    /// A client that may do some things in this namespace: group, resource, verb.
    pub(crate) async fn restricted(&self, permissions: &[(&str, &str, &str)]) -> Client {
        let parameters = PostParams::default();
        let named = json!({"name": "enricher", "namespace": self.namespace});
        let rules: Vec<Value> = permissions
            .iter()
            .map(|(group, resource, verb)| {
                json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]})
            })
            .collect();
        let account = serde_json::from_value(json!({"metadata": named})).unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        accounts.create(&parameters, &account).await.unwrap();
        let role = serde_json::from_value(json!({"metadata": named, "rules": rules})).unwrap();
        let roles: Api<Role> = Api::namespaced(self.client.clone(), &self.namespace);
        roles.create(&parameters, &role).await.unwrap();
        let binding = json!({"metadata": named,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "enricher"},
            "subjects": [{"kind": "ServiceAccount", "name": "enricher", "namespace": self.namespace}]});
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), &self.namespace);
        bindings
            .create(&parameters, &serde_json::from_value(binding).unwrap())
            .await
            .unwrap();
        let kubeconfig = self
            .testbed
            .service_account_kubeconfig(&self.namespace, "enricher", self.folder.path())
            .await
            .unwrap();
        Cluster::connect(&kubeconfig).await.unwrap().client()
    }
}

fn reference(object: &Value) -> ObjectRef {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    ObjectRef {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        uid: text("/metadata/uid"),
    }
}

/// A root owner that need not be anywhere.
pub(crate) fn root_owner() -> ObjectRef {
    ObjectRef {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: "api".into(),
        uid: "u".into(),
    }
}

/// What the watcher would publish.
pub(crate) fn detected(root: &ObjectRef, pods: &[&ObjectRef], class: FailureClass) -> Detected {
    let symptoms = pods.iter().map(|pod| Symptom {
        object: Some((*pod).clone()),
        failure_class: class.into(),
        ..Symptom::default()
    });
    Detected {
        incident: Some(Incident {
            root_owner: Some(root.clone()),
            ..Incident::default()
        }),
        failure_class: class.into(),
        symptoms: symptoms.collect(),
        ..Detected::default()
    }
}

/// A container of faultbox.
pub(crate) fn container(name: &str, args: &[&str]) -> Value {
    json!({"name": name, "image": "localhost/faultbox:1", "imagePullPolicy": "Never", "args": args})
}

/// A Deployment of one container with a readiness probe.
pub(crate) fn deployment(name: &str, args: &[&str]) -> Value {
    let mut app = container("app", args);
    app["env"] = json!([{"name": "LOG_LEVEL", "value": "info"}, {"name": "DB_PASSWORD", "value": "hunter2-canary"}]);
    app["readinessProbe"] =
        json!({"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [app]}}}})
}

/// A pod that is not restarted.
pub(crate) fn pod(name: &str, args: &[&str]) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [container("app", args)]}})
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    pod.pointer("/status/containerStatuses/0/ready") == Some(&Value::Bool(true))
}

pub(crate) fn is_waiting(pod: &Value, reason: &str) -> bool {
    pod.pointer("/status/containerStatuses/0/state/waiting/reason")
        .and_then(Value::as_str)
        == Some(reason)
}

pub(crate) fn is_in_phase(pod: &Value, phase: &str) -> bool {
    pod.pointer("/status/phase").and_then(Value::as_str) == Some(phase)
}
