//! The servers, the proxies before them, and the disk below JetStream: all that can fail besides the
//! services. Servers of its own, so that nobody else is disturbed; only the node is the testbed's,
//! because a machine has one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context as _;
use bonesetter_chassis::config::NatsSettings;
use bonesetter_demo::receiver::{Answer, Receiver};
use bonesetter_keys::KeyDirectory;
use bonesetter_testbed::cluster::write_private;
use bonesetter_testbed::fault::{Link, Proxy, SmallDisk};
use bonesetter_testbed::loki::LokiServer;
use bonesetter_testbed::minio::{BUCKET, MinioServer};
use bonesetter_testbed::node::{API_SERVER, NAME};
use bonesetter_testbed::paths::Layout;
use bonesetter_testbed::postgres::PostgresServer;
use bonesetter_testbed::process::{kill, resume};
use bonesetter_testbed::programs::{Program, Programs};
use bonesetter_testbed::s3::Access;
use bonesetter_testbed::shipper::Shipper;
use bonesetter_testbed::state::MinioState;
use bonesetter_testbed::{NatsOptions, NatsServer, State, identity};
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fault::{Peer, Server};

/// Room for what a run stores, and not much more: filling it takes a moment only.
const DISK_BYTES: u64 = 512 * 1024 * 1024;
/// Days for which archived objects are locked.
const RETENTION_DAYS: u32 = 1;

/// Everything that runs besides the services.
#[derive(Debug)]
pub struct Bed {
    /// As the services see it: every address is that of a proxy.
    pub state: State,
    /// The keys of all users and services.
    pub keys: KeyDirectory,
    /// Takes the notices.
    pub receiver: Receiver,
    nats: NatsServer,
    postgres: PostgresServer,
    minio: MinioServer,
    loki: LokiServer,
    proxies: BTreeMap<Peer, Proxy>,
    disk: SmallDisk,
    is_full: bool,
    node: PathBuf,
    shipping: JoinHandle<()>,
    _receiving: DropGuard,
}

impl Bed {
    /// Starts fresh servers beside the testbed that runs the node.
    pub async fn start(testbed: &State, dir: &Path) -> anyhow::Result<Self> {
        let layout = Layout::new(dir.join("run"));
        let root = layout.root().to_owned();
        match fs::remove_dir_all(&root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        let keys = identity::keys(&root)?;
        let programs = Programs::locate(&[Program::Minio, Program::Loki])?;
        // Not below the folder that is removed at the next start, while an old mount may be there.
        let store = dir.join("disk");
        let disk = SmallDisk::mount(&store, DISK_BYTES)?;
        let nats_dir = layout.part("nats");
        fs::create_dir_all(&nats_dir)?;
        std::os::unix::fs::symlink(&store, nats_dir.join("store"))?;
        let nats = NatsServer::start(NatsOptions {
            authorization: Some(identity::authorization(&root)?),
            dir: Some(nats_dir),
            log: Some(layout.log("nats")),
            plaintext: false,
        });
        let (postgres_dir, minio_dir) = (layout.part("postgres"), layout.part("minio"));
        let postgres = PostgresServer::start(&postgres_dir, layout.log("postgres"));
        let minio = MinioServer::start(&programs, &minio_dir, layout.log("minio"), RETENTION_DAYS);
        let loki_dir = layout.part("loki");
        let loki = LokiServer::start(&programs, &loki_dir, layout.log("loki"));
        let (nats, postgres, minio, loki) = tokio::join!(nats, postgres, minio, loki);
        let (nats, postgres, minio, loki) = (nats?, postgres?, minio?, loki?);

        let shutdown = CancellationToken::new();
        let receiver = Receiver::start(shutdown.clone()).await?;
        let targets = [
            (Peer::Nats, nats.url()),
            (Peer::Postgres, postgres.client().base_url()),
            (Peer::Minio, minio.root.endpoint.clone()),
            (Peer::Loki, loki.url()),
            (Peer::Receiver, receiver.url("")),
            (Peer::KubeApiserver, api_server_url(testbed.kubeconfig()?)?),
        ];
        let mut proxies = BTreeMap::new();
        for (peer, url) in targets {
            proxies.insert(peer, Proxy::start(address(&url)?).await?);
        }
        let state = as_seen(testbed, &root, &nats, &postgres, &minio, &loki, &proxies)?;
        let pods = testbed.node()?.pod_logs.clone();
        let shipper = Shipper::new(pods, NAME, &loki.url())?;
        Ok(Self {
            state,
            keys,
            receiver,
            nats,
            postgres,
            minio,
            loki,
            proxies,
            disk,
            is_full: false,
            node: Layout::new(&testbed.dir).state(),
            shipping: tokio::spawn(shipper.run(|_| ())),
            _receiving: shutdown.drop_guard(),
        })
    }

    /// The base URL of the receiver's proxy.
    pub fn receiver_url(&self) -> anyhow::Result<String> {
        let proxy = self.proxies.get(&Peer::Receiver).context("no proxy")?;
        Ok(format!("http://{}", proxy.address()))
    }

    /// Has who is configured with this kubeconfig, of the environment's making, reach the API server through
    /// its proxy.
    pub fn proxy_kubeconfig(&self, file: &Path) -> anyhow::Result<()> {
        let proxy = self.proxies.get(&Peer::KubeApiserver).context("no proxy")?;
        let mut config: Value = serde_json::from_slice(&fs::read(file)?)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let server = config.pointer_mut("/clusters/0/cluster/server");
        let server = server.with_context(|| format!("{} names no server", file.display()))?;
        *server = json!(format!("https://{}", proxy.address()));
        write_private(file, config.to_string().as_bytes())?;
        Ok(())
    }

    /// How a user reaches NATS without the proxy.
    pub fn nats_settings(&self, user: &str) -> anyhow::Result<NatsSettings> {
        Ok(self.nats.settings(&self.keys, user)?)
    }

    /// Ends a server at once.
    pub fn kill(&mut self, server: Server) -> anyhow::Result<()> {
        match server {
            Server::Nats => self.nats.kill(),
            Server::Postgres => self.postgres.kill(),
            Server::Minio => self.minio.kill(),
            Server::Loki => self.loki.kill(),
            Server::KubeApiserver => kill(self.api_server()?),
        }
        Ok(())
    }

    /// Starts a server that was killed; the supervisor of the node has started the API server.
    pub async fn restart(&mut self, server: Server) -> anyhow::Result<()> {
        match server {
            // It cannot start; it is when there is room again.
            Server::Nats if self.is_full => {}
            Server::Nats => self.nats.restart().await?,
            Server::Postgres => self.postgres.restart().await?,
            Server::Minio => self.minio.restart().await?,
            Server::Loki => self.loki.restart().await?,
            Server::KubeApiserver => {}
        }
        Ok(())
    }

    /// The process of a server now.
    pub fn pid(&self, server: Server) -> anyhow::Result<u32> {
        Ok(match server {
            Server::Nats => self.nats.pid(),
            Server::Postgres => self.postgres.pid(),
            Server::Minio => self.minio.pid(),
            Server::Loki => self.loki.pid(),
            Server::KubeApiserver => self.api_server()?,
        })
    }

    fn api_server(&self) -> anyhow::Result<u32> {
        let state = State::read(&self.node)?;
        let server = state.servers.iter().find(|it| it.name == API_SERVER);
        Ok(server.context("the testbed has no API server")?.pid)
    }

    /// Makes the connections to a peer so.
    pub fn link(&self, peer: Peer, link: Link) {
        if let Some(proxy) = self.proxies.get(&peer) {
            proxy.set(link);
        }
    }

    /// Fills the disk of JetStream.
    pub fn fill_disk(&mut self) -> anyhow::Result<()> {
        self.is_full = true;
        self.disk.fill()?;
        Ok(())
    }

    /// Makes room again, and starts the server again, as an operator would: a stream of which a write has
    /// failed may refuse every further one until then, with room or without (nats-server 2.15).
    pub async fn free_disk(&mut self) -> anyhow::Result<()> {
        let was_full = std::mem::take(&mut self.is_full);
        self.disk.free()?;
        if was_full || !self.nats.is_storing().await.unwrap_or(false) {
            self.nats.restart().await?;
        }
        Ok(())
    }

    /// Makes everything well that is not.
    pub async fn heal(&mut self) -> anyhow::Result<()> {
        for peer in Peer::ALL {
            self.link(peer, Link::Open);
        }
        self.receiver.answer(Answer::Accept);
        for server in Server::ALL {
            resume(self.pid(server)?);
        }
        self.free_disk().await
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.shipping.abort();
        // Of the servers only this one lives on.
        if let Ok(pid) = self.api_server() {
            resume(pid);
        }
    }
}

/// Where a kubeconfig says that the API server is.
fn api_server_url(file: &Path) -> anyhow::Result<String> {
    let config =
        Kubeconfig::read_from(file).with_context(|| format!("cannot read {}", file.display()))?;
    let cluster = config.clusters.into_iter().next().and_then(|it| it.cluster);
    let server = cluster.and_then(|cluster| cluster.server);
    server.with_context(|| format!("{} names no server", file.display()))
}

/// The address in a URL.
fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    host.parse()
        .with_context(|| format!("{host} is no address with a port"))
}

/// The state of the testbed with our servers in it, behind their proxies.
fn as_seen(
    testbed: &State,
    root: &Path,
    nats: &NatsServer,
    postgres: &PostgresServer,
    minio: &MinioServer,
    loki: &LokiServer,
    proxies: &BTreeMap<Peer, Proxy>,
) -> anyhow::Result<State> {
    let through = |peer: Peer, url: &str| -> anyhow::Result<String> {
        let proxy = proxies.get(&peer).context("no proxy")?;
        let (real, seen) = (address(url)?.to_string(), proxy.address().to_string());
        Ok(url.replace(&real, &seen))
    };
    let mut nats_state = nats.state();
    nats_state.url = through(Peer::Nats, &nats_state.url)?;
    let put_only = Access {
        endpoint: through(Peer::Minio, &minio.put_only.endpoint)?,
        ..minio.put_only.clone()
    };
    let (root_file, put_only_file) = (root.join("root.json"), root.join("put-only.json"));
    for (file, access) in [(&root_file, &minio.root), (&put_only_file, &put_only)] {
        let text = serde_json::to_vec_pretty(access)?;
        bonesetter_testbed::cluster::write_private(file, &text)?;
    }
    let postgres_url = postgres.client().base_url();
    Ok(State {
        dir: root.to_owned(),
        nats: Some(nats_state),
        postgres_url: Some(through(Peer::Postgres, &postgres_url)?),
        minio: Some(MinioState {
            url: put_only.endpoint.clone(),
            bucket: BUCKET.to_owned(),
            root_file,
            put_only_file,
        }),
        loki_url: Some(through(Peer::Loki, &loki.url())?),
        ..testbed.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_is_found_in_every_url() {
        for url in [
            "nats://127.0.0.1:4222",
            "postgres://postgres:a@127.0.0.1:4222",
            "http://127.0.0.1:4222/path",
        ] {
            assert_eq!(address(url).unwrap().to_string(), "127.0.0.1:4222", "{url}");
        }
        assert!(address("http://localhost").is_err());
    }
}
