//! A Kubernetes node with real containers: etcd, the control plane, containerd and a kubelet, all
//! on this machine. It needs root, and there is one on a machine at a time.
//!
//! What it leaves in the kernel (a bridge, network namespaces, mounts, control groups, and the
//! shims of containerd, which outlive it by design) is removed when it stops; a run that was
//! killed leaves it behind, and the next start removes it first ([`leftovers`]).

mod certificates;
mod containers;
mod control_plane;
pub(crate) mod leftovers;
pub mod network;

use crate::cluster::{self, Cluster, Endpoint, Identity, kubeconfig, write_private};
use crate::image;
use crate::paths::Layout;
use crate::process::{self, Server};
use crate::programs::{self, Programs};
use crate::progress::Task;
use crate::ready;
use certificates::Certificates;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The node's name.
pub const NAME: &str = "bonesetter";

/// The name of the API server's process.
pub const API_SERVER: &str = "kube-apiserver";

/// Held while a node runs; its text is the state directory of the last run.
const LOCK: &str = "/run/bonesetter-node.lock";

/// The node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another testbed runs one.
    #[error(
        "another testbed runs a node on this machine, in {}; stop it with \
         `testbed down --dir {}`", dir.display(), dir.display()
    )]
    Taken {
        /// The other's state directory.
        dir: PathBuf,
    },
    /// A file or port could not be used.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Certificates could not be made.
    #[error("cannot make certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// The network could not be set up.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// No program.
    #[error(transparent)]
    Program(#[from] programs::Error),
    /// A process.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// Something did not become ready.
    #[error(transparent)]
    Ready(#[from] ready::Error),
    /// The cluster could not be asked.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The images could not be made.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// An HTTP client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// `ctr` failed.
    #[error("importing {} into containerd failed: {reason}", archive.display())]
    Import {
        /// The image archive.
        archive: PathBuf,
        /// What `ctr` said.
        reason: String,
    },
}

/// What a caller needs to know of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Name of the node object.
    pub name: String,
    /// Kubeconfig of a cluster administrator.
    pub kubeconfig: PathBuf,
    /// The bridge of pods.
    pub bridge: String,
    /// The node's address on the bridge.
    pub address: String,
    /// Where the kubelet writes the logs of containers.
    pub pod_logs: PathBuf,
    /// The socket of containerd.
    pub containerd_socket: PathBuf,
}

/// Places of a node's files.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    layout: Layout,
    root: PathBuf,
}

impl Places {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self {
            layout: layout.clone(),
            root: layout.part("node"),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.layout.log(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("containerd.sock")
    }

    pub(crate) fn pod_logs(&self) -> PathBuf {
        self.root.join("pods")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.file(name);
        write_private(&path, text.as_bytes())?;
        Ok(path)
    }
}

/// The right to run the machine's only node.
#[derive(Debug)]
pub struct NodeLock {
    file: File,
    previous: Option<PathBuf>,
}

impl NodeLock {
    /// Takes the lock, or says who has it.
    pub fn take() -> Result<Self, Error> {
        let cannot = |source| Error::File {
            path: PathBuf::from(LOCK),
            source,
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(LOCK)
            .map_err(cannot)?;
        let text = fs::read_to_string(LOCK).map_err(cannot)?;
        let previous = Some(text.trim())
            .filter(|text| !text.is_empty())
            .map(PathBuf::from);
        match file.try_lock() {
            Ok(()) => Ok(Self { file, previous }),
            Err(TryLockError::WouldBlock) => Err(Error::Taken {
                dir: previous.unwrap_or_default(),
            }),
            Err(TryLockError::Error(source)) => Err(cannot(source)),
        }
    }

    fn record(&mut self, dir: &Path) -> Result<(), Error> {
        let cannot = |source| Error::File {
            path: PathBuf::from(LOCK),
            source,
        };
        self.file.set_len(0).map_err(cannot)?;
        io::Seek::rewind(&mut self.file).map_err(cannot)?;
        write!(self.file, "{}", dir.display()).map_err(cannot)
    }
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    places: Places,
    /// In the order in which they were started.
    servers: Vec<Server>,
    state: NodeState,
    _lock: NodeLock,
}

impl Node {
    /// Removes what an earlier run left, and starts a fresh node. `faultbox` is the static binary
    /// of the images.
    pub async fn start(
        mut lock: NodeLock,
        programs: &Programs,
        faultbox: &Path,
        layout: &Layout,
        task: &Task<'_>,
    ) -> Result<Self, Error> {
        let places = Places::new(layout);
        if let Some(previous) = lock.previous.take() {
            leftovers::clean(&Places::new(&Layout::new(previous)));
        }
        leftovers::clean(&places);
        // A node begins with an empty cluster.
        drop(fs::remove_dir_all(places.root()));
        lock.record(layout.root())?;

        task.say("making the network and certificates", None);
        network::create()?;
        let certificates = Certificates::make(network::ADDRESS)?;
        certificates.write(&places)?;

        let state = NodeState {
            name: NAME.to_owned(),
            kubeconfig: places.file("admin.kubeconfig"),
            bridge: network::BRIDGE.to_owned(),
            address: network::ADDRESS.to_owned(),
            pod_logs: places.pod_logs(),
            containerd_socket: places.socket(),
        };
        let mut node = Self {
            places,
            servers: Vec::new(),
            state,
            _lock: lock,
        };
        let started = node
            .start_servers(programs, &certificates, faultbox, task)
            .await;
        if let Err(error) = started {
            node.stop(|_| ()).await;
            return Err(error);
        }
        Ok(node)
    }

    async fn start_servers(
        &mut self,
        programs: &Programs,
        certificates: &Certificates,
        faultbox: &Path,
        task: &Task<'_>,
    ) -> Result<(), Error> {
        let ports = control_plane::Ports::choose()?;
        let endpoint = Endpoint {
            server: format!("https://127.0.0.1:{}", ports.api),
            authority: certificates.authority(),
        };
        for (name, pair) in certificates.clients() {
            let identity = Identity::Certificate {
                certificate: pair.certificate.clone(),
                key: pair.key.clone(),
            };
            let text = kubeconfig(&endpoint, &identity, "default").to_string();
            self.places.write(&format!("{name}.kubeconfig"), &text)?;
        }

        task.say("starting containerd and etcd", None);
        self.servers
            .push(containers::start_containerd(&self.places)?);
        let archives = image::write_archives(faultbox, &self.places.file("images"))?;
        let etcd = control_plane::start_etcd(programs, &self.places, &ports).await?;
        self.servers.push(etcd);

        task.say("starting the control plane", None);
        let api = control_plane::start_api_server(programs, &self.places, &ports)?;
        self.servers.push(api);
        let cluster = self.wait_api().await?;
        let (manager, scheduler) =
            control_plane::start_controllers(programs, &self.places, &ports, &endpoint).await?;
        self.servers.push(manager);
        self.servers.push(scheduler);

        task.say("importing images", None);
        self.wait_containerd().await?;
        for archive in &archives {
            containers::import(&self.places, archive).await?;
        }
        task.say("starting the kubelet", None);
        self.servers
            .push(containers::start_kubelet(programs, &self.places, &ports)?);
        let probe = async || cluster.is_node_ready(NAME).await;
        let mut servers: Vec<&mut Server> = self.servers.iter_mut().collect();
        ready::until("the node", Duration::from_mins(2), &mut servers, probe).await?;
        Ok(())
    }

    async fn wait_api(&mut self) -> Result<Cluster, Error> {
        let cluster = Cluster::connect(&self.state.kubeconfig).await?;
        let probe = async || cluster.is_api_ready().await;
        let mut servers: Vec<&mut Server> = self.servers.iter_mut().collect();
        let limit = Duration::from_mins(2);
        ready::until("kube-apiserver", limit, &mut servers, probe).await?;
        Ok(cluster)
    }

    async fn wait_containerd(&mut self) -> Result<(), Error> {
        let places = self.places.clone();
        let probe = async || containers::is_containerd_ready(&places).await;
        let mut servers: Vec<&mut Server> = self.servers.iter_mut().collect();
        ready::until("containerd", Duration::from_mins(1), &mut servers, probe).await?;
        Ok(())
    }

    /// What a caller needs to know.
    pub fn state(&self) -> &NodeState {
        &self.state
    }

    pub(crate) fn servers(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    /// Takes the node down: workloads first, while there is still a kubelet that can end them;
    /// then the servers in the reverse order of their start, but containerd only when its shims
    /// are gone; then what is left in the kernel. `complain` is told what did not go well.
    pub async fn stop(&mut self, complain: impl Fn(&str)) {
        let has_kubelet = self.servers.iter().any(|server| server.name() == "kubelet");
        if has_kubelet {
            match Cluster::connect(&self.state.kubeconfig).await {
                Ok(cluster) => {
                    if let Err(error) = cluster.delete_workloads(Duration::from_secs(30)).await {
                        complain(&format!("workloads did not end in order: {error}"));
                    }
                }
                Err(error) => complain(&error.to_string()),
            }
        }
        while let Some(mut server) = self.servers.pop() {
            if server.name() == "containerd" {
                leftovers::end_shims(&self.places);
            }
            server.stop(Duration::from_secs(10)).await;
        }
        leftovers::clean(&self.places);
    }
}
