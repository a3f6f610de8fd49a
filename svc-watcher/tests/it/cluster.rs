//! A namespace of its own on the API server, and what tests do in it.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bonesetter_testbed::State;
use bonesetter_testbed::cluster::Cluster;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

static NEXT: AtomicU64 = AtomicU64::new(1);
/// Real back-off takes its time; a test that waits longer has failed.
const LIMIT: Duration = Duration::from_mins(4);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct Sandbox {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) testbed: Cluster,
    folder: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) async fn new() -> Self {
        let state = State::load().unwrap();
        let kubeconfig = state.kubeconfig().unwrap().to_owned();
        let testbed = Cluster::connect(&kubeconfig).await.unwrap();
        let client = testbed.client();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("watcher-{}-{number}", std::process::id());
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
        // A pod that nobody runs has nobody who ends it.
        let now = DeleteParams::default().grace_period(0);
        let pods: Api<Pod> = self.pods();
        for pod in pods
            .list(&kube::api::ListParams::default().labels("nobody=runs"))
            .await
            .unwrap()
        {
            let _ = pods.delete(&pod.metadata.name.unwrap(), &now).await;
        }
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates an object of any kind.
    pub(crate) async fn create(&self, object: &Value) {
        let text = |key: &str| object[key].as_str().unwrap();
        let (group, version) = text("apiVersion")
            .split_once('/')
            .unwrap_or(("", text("apiVersion")));
        let kind = GroupVersionKind::gvk(group, version, text("kind"));
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let object = serde_json::from_value(object.clone()).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    /// Creates a pod that no scheduler and no kubelet touches, so that its status is ours.
    pub(crate) async fn create_puppet(&self, name: &str) {
        self.create(&json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"nobody": "runs"}},
            "spec": {"schedulingGates": [{"name": "bonesetter.dev/test"}],
                     "containers": [{"name": "app", "image": "localhost/faultbox:1"}]}}))
            .await;
    }

    /// Gives a pod a status.
    pub(crate) async fn set_status(&self, name: &str, status: &Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.pods()
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Creates a pod and makes it fail.
    pub(crate) async fn create_failed(&self, name: &str) {
        self.create_puppet(name).await;
        self.set_status(name, &out_of_memory()).await;
    }

    /// Deletes a pod that nobody runs.
    pub(crate) async fn delete_puppet(&self, name: &str) {
        self.pods()
            .delete(name, &DeleteParams::default().grace_period(0))
            .await
            .unwrap();
    }

    /// A kubeconfig with which one may do anything, in whose context this namespace is the default;
    /// the API server may be reached at another address.
    pub(crate) fn kubeconfig_at(&self, name: &str, address: Option<SocketAddr>) -> PathBuf {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["contexts"][0]["context"]["namespace"] = json!(self.namespace);
        if let Some(address) = address {
            config["clusters"][0]["cluster"]["server"] = json!(format!("https://{address}"));
        }
        let file = self.folder.path().join(format!("{name}.kubeconfig"));
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    /// Where the API server listens.
    pub(crate) fn api_server(&self) -> SocketAddr {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        let url = config["clusters"][0]["cluster"]["server"].as_str().unwrap();
        url.strip_prefix("https://").unwrap().parse().unwrap()
    }

    /// A kubeconfig with which one may list and watch some resources in this namespace.
    pub(crate) async fn restricted(&self, resources: &[(&str, &str)]) -> PathBuf {
        let named = |name: &str| json!({"name": name, "namespace": self.namespace});
        let account = serde_json::from_value(json!({"metadata": named("watcher")})).unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        accounts
            .create(&PostParams::default(), &account)
            .await
            .unwrap();
        let rules: Vec<Value> = resources
            .iter()
            .map(|(group, resource)| {
                json!({"apiGroups": [group], "resources": [resource], "verbs": ["list", "watch"]})
            })
            .collect();
        let role = json!({"metadata": named("watcher"), "rules": rules});
        let roles: Api<Role> = Api::namespaced(self.client.clone(), &self.namespace);
        roles
            .create(
                &PostParams::default(),
                &serde_json::from_value(role).unwrap(),
            )
            .await
            .unwrap();
        let binding = json!({"metadata": named("watcher"),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "watcher"},
            "subjects": [{"kind": "ServiceAccount", "name": "watcher", "namespace": self.namespace}]});
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), &self.namespace);
        let binding = serde_json::from_value(binding).unwrap();
        bindings
            .create(&PostParams::default(), &binding)
            .await
            .unwrap();
        self.testbed
            .service_account_kubeconfig(&self.namespace, "watcher", self.folder.path())
            .await
            .unwrap()
    }
}

/// A pod that ended at its memory limit.
pub(crate) fn out_of_memory() -> Value {
    json!({"phase": "Failed", "containerStatuses": [container(&json!({"terminated": {
        "reason": "OOMKilled", "exitCode": 137, "containerID": "containerd://0",
        "startedAt": "2026-11-02T09:00:00Z", "finishedAt": "2026-11-02T09:00:05Z"}}), false)]})
}

/// A pod that works.
pub(crate) fn at_work() -> Value {
    json!({"phase": "Running",
        "conditions": [{"type": "Ready", "status": "True",
                        "lastTransitionTime": "2026-11-02T09:01:00Z"}],
        "containerStatuses": [container(&json!({"running": {"startedAt": "2026-11-02T09:01:00Z"}}),
                                        true)]})
}

fn container(state: &Value, ready: bool) -> Value {
    json!({"name": "app", "image": "localhost/faultbox:1", "imageID": "", "restartCount": 0,
           "ready": ready, "state": state})
}

/// Waits until something is there, or fails with what was waited for.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    let mut ticks = tokio::time::interval(PAUSE);
    loop {
        ticks.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
    }
}

/// Waits until something is as expected, or fails with the difference.
pub(crate) async fn equal<T: PartialEq + Debug>(
    what: &str,
    expected: &T,
    mut look: impl AsyncFnMut() -> T,
) {
    let deadline = Instant::now() + LIMIT;
    let mut ticks = tokio::time::interval(PAUSE);
    loop {
        ticks.tick().await;
        let found = look().await;
        if found == *expected {
            return;
        }
        if Instant::now() >= deadline {
            assert_eq!(found, *expected, "waited in vain for {what}");
        }
    }
}
