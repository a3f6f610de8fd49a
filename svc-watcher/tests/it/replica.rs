//! Watchers as processes of their own, which share shards by Leases.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bonesetter_chassis::http::{HttpOptions, client};
use bonesetter_testbed::ports::free_port;
use bonesetter_testbed::process::{Launch, Server};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use serde_json::{Value, json};
use svc_watcher::shards::{lease_name, shard_of};

use crate::bus::TestBus;
use crate::cluster::{Sandbox, equal, eventually};

/// The shards of these tests.
pub(crate) const SHARDS: u32 = 2;
/// How long a process may take to drain.
const DRAIN: Duration = Duration::from_secs(30);

/// A bus, a namespace for the Leases, and a watched namespace in each shard.
pub(crate) struct Scene {
    pub(crate) bus: TestBus,
    /// By shard.
    pub(crate) watched: Vec<Sandbox>,
    pub(crate) system: Sandbox,
    folder: tempfile::TempDir,
}

/// Where a replica reaches what it needs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reach {
    pub(crate) api: Option<SocketAddr>,
    pub(crate) nats: Option<SocketAddr>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let (mut watched, mut spare) = (Vec::new(), Vec::new());
        while watched.len() < SHARDS as usize {
            let sandbox = Sandbox::new().await;
            let is_next = shard_of(&sandbox.namespace, SHARDS) as usize == watched.len();
            let place = if is_next { &mut watched } else { &mut spare };
            place.push(sandbox);
        }
        for sandbox in spare {
            sandbox.remove().await;
        }
        Self {
            bus: TestBus::start().await,
            watched,
            system: Sandbox::new().await,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) async fn remove(self) {
        for sandbox in self.watched {
            sandbox.remove().await;
        }
        self.system.remove().await;
    }

    /// Starts a replica.
    pub(crate) fn replica(&self, name: &str, reach: Reach) -> Replica {
        let watched: Vec<_> = self.watched.iter().map(|it| &it.namespace).collect();
        let mut nats = json!(self.bus.settings());
        if let Some(address) = reach.nats {
            nats["url"] = json!(format!("nats://{address}"));
        }
        let port = free_port().unwrap();
        let config = json!({
            "cluster": "test",
            "health": {"listen": format!("127.0.0.1:{port}")},
            "nats": nats,
            "keys": {"signing_file": self.bus.signing_file()},
            "kubeconfig": self.system.kubeconfig_at(name, reach.api),
            "namespaces": {"watch": watched},
            "sharding": {"shards": SHARDS},
            "settle": "100ms",
            "stability_window": "12s",
            "cooldown": "0",
        });
        let file = self.folder.path().join(format!("{name}.json"));
        std::fs::write(&file, config.to_string()).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_svc-watcher"));
        let log = self.folder.path().join(format!("{name}.log"));
        let launch = Launch::new(name, program, log).arg("--config").arg(file);
        Replica {
            server: launch.start().unwrap(),
            health: format!("http://127.0.0.1:{port}"),
        }
    }

    /// The Lease of a shard.
    pub(crate) async fn lease(&self, shard: u32) -> LeaseSpec {
        let api: Api<Lease> = Api::namespaced(self.system.client.clone(), &self.system.namespace);
        let lease = api.get_opt(&lease_name(shard, SHARDS)).await.unwrap();
        lease.and_then(|lease| lease.spec).unwrap_or_default()
    }

    /// Who holds each shard; an empty name where nobody does.
    pub(crate) async fn holders(&self) -> Vec<String> {
        let mut holders = Vec::new();
        for shard in 0..SHARDS {
            let holder = self.lease(shard).await.holder_identity;
            holders.push(holder.unwrap_or_default());
        }
        holders
    }

    /// Waits until a replica holds all shards; returns its name on the Leases.
    pub(crate) async fn all_are_of(&self, replica: &Replica) -> String {
        equal("all shards", &"0, 1 of 2".to_owned(), async || {
            replica.shards().await
        })
        .await;
        let holders = self.holders().await;
        assert!(holders.iter().all(|it| *it == holders[0]), "{holders:?}");
        holders[0].clone()
    }

    /// Waits until two replicas hold one shard each; returns that of the first.
    pub(crate) async fn is_shared(&self, replicas: [&Replica; 2]) -> u32 {
        eventually("one shard each", async || {
            let shares = [replicas[0].shards().await, replicas[1].shards().await];
            match [shares[0].as_str(), shares[1].as_str()] {
                ["0 of 2", "1 of 2"] => Some(0),
                ["1 of 2", "0 of 2"] => Some(1),
                _ => None,
            }
        })
        .await
    }

    /// The watched namespace of a shard.
    pub(crate) fn of_shard(&self, shard: u32) -> &Sandbox {
        &self.watched[shard as usize]
    }
}

/// A running watcher.
pub(crate) struct Replica {
    pub(crate) server: Server,
    health: String,
}

impl Replica {
    /// What it says that it holds, for example `0 of 2`; nothing before it has started.
    pub(crate) async fn shards(&self) -> String {
        let text = self.get("/readyz").await;
        let line = text.lines().find_map(|it| it.strip_prefix("shards: "));
        line.unwrap_or_default().to_owned()
    }

    /// The value of a metric without labels of its own.
    pub(crate) async fn metric(&self, name: &str) -> String {
        let text = self.get("/metrics").await;
        let line = text.lines().find(|it| it.starts_with(name));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.unwrap_or_default().to_owned()
    }

    async fn get(&self, path: &str) -> String {
        let client = client(&HttpOptions::to(&self.health)).unwrap();
        match client.get(format!("{}{path}", self.health)).send().await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.server.stop(DRAIN).await;
    }

    /// When it last said that it holds such shards.
    pub(crate) fn said(&self, shards: &str) -> Timestamp {
        let lines = self.lines("holds other shards");
        let line = lines.iter().rfind(|line| line["shards"] == shards);
        let line = line.unwrap_or_else(|| panic!("it never said {shards:?}: {lines:?}"));
        line["timestamp"].as_str().unwrap().parse().unwrap()
    }

    /// All that it said that it holds, in order.
    pub(crate) fn held(&self) -> Vec<String> {
        let lines = self.lines("holds other shards");
        let shards = |line: &Value| line["shards"].as_str().unwrap().to_owned();
        lines.iter().map(shards).collect()
    }

    /// How many episodes it said that it has read, each time.
    pub(crate) fn read(&self) -> Vec<u64> {
        let lines = self.lines("read the episodes");
        let read = |line: &Value| line["read"].as_u64().unwrap();
        lines.iter().map(read).collect()
    }

    fn lines(&self, message: &str) -> Vec<Value> {
        let log = std::fs::read_to_string(self.server.log()).unwrap();
        let lines = log.lines().filter_map(|it| serde_json::from_str(it).ok());
        lines
            .filter(|line: &Value| line["message"] == message)
            .collect()
    }
}
