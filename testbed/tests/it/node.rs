//! The node: real containers that really fail, and their logs.

use crate::wait::until;
use anyhow::{Context as _, Result};
use bonesetter_testbed::State;
use bonesetter_testbed::cluster::Cluster;
use bonesetter_testbed::image::FAULTBOX;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Namespace, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, LogParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

/// A namespace of the test's own; it is deleted with what is in it.
struct Room {
    cluster: Cluster,
    state: State,
    namespace: String,
}

impl Room {
    async fn open(name: &str) -> Result<Self> {
        let state = State::load()?;
        let cluster = Cluster::connect(state.kubeconfig()?).await?;
        let namespace = format!("testbed-{name}-{}", std::process::id());
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        let namespaces: Api<Namespace> = Api::all(cluster.client());
        namespaces.create(&PostParams::default(), &object).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), &namespace);
        until("the default account", async || {
            Ok(accounts.get_opt("default").await?)
        })
        .await?;
        Ok(Self {
            cluster,
            state,
            namespace,
        })
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), &self.namespace)
    }

    async fn run(&self, name: &str, arguments: &[&str], limits: &Value) -> Result<()> {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "main",
                    "image": FAULTBOX[0],
                    "imagePullPolicy": "Never",
                    "args": arguments,
                    "resources": {"limits": limits},
                }],
            },
        }))?;
        self.pods().create(&PostParams::default(), &pod).await?;
        Ok(())
    }

    /// The last end of the pod's container, once it has been restarted or is waiting for that.
    async fn last_end(&self, name: &str) -> Result<ContainerStateTerminated> {
        let pods = self.pods();
        until("the container has ended", async || {
            let status = pods.get(name).await?.status;
            let containers = status.and_then(|status| status.container_statuses);
            let container = containers.and_then(|mut containers| containers.pop());
            Ok(container.and_then(|container| container.last_state?.terminated))
        })
        .await
    }

    async fn close(self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.cluster.client());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await?;
        Ok(())
    }
}

#[tokio::test]
async fn the_node_is_ready() -> Result<()> {
    let state = State::load()?;
    let cluster = Cluster::connect(state.kubeconfig()?).await?;
    cluster
        .is_node_ready(&state.node()?.name)
        .await
        .map_err(anyhow::Error::msg)
}

#[tokio::test]
async fn a_crash_is_seen_and_its_log_is_readable_and_shipped() -> Result<()> {
    let room = Room::open("crash").await?;
    let message = format!("main: giving up {}", room.namespace);
    let long = "20000";
    let arguments = [
        "log",
        "--long-line",
        long,
        "--then",
        "crash",
        "--code",
        "3",
        "--message",
    ];
    room.run("crash", &[&arguments[..], &[&message]].concat(), &json!({}))
        .await?;

    let end = room.last_end("crash").await?;
    assert_eq!((end.exit_code, end.reason.as_deref()), (3, Some("Error")));
    let parameters = LogParams {
        previous: true,
        ..LogParams::default()
    };
    let log = until("the previous log is readable", async || {
        Ok(room.pods().logs("crash", &parameters).await.ok())
    })
    .await?;
    let last = log.lines().last().context("the previous log is empty")?;
    assert!(last.ends_with(&format!("FATAL {message}")), "{last}");

    let lines = shipped_lines(&room, &message).await?;
    let payload = lines.iter().find(|line| line.contains("payload="));
    let payload = payload.context("Loki lacks the long line")?;
    assert!(
        payload.len() > 20_000,
        "the pieces of the long line were not joined"
    );
    room.close().await
}

/// The lines of the room that Loki has, once one of them ends with `last`.
async fn shipped_lines(room: &Room, last: &str) -> Result<Vec<String>> {
    let url = format!("{}/loki/api/v1/query_range", room.state.loki_url()?);
    let query = format!("{{namespace=\"{}\",container=\"main\"}}", room.namespace);
    let http = reqwest::Client::builder().no_proxy().build()?;
    until("Loki has the lines", async || {
        let answer: Value = http
            .get(&url)
            .query(&[("query", &query)])
            .send()
            .await?
            .json()
            .await?;
        let streams = answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let values = streams
            .iter()
            .filter_map(|stream| stream["values"].as_array())
            .flatten();
        let lines: Vec<String> = values
            .filter_map(|value| value[1].as_str().map(str::to_owned))
            .collect();
        Ok(lines
            .iter()
            .any(|line| line.ends_with(last))
            .then_some(lines))
    })
    .await
}

#[tokio::test]
async fn a_memory_limit_really_kills() -> Result<()> {
    let room = Room::open("oom").await?;
    let arguments = ["eat", "--mib", "256", "--then", "serve"];
    room.run("oom", &arguments, &json!({"memory": "32Mi"}))
        .await?;
    let end = room.last_end("oom").await?;
    assert_eq!(
        (end.exit_code, end.reason.as_deref()),
        (137, Some("OOMKilled"))
    );
    room.close().await
}

#[tokio::test]
async fn a_service_account_may_do_only_what_its_roles_say() -> Result<()> {
    let room = Room::open("account").await?;
    let folder = tempfile::tempdir()?;
    let file = room
        .cluster
        .service_account_kubeconfig(&room.namespace, "default", folder.path())
        .await?;
    let kubeconfig = Kubeconfig::read_from(&file)?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    let pods: Api<Pod> = Api::namespaced(kube::Client::try_from(config)?, &room.namespace);
    let error = pods.list(&kube::api::ListParams::default()).await.err();
    let error = error
        .context("an account without a role listed pods")?
        .to_string();
    let account = format!("system:serviceaccount:{}:default", room.namespace);
    assert!(error.contains(&account), "{error}");
    room.close().await
}
