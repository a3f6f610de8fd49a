//! The commands: bring a testbed up under a supervisor, take it down, look at it.

use crate::image;
use crate::nats;
use crate::node::{NodeLock, Places, leftovers};
use crate::paths::Layout;
use crate::preflight;
use crate::process::{last_lines, send};
use crate::programs::{self, NODE, Program};
use crate::progress::{Progress, Sink, Standing, Task};
use crate::state::{self, Phase, State};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// How long everything may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(150);

/// A command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine is not ready.
    #[error(transparent)]
    Preflight(#[from] preflight::Error),
    /// A program could not be had.
    #[error(transparent)]
    Program(#[from] programs::Error),
    /// The test image could not be made.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The NATS server did not take other users.
    #[error("nats: {0}")]
    Nats(#[from] nats::Error),
    /// The state file.
    #[error(transparent)]
    State(#[from] state::Error),
    /// A file of the state directory.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A testbed with other servers runs in the state directory.
    #[error(
        "a testbed runs in {} already, {what}; stop it first, with `make demo-down` or `testbed down`",
        dir.display()
    )]
    Running {
        /// The state directory.
        dir: PathBuf,
        /// What is different about it.
        what: String,
    },
    /// The supervisor said why it failed.
    #[error("{0}")]
    Failed(String),
    /// The supervisor ended without a word.
    #[error("the supervisor ended; the last lines of {}:\n{tail}", log.display())]
    Supervisor {
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// The user interrupted it.
    #[error("interrupted; everything was stopped")]
    Interrupted,
    /// It does not stop.
    #[error("the testbed in {} still runs after {STOP_LIMIT:?}; see its logs", dir.display())]
    StopLate {
        /// The state directory.
        dir: PathBuf,
    },
    /// No such log.
    #[error("there is no log of {name:?}; there are: {}", known.join(", "))]
    NoLog {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
}

fn cannot(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        path: path.clone(),
        source,
    }
}

/// A server that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// NATS with JetStream.
    Nats,
    /// PostgreSQL.
    Postgres,
    /// MinIO.
    Minio,
    /// Loki, and the shipper of container logs.
    Loki,
}

/// Where the Kubernetes cluster comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterKind {
    /// A node on this machine.
    Node,
    /// One that is there.
    Existing {
        /// How it is reached.
        kubeconfig: PathBuf,
    },
    /// None.
    None,
}

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Servers beside the cluster.
    pub parts: BTreeSet<Part>,
    /// The cluster.
    pub cluster: ClusterKind,
    /// Accounts and users of NATS, as text of its configuration file; without it everyone may do
    /// everything.
    pub nats_authorization: Option<String>,
    /// Days for which MinIO refuses to delete an object.
    pub retention_days: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            parts: [Part::Nats, Part::Postgres, Part::Minio, Part::Loki].into(),
            cluster: ClusterKind::Node,
            nats_authorization: None,
            retention_days: 1,
        }
    }
}

impl Plan {
    /// The programs that are installed for this plan.
    pub fn programs(&self) -> Vec<Program> {
        let mut programs = Vec::new();
        for part in &self.parts {
            match part {
                Part::Nats => programs.push(Program::NatsServer),
                Part::Minio => programs.push(Program::Minio),
                Part::Loki => programs.push(Program::Loki),
                // Debian's.
                Part::Postgres => {}
            }
        }
        if self.cluster == ClusterKind::Node {
            programs.extend(NODE);
        }
        programs
    }
}

/// Starts what the plan names under a detached supervisor, and returns when all of it is ready.
/// `supervisor` is the `testbed` program. A testbed that runs already with the same plan is left
/// as it is, but for the users of NATS: it takes those of the plan.
pub async fn up(
    dir: &Path,
    plan: &Plan,
    supervisor: &Path,
    sink: Sink<'_>,
) -> Result<State, Error> {
    let layout = Layout::new(dir);
    if is_running(&layout)? {
        return join_running(&layout, plan, sink).await;
    }
    preflight::run(plan, sink)?;
    programs::install(&plan.programs(), sink)?;
    if plan.cluster == ClusterKind::Node {
        image::build_faultbox(sink)?;
    }
    fs::create_dir_all(layout.root()).map_err(cannot(layout.root()))?;
    write_plan(&layout, plan)?;
    follow_supervisor(&layout, supervisor, sink).await?;
    Ok(State::read(&layout.state())?)
}

fn write_plan(layout: &Layout, plan: &Plan) -> Result<(), Error> {
    let path = layout.plan();
    let text = serde_json::to_vec_pretty(plan).map_err(|error| cannot(&path)(error.into()))?;
    crate::cluster::write_private(&path, &text)
        .map_err(|error| cannot(&path)(io::Error::other(error)))
}

async fn join_running(layout: &Layout, plan: &Plan, sink: Sink<'_>) -> Result<State, Error> {
    let running = |what: &str| Error::Running {
        dir: layout.root().to_owned(),
        what: what.to_owned(),
    };
    let state = State::read(&layout.state())?;
    let text = fs::read(layout.plan()).map_err(cannot(&layout.plan()))?;
    let mut present: Plan =
        serde_json::from_slice(&text).map_err(|_| running("started by another version"))?;
    if state.phase != Phase::Ready {
        return Err(running("which is not ready"));
    }
    let server = state.servers.iter().find(|server| server.name == "nats");
    if let (Some(nats), Some(server)) = (&state.nats, server)
        && let Some(authorization) = &plan.nats_authorization
        && present.nats_authorization.is_some()
        && present.nats_authorization != plan.nats_authorization
    {
        present.nats_authorization = Some(authorization.clone());
        if present == *plan {
            let task = Task::begin("nats", sink);
            nats::reload(nats, server.pid, authorization).await?;
            write_plan(layout, plan)?;
            task.done("has taken new users or permissions");
        }
    }
    if present != *plan {
        return Err(running("with other servers or settings"));
    }
    Task::begin("testbed", sink).end("runs already");
    Ok(state)
}

/// Starts the supervisor and passes on what it tells. When this process goes away, the supervisor
/// notices that nobody reads, and stops everything.
async fn follow_supervisor(
    layout: &Layout,
    supervisor: &Path,
    sink: Sink<'_>,
) -> Result<(), Error> {
    let log = layout.log("supervisor");
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).map_err(cannot(folder))?;
    }
    let mut child = Command::new(supervisor)
        .arg("supervise")
        .arg("--dir")
        .arg(layout.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).map_err(cannot(&log))?)
        .spawn()
        .map_err(cannot(supervisor))?;
    let Some(output) = child.stdout.take() else {
        return Err(cannot(supervisor)(io::Error::other("no standard output")));
    };
    let mut lines = BufReader::new(output).lines();
    let mut failure = None;
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            interrupt = tokio::signal::ctrl_c() => {
                interrupt.map_err(cannot(supervisor))?;
                send(child.id().unwrap_or_default(), Signal::TERM);
                child.wait().await.map_err(cannot(supervisor))?;
                return Err(Error::Interrupted);
            }
        };
        let Ok(Some(line)) = line else { break };
        let Ok(progress) = serde_json::from_str::<Progress>(&line) else {
            continue;
        };
        let standing = progress.standing;
        if standing == Standing::Failed {
            failure = Some(progress.text.clone());
        } else {
            sink(progress);
        }
        if standing == Standing::End {
            return Ok(());
        }
    }
    Err(match failure {
        Some(reason) => Error::Failed(reason),
        None => Error::Supervisor {
            tail: last_lines(&log, 12),
            log,
        },
    })
}

/// Stops a testbed and waits until all of it is gone. Where none runs, what a killed one left is
/// removed.
pub async fn down(dir: &Path, sink: Sink<'_>) -> Result<(), Error> {
    let layout = Layout::new(dir);
    let task = Task::begin("testbed", sink);
    if !is_running(&layout)? {
        clean_up(&layout);
        task.end("nothing runs");
        return Ok(());
    }
    let state = State::read(&layout.state())?;
    if state.supervisor.is_alive() {
        send(state.supervisor.pid, Signal::TERM);
    }
    let deadline = Instant::now() + STOP_LIMIT;
    while is_running(&layout)? {
        if Instant::now() >= deadline {
            return Err(Error::StopLate {
                dir: dir.to_owned(),
            });
        }
        task.say("stopping", None);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    task.end("everything is stopped");
    Ok(())
}

/// Removes what a killed supervisor left: its servers ended with it, the node's rest did not.
pub(crate) fn clean_up(layout: &Layout) {
    let Ok(state) = State::read(&layout.state()) else {
        return;
    };
    for server in state.servers.iter().filter(|server| server.is_alive()) {
        send(server.pid, Signal::KILL);
    }
    if state.node.is_some() || layout.part("node").exists() {
        // Without root there was no node.
        if let Ok(_lock) = NodeLock::take() {
            leftovers::clean(&Places::new(layout));
        }
    }
}

/// Whether a supervisor holds the lock of a state directory.
pub fn is_running(layout: &Layout) -> Result<bool, Error> {
    let path = layout.lock();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(cannot(&path)(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(fs::TryLockError::WouldBlock) => Ok(true),
        Err(fs::TryLockError::Error(error)) => Err(cannot(&path)(error)),
    }
}

/// The log file of a server.
pub fn log_file(dir: &Path, name: &str) -> Result<PathBuf, Error> {
    let layout = Layout::new(dir);
    let path = layout.log(name);
    if !name.contains('/') && path.is_file() {
        return Ok(path);
    }
    let folder = fs::read_dir(path.parent().unwrap_or(dir))
        .into_iter()
        .flatten()
        .flatten();
    let mut known: Vec<String> = folder
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".log")
                .map(str::to_owned)
        })
        .collect();
    known.sort();
    Err(Error::NoLog {
        name: name.to_owned(),
        known,
    })
}
