//! The command line.

use crate::screen::{self, Screen};
use bonesetter_testbed::cluster::Cluster;
use bonesetter_testbed::identity;
use bonesetter_testbed::paths::{Layout, default_state_dir};
use bonesetter_testbed::programs::{self, Program, PythonEnvironment};
use bonesetter_testbed::progress::Progress;
use bonesetter_testbed::run::{self, ClusterKind, Part, Plan};
use bonesetter_testbed::state::State;
use bonesetter_testbed::supervisor;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

type Outcome = Result<(), Box<dyn Error>>;

/// Starts the real servers that the demo and the tests of Bonesetter run against.
#[derive(Debug, Parser)]
#[command(name = "testbed", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// State directory [default: testbed/run in Bonesetter's cache folder]
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what is missing, start the servers, and return when all of them are ready
    Up(Up),
    /// Install what only tests need: a collector of traces and, for examples, `nats` and Python packages
    Tools,
    /// Stop everything
    Down,
    /// Show what runs, and where
    Status {
        /// Print the state file as it is
        #[arg(long)]
        json: bool,
    },
    /// Print the log of a server
    Logs {
        /// Its name, as `status` shows it
        name: String,
    },
    /// Write a kubeconfig for a service account and print its path
    Kubeconfig {
        /// Namespace of the account
        namespace: String,
        /// Name of the account
        name: String,
    },
    /// The parent of the servers; `up` starts it
    #[command(hide = true)]
    Supervise,
}

#[derive(Debug, Args)]
struct Up {
    /// Start only these
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Only>,
    /// Where the Kubernetes cluster comes from
    #[arg(long, value_enum, default_value_t = Source::Node)]
    cluster: Source,
    /// Kubeconfig of the existing cluster
    #[arg(long, required_if_eq("cluster", "existing"))]
    kubeconfig: Option<PathBuf>,
    /// File with accounts and users of NATS, in the format of its configuration file
    /// [default: Bonesetter's own, with keys in the state directory]
    #[arg(long)]
    nats_authorization: Option<PathBuf>,
    /// Days for which MinIO refuses to delete an archived object
    #[arg(long, default_value_t = 1)]
    retention_days: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    Nats,
    Postgres,
    Minio,
    Loki,
    Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// A node with real containers on this machine (needs root)
    Node,
    /// The cluster of --kubeconfig
    Existing,
    /// No cluster
    None,
}

impl Up {
    fn plan(&self, dir: &Path) -> Result<Plan, Box<dyn Error>> {
        let wants = |only: Only| self.only.is_empty() || self.only.contains(&only);
        let parts = [
            (Only::Nats, Part::Nats),
            (Only::Postgres, Part::Postgres),
            (Only::Minio, Part::Minio),
            (Only::Loki, Part::Loki),
        ];
        let cluster = match (self.cluster, &self.kubeconfig) {
            (Source::Existing, Some(kubeconfig)) => ClusterKind::Existing {
                kubeconfig: std::path::absolute(kubeconfig)?,
            },
            (Source::Node, _) if wants(Only::Node) => ClusterKind::Node,
            _ => ClusterKind::None,
        };
        let nats_authorization = match &self.nats_authorization {
            Some(file) => fs::read_to_string(file)
                .map_err(|error| format!("cannot read {}: {error}", file.display()))?,
            None => identity::authorization(dir)?,
        };
        Ok(Plan {
            parts: parts
                .into_iter()
                .filter(|(only, _)| wants(*only))
                .map(|(_, part)| part)
                .collect(),
            cluster,
            nats_authorization: Some(nats_authorization),
            retention_days: self.retention_days,
        })
    }
}

impl Arguments {
    pub(crate) async fn run(self) -> Outcome {
        let dir = match self.dir {
            Some(dir) => std::path::absolute(dir)?,
            None => default_state_dir(),
        };
        let screen = Screen::new();
        let sink = |progress: Progress| screen.show(&progress);
        match self.command {
            Command::Up(up) => {
                let program = std::env::current_exe()?;
                let state = run::up(&dir, &up.plan(&dir)?, &program, &sink).await?;
                screen::state(&state, &Layout::new(&dir).state())?;
            }
            Command::Tools => {
                programs::install(&[Program::NatsCli, Program::Collector], &sink)?;
                PythonEnvironment::of_examples().install(&sink)?;
            }
            Command::Down => run::down(&dir, &sink).await?,
            Command::Status { json } => status(&dir, json)?,
            Command::Logs { name } => screen::file(&run::log_file(&dir, &name)?)?,
            Command::Kubeconfig { namespace, name } => {
                let state = State::read(&Layout::new(&dir).state())?;
                let cluster = Cluster::connect(state.kubeconfig()?).await?;
                let folder = state.kubeconfig_dir();
                let file = cluster
                    .service_account_kubeconfig(&namespace, &name, &folder)
                    .await?;
                screen::line(&file.display().to_string())?;
            }
            Command::Supervise => {
                // It has a runtime of its own, which outlives a panic.
                let supervised = std::thread::spawn(move || supervisor::supervise(&dir));
                supervised.join().map_err(|_| "the supervisor panicked")??;
            }
        }
        Ok(())
    }
}

fn status(dir: &Path, json: bool) -> Outcome {
    let layout = Layout::new(dir);
    let path = layout.state();
    if json {
        return Ok(screen::file(&path)?);
    }
    if !run::is_running(&layout)? {
        let last = State::read(&path).ok().and_then(|state| state.error);
        let last = last
            .map(|error| format!("; the last run failed: {error}"))
            .unwrap_or_default();
        let dir = dir.display();
        return Err(format!("nothing runs in {dir}; start it with `testbed up`{last}").into());
    }
    Ok(screen::state(&State::read(&path)?, &path)?)
}
