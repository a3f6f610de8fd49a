//! A namespace of its own on the API server, and what tests do in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bonesetter_testbed::State;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

/// Every right that svc-actuator needs, in the namespaces in which it may make changes.
pub(crate) const RIGHTS: [(&str, &str, &[&str]); 3] = [
    ("apps", "deployments", &["get", "patch"]),
    ("apps", "replicasets", &["list"]),
    ("", "pods", &["list"]),
];

static NEXT: AtomicU64 = AtomicU64::new(1);

pub(crate) struct Sandbox {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) testbed: bonesetter_testbed::cluster::Cluster,
}

impl Sandbox {
    pub(crate) async fn new() -> Self {
        let state = State::load().unwrap();
        let kubeconfig = state.kubeconfig().unwrap();
        let testbed = bonesetter_testbed::cluster::Cluster::connect(kubeconfig)
            .await
            .unwrap();
        let client = testbed.client();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("actuator-{}-{number}", std::process::id());
        let object =
            json!({"metadata": {"name": namespace, "labels": {"bonesetter-test": namespace}}});
        let api: Api<Namespace> = Api::all(client.clone());
        api.create(
            &PostParams::default(),
            &serde_json::from_value(object).unwrap(),
        )
        .await
        .unwrap();
        Self {
            client,
            namespace,
            testbed,
        }
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn raw(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("apps", "v1", "Deployment");
        let resource = ApiResource::from_gvk(&kind);
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Creates a Deployment as `kubectl create` would, and waits for its first revision.
    pub(crate) async fn create(&self, name: &str, container: &Value) {
        let object = deployment(name, container);
        let parameters = PostParams {
            field_manager: Some("kubectl-create".to_owned()),
            ..PostParams::default()
        };
        let object = serde_json::from_value(object).unwrap();
        self.deployments()
            .create(&parameters, &object)
            .await
            .unwrap();
        self.await_revision(name, 1).await;
    }

    /// Changes a Deployment with a merge patch, as some field manager.
    pub(crate) async fn merge(&self, name: &str, manager: &str, patch: &Value) {
        let parameters = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        self.deployments()
            .patch(name, &parameters, &Patch::Strategic(patch))
            .await
            .unwrap();
    }

    /// Changes one container of a Deployment, as some field manager.
    pub(crate) async fn change(&self, name: &str, manager: &str, container: &Value) {
        let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        self.merge(name, manager, &patch).await;
    }

    /// Applies (server-side, with force) one container of a Deployment, as some field manager.
    pub(crate) async fn apply(&self, name: &str, manager: &str, container: &Value) {
        let patch = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"template": {"spec": {"containers": [container]}}},
        });
        let parameters = PatchParams::apply(manager).force();
        self.raw()
            .patch(name, &parameters, &Patch::Apply(patch))
            .await
            .unwrap();
    }

    pub(crate) async fn get(&self, name: &str) -> Value {
        serde_json::to_value(self.raw().get(name).await.unwrap()).unwrap()
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.deployments()
            .delete(name, &DeleteParams::background())
            .await
            .unwrap();
        eventually("the deployment to go", async || {
            self.deployments()
                .get_opt(name)
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
    }

    /// Waits until the controller has made a revision.
    pub(crate) async fn await_revision(&self, name: &str, revision: i64) {
        let sets: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let wanted = revision.to_string();
        let selector = ListParams::default().labels(&format!("app={name}"));
        eventually(&format!("revision {revision} of {name}"), async || {
            let sets = sets.list(&selector).await.unwrap();
            let live = self.get(name).await;
            let is_wanted = |value: Option<&str>| value == Some(wanted.as_str());
            let key = svc_actuator::render::REVISION;
            let has_set = sets.iter().any(|set| {
                let annotations = set.metadata.annotations.as_ref();
                is_wanted(annotations.and_then(|all| all.get(key)).map(String::as_str))
            });
            let is_live = is_wanted(live["metadata"]["annotations"][key].as_str());
            (has_set && is_live).then_some(())
        })
        .await;
    }

    /// Creates any object of the cluster.
    pub(crate) async fn create_object(&self, api: &str, kind: &str, object: Value) {
        let (group, version) = api.split_once('/').unwrap();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    pub(crate) async fn delete_object(&self, api: &str, kind: &str, name: &str) {
        let (group, version) = api.split_once('/').unwrap();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// A client that may do exactly what svc-actuator may, or less.
    pub(crate) async fn client_with(&self, rights: &[(&str, &str, &[&str])]) -> Client {
        let name = format!("svc-actuator-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.bind(&name, rights).await;
        let folder = tempfile::tempdir().unwrap();
        let path = self
            .testbed
            .service_account_kubeconfig(&self.namespace, &name, folder.path());
        let path = path.await.unwrap();
        let file = kube::config::Kubeconfig::read_from(path).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(file, &options)
            .await
            .unwrap();
        config.accept_invalid_certs = true;
        let client = Client::try_from(config).unwrap();
        self.await_right(&client, rights).await;
        client
    }

    /// The kubeconfig of a service account that has every right it needs and no other.
    pub(crate) async fn kubeconfig(&self, folder: &std::path::Path) -> std::path::PathBuf {
        self.bind("svc-actuator", &RIGHTS).await;
        let account =
            self.testbed
                .service_account_kubeconfig(&self.namespace, "svc-actuator", folder);
        account.await.unwrap()
    }

    async fn bind(&self, name: &str, rights: &[(&str, &str, &[&str])]) {
        let rules: Vec<_> = rights
            .iter()
            .map(|(group, resource, verbs)| {
                json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})
            })
            .collect();
        let metadata = json!({"name": name, "namespace": self.namespace});
        let role = json!({"metadata": metadata, "rules": rules});
        let binding = json!({
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
        });
        let client = || self.client.clone();
        let parameters = PostParams::default();
        let accounts: Api<ServiceAccount> = Api::namespaced(client(), &self.namespace);
        let account = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        accounts.create(&parameters, &account).await.unwrap();
        let roles: Api<Role> = Api::namespaced(client(), &self.namespace);
        roles
            .create(&parameters, &serde_json::from_value(role).unwrap())
            .await
            .unwrap();
        let bindings: Api<RoleBinding> = Api::namespaced(client(), &self.namespace);
        bindings
            .create(&parameters, &serde_json::from_value(binding).unwrap())
            .await
            .unwrap();
    }

    /// The authorizer learns of a new role after a moment.
    async fn await_right(&self, client: &Client, rights: &[(&str, &str, &[&str])]) {
        let Some((group, resource, verbs)) = rights.last() else {
            return;
        };
        let attributes = ResourceAttributes {
            group: Some((*group).to_owned()),
            resource: Some((*resource).to_owned()),
            verb: verbs.last().map(|verb| (*verb).to_owned()),
            namespace: Some(self.namespace.clone()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        eventually("the role to take effect", async || {
            let answer = api.create(&PostParams::default(), &review).await.unwrap();
            answer
                .status
                .is_some_and(|status| status.allowed)
                .then_some(())
        })
        .await;
    }

    /// Asks for the removal of the namespace; nobody waits for it.
    pub(crate) async fn remove(self) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.delete(&self.namespace, &DeleteParams::default())
            .await
            .unwrap();
    }
}

/// A container of the test image that serves, with a memory limit.
pub(crate) fn serving() -> Value {
    json!({
        "name": "app",
        "image": bonesetter_testbed::image::FAULTBOX[0],
        "imagePullPolicy": "Never",
        "args": ["serve", "--port", "8080"],
        "env": [{"name": "MODE", "value": "good"}],
        "resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}},
    })
}

fn deployment(name: &str, container: &Value) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
            },
        },
    })
}

/// Looks again until there is something; says what was waited for when it takes too long.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        let mut pause = tokio::time::interval(Duration::from_millis(100));
        loop {
            pause.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    let limit = Duration::from_secs(90);
    let result = tokio::time::timeout(limit, looking).await;
    result.unwrap_or_else(|_| panic!("waited {limit:?} for {what}"))
}
