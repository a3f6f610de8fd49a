//! Asking a cluster: readiness, identities, and removing what runs on it.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, PostParams, PropagationPolicy};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the token of a service account is valid.
const TOKEN_SECONDS: i64 = 7 * 24 * 3600;

/// The cluster could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig {}: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A request failed.
    #[error("{what} failed: {source}")]
    Request {
        /// What was asked.
        what: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Pods did not go away.
    #[error("{count} pods are still there after {limit:?}")]
    Pods {
        /// How many.
        count: usize,
        /// How long was waited.
        limit: Duration,
    },
    /// The API gave no token.
    #[error("the API server gave no token for {0}")]
    NoToken(String),
}

fn failed(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
    let what = what.into();
    move |source| Error::Request {
        what,
        source: Box::new(source),
    }
}

/// How a client reaches an API server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Such as `https://127.0.0.1:6443`.
    pub server: String,
    /// Certificate authority, PEM.
    pub authority: String,
}

/// Who a client is.
#[derive(Debug, Clone)]
pub enum Identity {
    /// A certificate and its key, PEM.
    Certificate {
        /// Certificate.
        certificate: String,
        /// Key.
        key: String,
    },
    /// A bearer token.
    Token(String),
}

/// A kubeconfig with everything in it. It is JSON, which every reader of YAML reads.
pub fn kubeconfig(endpoint: &Endpoint, identity: &Identity, namespace: &str) -> Value {
    let encode = |pem: &str| base64_encode(pem.as_bytes());
    let user = match identity {
        Identity::Certificate { certificate, key } => json!({
            "client-certificate-data": encode(certificate),
            "client-key-data": encode(key),
        }),
        Identity::Token(token) => json!({ "token": token }),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": {
            "server": endpoint.server,
            "certificate-authority-data": encode(&endpoint.authority),
        }}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "testbed", "context": {
            "cluster": "testbed", "user": "user", "namespace": namespace,
        }}],
        "current-context": "testbed",
    })
}

/// Standard base64 with padding (RFC 4648, section 4).
fn base64_encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    let cannot = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(cannot)?;
    }
    let mut options = fs::File::options();
    let file = options
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path);
    io::Write::write_all(&mut file.map_err(cannot)?, content).map_err(cannot)
}

/// A cluster that is reached with a kubeconfig.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    endpoint: Endpoint,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Cluster")
            .field("endpoint", &self.endpoint.server)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Connects with the current context of a kubeconfig.
    pub async fn connect(path: &Path) -> Result<Self, Error> {
        let bad = |reason: String| Error::Kubeconfig {
            path: path.to_owned(),
            reason,
        };
        let kubeconfig = Kubeconfig::read_from(path).map_err(|error| bad(error.to_string()))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| bad(error.to_string()))?;
        config.proxy_url = None;
        let certificates = config.root_cert.clone().unwrap_or_default();
        let authority = certificates
            .iter()
            .map(|der| pem("CERTIFICATE", der))
            .collect();
        let server = config
            .cluster_url
            .to_string()
            .trim_end_matches('/')
            .to_owned();
        let client = Client::try_from(config).map_err(|error| bad(error.to_string()))?;
        Ok(Self {
            client,
            endpoint: Endpoint { server, authority },
        })
    }

    /// The client, for requests of a caller's own.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Whether the API server says that it is ready.
    pub async fn is_api_ready(&self) -> Result<(), String> {
        let request = http::Request::get("/readyz").body(Vec::new());
        let request = request.map_err(|error| error.to_string())?;
        self.client
            .request_text(request)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// Whether a node is ready, may be scheduled to, and service accounts are made.
    pub async fn is_node_ready(&self, name: &str) -> Result<(), String> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = nodes.get(name).await.map_err(|error| error.to_string())?;
        let conditions = node
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        let ready = conditions
            .iter()
            .find(|condition| condition.type_ == "Ready");
        if ready.is_none_or(|condition| condition.status != "True") {
            let message = ready.and_then(|condition| condition.message.clone());
            return Err(message.unwrap_or_else(|| "no Ready condition yet".to_owned()));
        }
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        if let Some(taint) = taints.first() {
            return Err(format!("the node has the taint {}", taint.key));
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "default");
        accounts
            .get("default")
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// Writes a kubeconfig with which one acts as a service account, and returns its place.
    /// The account must exist. Source: Kubernetes API, `TokenRequest`.
    pub async fn service_account_kubeconfig(
        &self,
        namespace: &str,
        name: &str,
        folder: &Path,
    ) -> Result<PathBuf, Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let who = format!("{namespace}/{name}");
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .map_err(failed(format!("requesting a token for {who}")))?;
        let token = answer
            .status
            .and_then(|status| status.token)
            .ok_or(Error::NoToken(who))?;
        let text = kubeconfig(&self.endpoint, &Identity::Token(token), namespace).to_string();
        let path = folder.join(format!("{namespace}-{name}.kubeconfig"));
        write_private(&path, text.as_bytes())?;
        Ok(path)
    }

    /// Removes everything that runs pods, in all namespaces, then the pods, and waits until they
    /// are gone.
    pub async fn delete_workloads(&self, limit: Duration) -> Result<(), Error> {
        self.delete_all::<CronJob>().await?;
        self.delete_all::<Job>().await?;
        self.delete_all::<Deployment>().await?;
        self.delete_all::<StatefulSet>().await?;
        self.delete_all::<DaemonSet>().await?;
        self.delete_all::<ReplicaSet>().await?;
        let deadline = Instant::now() + limit;
        loop {
            // Again at each look: a controller may have made one after the first.
            let count = self.delete_pods().await?;
            if count == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::Pods { count, limit });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn delete_all<K>(&self) -> Result<(), Error>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let what = || format!("deleting all {}", K::plural(&()));
        let everywhere: Api<K> = Api::all(self.client.clone());
        let objects = everywhere
            .list(&ListParams::default())
            .await
            .map_err(failed(what()))?;
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        for object in objects {
            let (Some(name), Some(namespace)) = (&object.meta().name, &object.meta().namespace)
            else {
                continue;
            };
            let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
            match api.delete(name, &parameters).await {
                Ok(_) => {}
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(failed(what())(error)),
            }
        }
        Ok(())
    }

    /// Asks for the deletion of all pods with a grace of a second; returns how many are there.
    /// Not zero: that would remove the object at once and leave the containers to themselves.
    async fn delete_pods(&self) -> Result<usize, Error> {
        let everywhere: Api<Pod> = Api::all(self.client.clone());
        let pods = everywhere
            .list(&ListParams::default())
            .await
            .map_err(failed("listing pods"))?;
        let parameters = DeleteParams {
            grace_period_seconds: Some(1),
            ..DeleteParams::default()
        };
        for pod in &pods {
            let metadata = &pod.metadata;
            if metadata
                .deletion_grace_period_seconds
                .is_some_and(|seconds| seconds <= 1)
            {
                continue;
            }
            if let (Some(name), Some(namespace)) = (&metadata.name, &metadata.namespace) {
                let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
                match api.delete(name, &parameters).await {
                    Ok(_) => {}
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(failed("deleting pods")(error)),
                }
            }
        }
        Ok(pods.items.len())
    }
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = base64_encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + &format!("\n-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Identity, kubeconfig, pem};

    #[test]
    fn pem_lines_have_64_characters() {
        let text = pem("CERTIFICATE", &[0; 60]);
        let lines: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lines, [27, 64, 16, 25]);
    }

    #[test]
    fn a_kubeconfig_holds_its_token() {
        let endpoint = Endpoint {
            server: "https://127.0.0.1:1".into(),
            authority: "ca".into(),
        };
        let config = kubeconfig(&endpoint, &Identity::Token("t".into()), "ns");
        assert_eq!(config["users"][0]["user"]["token"], "t");
        assert_eq!(
            config["clusters"][0]["cluster"]["certificate-authority-data"],
            "Y2E="
        );
        let read: Result<kube::config::Kubeconfig, _> = serde_json::from_value(config);
        assert!(read.is_ok());
    }
}
