//! The parent of all servers: starts them, tells how far it is, watches them, and stops them in
//! order: when it is told to, when one of them ends by itself, and when it panics.

mod servers;

use crate::cluster;
use crate::loki;
use crate::minio;
use crate::nats;
use crate::node::{self, NAME};
use crate::paths::Layout;
use crate::postgres;
use crate::process;
use crate::programs;
use crate::progress::{Progress, Sink, Task};
use crate::run::{ClusterKind, Plan, clean_up};
use crate::shipper::Shipper;
use crate::state::{self, Phase, ProcessState, State};
use servers::{Running, start_all, stop};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Time between two looks at the servers.
const WATCH: Duration = Duration::from_millis(250);

/// The testbed could not be started, or a part of it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the state directory.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another supervisor has the state directory.
    #[error("another supervisor runs in {}", dir.display())]
    Taken {
        /// The state directory.
        dir: PathBuf,
    },
    /// NATS.
    #[error("nats: {0}")]
    Nats(#[from] nats::Error),
    /// PostgreSQL.
    #[error("postgres: {0}")]
    Postgres(#[from] postgres::Error),
    /// MinIO.
    #[error("minio: {0}")]
    Minio(#[from] minio::Error),
    /// Loki.
    #[error("loki: {0}")]
    Loki(#[from] loki::Error),
    /// The node.
    #[error("node: {0}")]
    Node(#[from] node::Error),
    /// A program.
    #[error(transparent)]
    Program(#[from] programs::Error),
    /// The test image.
    #[error(transparent)]
    Image(#[from] crate::image::Error),
    /// A server ended.
    #[error(transparent)]
    Server(#[from] process::Error),
    /// The state file.
    #[error(transparent)]
    State(#[from] state::Error),
    /// A credential could not be written.
    #[error(transparent)]
    Credential(#[from] cluster::Error),
    /// The shipper.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The one who asked for the testbed went away before it was ready.
    #[error("whoever started the testbed went away before it was ready")]
    Abandoned,
    /// It was told to stop before it was ready.
    #[error("stopped before everything was ready")]
    Interrupted,
    /// A panic, reported on standard error.
    #[error("the supervisor panicked; see its log")]
    Panic,
}

/// Tells progress to the one who started this process, until nobody listens.
struct Teller {
    is_abandoned: AtomicBool,
}

impl Teller {
    fn tell(&self, progress: &Progress) {
        let Ok(line) = serde_json::to_string(progress) else {
            return;
        };
        let mut out = io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            self.is_abandoned.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs the supervisor of a state directory until it is told to stop.
pub fn supervise(dir: &Path) -> Result<(), Error> {
    let layout = Layout::new(dir);
    let teller = Teller {
        is_abandoned: AtomicBool::new(false),
    };
    let sink = |progress: Progress| teller.tell(&progress);
    let task = Task::begin("testbed", &sink);
    let outcome = run(&layout, &teller, &sink);
    if let Err(error) = &outcome {
        task.failed(error.to_string());
    }
    outcome
}

fn run(layout: &Layout, teller: &Teller, sink: Sink<'_>) -> Result<(), Error> {
    // A session of its own: the terminal that started it may close. It fails only for the leader
    // of a process group, which has one already.
    let _ = rustix::process::setsid();
    let _lock = take_lock(layout)?;
    let text = read(&layout.plan())?;
    let plan: Plan = serde_json::from_slice(&text).map_err(|source| Error::File {
        path: layout.plan(),
        source: source.into(),
    })?;
    clean_up(layout);
    let supervisor = ProcessState::of("supervisor", std::process::id(), &layout.log("supervisor"));
    let mut state = State::starting(layout.root(), supervisor);
    state.write()?;

    let cannot = |source| Error::File {
        path: layout.root().to_owned(),
        source,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(cannot)?;
    let mut running = Running::default();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(serve(layout, &plan, &mut running, &mut state, teller, sink))
    }))
    .unwrap_or(Err(Error::Panic));
    if let Err(error) = &outcome {
        state.error = Some(error.to_string());
    }
    state.phase = Phase::Stopping;
    state.write()?;
    runtime.block_on(stop(layout, &plan, &mut running));
    state.phase = if outcome.is_ok() {
        Phase::Stopped
    } else {
        Phase::Failed
    };
    state.servers.clear();
    state.write()?;
    outcome
}

impl State {
    fn starting(dir: &Path, supervisor: ProcessState) -> Self {
        Self {
            dir: dir.to_owned(),
            phase: Phase::Starting,
            error: None,
            supervisor,
            servers: Vec::new(),
            nats: None,
            postgres_url: None,
            minio: None,
            loki_url: None,
            node: None,
            kubeconfig: None,
        }
    }
}

fn take_lock(layout: &Layout) -> Result<File, Error> {
    let path = layout.lock();
    let cannot = |source| Error::File {
        path: path.clone(),
        source,
    };
    fs::create_dir_all(layout.root()).map_err(cannot)?;
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Taken {
            dir: layout.root().to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(cannot(source)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

/// Writes to standard error, which is the supervisor's log.
fn log_line(text: &str) {
    drop(writeln!(io::stderr(), "{} {text}", jiff::Timestamp::now()));
}

/// Starts everything, and watches it until a signal comes or a server ends.
async fn serve(
    layout: &Layout,
    plan: &Plan,
    running: &mut Running,
    state: &mut State,
    teller: &Teller,
    sink: Sink<'_>,
) -> Result<(), Error> {
    let cannot = |source| Error::File {
        path: PathBuf::from("signals"),
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let task = Task::begin("testbed", sink);
    tokio::select! {
        started = start_all(layout, plan, running, sink) => started?,
        () = wait_abandoned(teller, &task) => return Err(Error::Abandoned),
        _ = terminate.recv() => return Err(Error::Interrupted),
        _ = interrupt.recv() => return Err(Error::Interrupted),
    }
    running.describe(plan, layout, state)?;
    state.phase = Phase::Ready;
    state.write()?;
    task.end("everything is ready");

    let logs = running_logs(state);
    tokio::select! {
        ended = running.watch(state) => ended,
        never = ship(logs, plan) => never,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// Tells the time each second; returns when nobody listens any more.
async fn wait_abandoned(teller: &Teller, task: &Task<'_>) {
    while !teller.is_abandoned.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        task.say("starting the servers", None);
    }
}

/// Where logs are, and where they go; none when there is no node or no Loki.
fn running_logs(state: &State) -> Option<(PathBuf, String)> {
    let pods = state.node.as_ref()?.pod_logs.clone();
    Some((pods, state.loki_url.clone()?))
}

async fn ship(logs: Option<(PathBuf, String)>, plan: &Plan) -> Result<(), Error> {
    if let Some((pods, loki)) = logs
        && plan.cluster == ClusterKind::Node
    {
        Shipper::new(pods, NAME, &loki)?.run(log_line).await;
    }
    std::future::pending().await
}
