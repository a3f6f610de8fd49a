//! `testbed.json`: what runs, and where.

use crate::cluster::write_private;
use crate::nats::Certificates;
use crate::node::NodeState;
use crate::paths::Layout;
use crate::postgres::Postgres;
use crate::process::start_time;
use crate::s3::{self, Access, S3Admin};
use bonesetter_chassis::config::NatsSettings;
use bonesetter_keys::KeyDirectory;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Names the state file for tests.
pub const VARIABLE: &str = "BONESETTER_TESTBED";

/// The state could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No testbed was named.
    #[error(
        "{VARIABLE} is not set, so there are no servers to test against; run `make test`, or \
         `testbed up` and set it to the path of testbed.json that it prints"
    )]
    Unset,
    /// The file could not be read.
    #[error("cannot read {}: {source}; run `make test` or `testbed up`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file holds something else.
    #[error("{} is not a state file of this version: {source}; run `testbed up` again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The testbed does not run.
    #[error("the testbed of {} is {phase}; run `make test` or `testbed up`", path.display())]
    NotReady {
        /// The file.
        path: PathBuf,
        /// What it is.
        phase: String,
    },
    /// The testbed runs without this server.
    #[error("this testbed runs without {0}; run `testbed down`, then `testbed up` with it")]
    Absent(&'static str),
    /// A client could not be made.
    #[error(transparent)]
    Client(#[from] s3::Error),
}

/// How far a testbed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Servers are being started.
    Starting,
    /// All servers are ready.
    Ready,
    /// Servers are being stopped.
    Stopping,
    /// Nothing runs any more.
    Stopped,
    /// Something failed, and everything was stopped.
    Failed,
}

/// A process that was started; the time of its start tells it from a later one of the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessState {
    /// Its name.
    pub name: String,
    /// Its id.
    pub pid: u32,
    /// Ticks since boot, from `/proc/PID/stat`.
    pub started: Option<u64>,
    /// Its log file.
    pub log: PathBuf,
}

impl ProcessState {
    /// Describes a running process.
    pub fn of(name: &str, pid: u32, log: &Path) -> Self {
        Self {
            name: name.to_owned(),
            pid,
            started: start_time(pid),
            log: log.to_owned(),
        }
    }

    /// Whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        self.started.is_some() && start_time(self.pid) == self.started
    }
}

/// Where NATS is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsState {
    /// For clients.
    pub url: String,
    /// Monitoring endpoint.
    pub monitor_url: String,
    /// The configuration file.
    pub config: PathBuf,
    /// The folder with the certificates, where it speaks TLS.
    #[serde(default)]
    pub tls_dir: Option<PathBuf>,
}

impl NatsState {
    /// How a user of ours connects.
    pub fn settings(&self, keys: &KeyDirectory, user: &str) -> NatsSettings {
        let certificates = self.tls_dir.clone().map(Certificates::in_folder);
        NatsSettings {
            url: self.url.clone(),
            nkey_file: keys.nkey_seed(user),
            tls: certificates
                .map(|certificates| certificates.settings(user))
                .unwrap_or_default(),
        }
    }
}

/// Where MinIO is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinioState {
    /// Base URL.
    pub url: String,
    /// The bucket under object lock.
    pub bucket: String,
    /// File with the [`Access`] of root.
    pub root_file: PathBuf,
    /// File with the [`Access`] that can only put objects into the bucket.
    pub put_only_file: PathBuf,
}

/// Everything that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The state directory.
    pub dir: PathBuf,
    /// How far the testbed is.
    pub phase: Phase,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// The parent of all servers.
    pub supervisor: ProcessState,
    /// The servers.
    #[serde(default)]
    pub servers: Vec<ProcessState>,
    /// NATS, if it runs.
    #[serde(default)]
    pub nats: Option<NatsState>,
    /// URL of PostgreSQL's superuser without a database, if it runs.
    #[serde(default)]
    pub postgres_url: Option<String>,
    /// MinIO, if it runs.
    #[serde(default)]
    pub minio: Option<MinioState>,
    /// Base URL of Loki, if it runs.
    #[serde(default)]
    pub loki_url: Option<String>,
    /// The node, if it runs.
    #[serde(default)]
    pub node: Option<NodeState>,
    /// Kubeconfig of the cluster's administrator: of the node, or of an existing cluster.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
}

impl State {
    /// The state of the testbed that the environment names. For tests.
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no configuration file; this one variable tells them where the servers are"
    )]
    pub fn load() -> Result<Self, Error> {
        let path = std::env::var(VARIABLE).map_err(|_| Error::Unset)?;
        let path = PathBuf::from(path);
        let state = Self::read(&path)?;
        if state.phase == Phase::Ready && state.supervisor.is_alive() {
            return Ok(state);
        }
        let phase = match state.phase {
            Phase::Ready => "dead (its supervisor was killed)".to_owned(),
            phase => format!("{phase:?}").to_lowercase(),
        };
        Err(Error::NotReady { path, phase })
    }

    /// Reads a state file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let text = fs::read(path).map_err(read)?;
        serde_json::from_slice(&text).map_err(|source| Error::Format {
            path: path.to_owned(),
            source,
        })
    }

    /// Writes the state file in one step.
    pub fn write(&self) -> Result<(), Error> {
        let path = Layout::new(&self.dir).state();
        let cannot = |reason: String| Error::Write {
            path: path.clone(),
            reason,
        };
        let text = serde_json::to_vec_pretty(self).map_err(|error| cannot(error.to_string()))?;
        let part = path.with_extension("part");
        write_private(&part, &text).map_err(|error| cannot(error.to_string()))?;
        fs::rename(&part, &path).map_err(|error| cannot(error.to_string()))
    }

    /// Where NATS is.
    pub fn nats(&self) -> Result<&NatsState, Error> {
        self.nats.as_ref().ok_or(Error::Absent("nats"))
    }

    /// A way to ask PostgreSQL.
    pub fn postgres(&self) -> Result<Postgres, Error> {
        let url = self
            .postgres_url
            .as_deref()
            .ok_or(Error::Absent("postgres"))?;
        Ok(Postgres::new(url))
    }

    /// Where MinIO is.
    pub fn minio(&self) -> Result<&MinioState, Error> {
        self.minio.as_ref().ok_or(Error::Absent("minio"))
    }

    /// A client of MinIO that may do everything.
    pub fn s3_root(&self) -> Result<S3Admin, Error> {
        s3_client(&self.minio()?.root_file)
    }

    /// A client of MinIO that may only put objects into the bucket.
    pub fn s3_put_only(&self) -> Result<S3Admin, Error> {
        s3_client(&self.minio()?.put_only_file)
    }

    /// Base URL of Loki.
    pub fn loki_url(&self) -> Result<&str, Error> {
        self.loki_url.as_deref().ok_or(Error::Absent("loki"))
    }

    /// Kubeconfig of the cluster's administrator.
    pub fn kubeconfig(&self) -> Result<&Path, Error> {
        self.kubeconfig.as_deref().ok_or(Error::Absent("a cluster"))
    }

    /// The node.
    pub fn node(&self) -> Result<&NodeState, Error> {
        self.node.as_ref().ok_or(Error::Absent("node"))
    }

    /// Where kubeconfigs of service accounts are written.
    pub fn kubeconfig_dir(&self) -> PathBuf {
        self.dir.join("kubeconfigs")
    }
}

fn s3_client(file: &Path) -> Result<S3Admin, Error> {
    let read = |source| Error::Read {
        path: file.to_owned(),
        source,
    };
    let text = fs::read(file).map_err(read)?;
    let access: Access = serde_json::from_slice(&text).map_err(|source| Error::Format {
        path: file.to_owned(),
        source,
    })?;
    Ok(S3Admin::new(access)?)
}
