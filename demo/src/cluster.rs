//! What the demo does in the cluster itself, as a user with `kubectl` would.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::pinned_kind;
use kube::{Client, Config, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const POLL: Duration = Duration::from_millis(250);
/// The field manager of `kubectl apply --server-side`.
const MANAGER: &str = "kubectl";

/// The cluster, with an administrator's rights.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    /// Connects with a kubeconfig.
    pub async fn connect(kubeconfig: &Path) -> anyhow::Result<Self> {
        let config = Kubeconfig::read_from(kubeconfig)
            .with_context(|| format!("cannot read {}", kubeconfig.display()))?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        Ok(Self {
            client: Client::try_from(config)?,
        })
    }

    /// The client.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Applies every object of a YAML text, in order.
    pub async fn apply(&self, yaml: &str, default_namespace: Option<&str>) -> anyhow::Result<()> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(yaml)?;
        for object in objects.into_iter().filter(|object| !object.is_null()) {
            self.apply_object(object, default_namespace).await?;
        }
        Ok(())
    }

    /// Applies one object.
    pub async fn apply_object(&self, object: Value, namespace: Option<&str>) -> anyhow::Result<()> {
        let object: DynamicObject = serde_json::from_value(object)?;
        let types = object
            .types
            .clone()
            .context("an object without apiVersion and kind")?;
        let gvk = kube::core::GroupVersionKind::try_from(&types)?;
        let (resource, capabilities) = pinned_kind(&self.client, &gvk).await?;
        let name = object
            .metadata
            .name
            .clone()
            .context("an object without a name")?;
        let is_namespaced = capabilities.scope == kube::discovery::Scope::Namespaced;
        let own = object.metadata.namespace.clone();
        let api: Api<DynamicObject> = match own.as_deref().or(namespace) {
            Some(namespace) if is_namespaced => {
                Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
            _ => Api::all_with(self.client.clone(), &resource),
        };
        let params = PatchParams::apply(MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(&object))
            .await
            .with_context(|| format!("cannot apply {} {name}", types.kind))?;
        Ok(())
    }

    /// Makes an empty namespace, removing an old one of that name first.
    pub async fn fresh_namespace(&self, name: &str) -> anyhow::Result<()> {
        self.delete_namespace(name).await?;
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.apply_object(namespace, None).await
    }

    /// Deletes a namespace and waits until it is gone.
    pub async fn delete_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if namespaces.get_opt(name).await?.is_none() {
            return Ok(());
        }
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), name);
        namespaces.delete(name, &DeleteParams::default()).await?;
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        pods.delete_collection(&params, &ListParams::default())
            .await?;
        wait_until(
            Duration::from_mins(2),
            &format!("namespace {name} is gone"),
            async || Ok(namespaces.get_opt(name).await?.is_none()),
        )
        .await
    }

    /// Deletes all cluster roles of Bonesetter whose names begin with `prefix`, and their bindings.
    pub async fn delete_cluster_roles(&self, prefix: &str) -> anyhow::Result<()> {
        self.delete_prefixed::<ClusterRoleBinding>(prefix).await?;
        self.delete_prefixed::<ClusterRole>(prefix).await
    }

    async fn delete_prefixed<K>(&self, prefix: &str) -> anyhow::Result<()>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>
            + Clone
            + fmt::Debug
            + DeserializeOwned,
    {
        let everywhere: Api<K> = Api::all(self.client.clone());
        let ours = ListParams::default().labels("app.kubernetes.io/part-of=bonesetter");
        for object in everywhere.list(&ours).await? {
            if let Some(name) = &object.meta().name
                && name.starts_with(prefix)
            {
                everywhere.delete(name, &DeleteParams::default()).await?;
            }
        }
        Ok(())
    }

    /// Waits until a Deployment has rolled out.
    pub async fn wait_available(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        wait_until(
            Duration::from_mins(2),
            &format!("{namespace}/{name} is available"),
            async || {
                let deployment = deployments.get(name).await?;
                let status = deployment.status.unwrap_or_default();
                let desired = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
                Ok(status.observed_generation == deployment.metadata.generation
                    && status.updated_replicas == Some(desired)
                    && status.available_replicas == Some(desired))
            },
        )
        .await
    }

    /// The memory limit of the first container of a Deployment.
    pub async fn memory_limit(&self, namespace: &str, name: &str) -> anyhow::Result<String> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let deployment = deployments.get(name).await?;
        let limit = deployment
            .spec
            .and_then(|spec| spec.template.spec)
            .and_then(|spec| spec.containers.into_iter().next())
            .and_then(|container| container.resources)
            .and_then(|resources| resources.limits)
            .and_then(|limits| limits.get("memory").cloned());
        limit.map(|quantity| quantity.0).context("no memory limit")
    }
}

/// Polls a condition until it holds; the error says what was waited for.
pub async fn wait_until(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let poll = async {
        loop {
            if condition().await? {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(limit, poll)
        .await
        .with_context(|| format!("waited {}s in vain until {what}", limit.as_secs()))?
}
