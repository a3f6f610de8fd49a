//! The examples as a reader runs them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs};

use bonesetter_testbed::programs::{Program, Programs, PythonEnvironment};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use crate::bed::Bed;

/// For one line, or for the end, on a machine that is busy with other tests.
const WAIT: Duration = Duration::from_mins(2);
/// After how many seconds an example ends that nobody ends.
const LEFT_BEHIND: &str = "900";

/// One example.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Example {
    /// A script for bash.
    Cli(&'static str),
    /// A file of `python/`.
    Python(&'static str),
    /// A package of `go/`.
    Go(&'static str),
    /// A program of this crate.
    Rust(&'static str),
}

pub(crate) fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// For lines that may come in any order.
pub(crate) fn sorted(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().collect();
    lines.sort();
    lines
}

impl Example {
    /// The program and its arguments.
    async fn words(self, bed: &Bed) -> Vec<PathBuf> {
        match self {
            Self::Cli(name) => vec!["bash".into(), folder().join("nats-cli").join(name)],
            Self::Python(name) => {
                let python = PythonEnvironment::of_examples().interpreter().unwrap();
                vec![python, folder().join("python").join(name)]
            }
            Self::Go(name) => vec![build_go(bed, name).await],
            Self::Rust("listen") => vec![env!("CARGO_BIN_EXE_subscriber-listen").into()],
            Self::Rust(_) => vec![env!("CARGO_BIN_EXE_subscriber-replay").into()],
        }
    }

    /// Starts it for a namespace, with what the page says and no configuration of who runs the test.
    /// It connects again for ever, and so gets an end in case that the test is killed.
    pub(crate) async fn start(self, bed: &Bed, namespace: &str) -> Running {
        self.start_with(bed, bed.environment(namespace)).await
    }

    /// As [`Example::start`], with other settings.
    pub(crate) async fn start_with(
        self,
        bed: &Bed,
        environment: Vec<(&'static str, PathBuf)>,
    ) -> Running {
        let mut child = Command::new("timeout")
            .args(["--signal=KILL", LEFT_BEHIND])
            .args(self.words(bed).await)
            .envs(environment)
            .env("BONESETTER_DESCRIPTORS", descriptors())
            .env("PATH", path_with_nats())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("XDG_CONFIG_HOME", bed.dir().join("config"))
            .env_remove("NATS_CONTEXT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Running {
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            errors: child.stderr.take().unwrap(),
            child,
        }
    }
}

fn descriptors() -> PathBuf {
    folder().join("../../proto/src/generated/descriptor.bin")
}

fn path_with_nats() -> std::ffi::OsString {
    let programs = Programs::locate(&[Program::NatsCli]).unwrap();
    let folder = programs.get(Program::NatsCli).unwrap().parent().unwrap();
    let rest = env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(folder.to_owned()).chain(env::split_paths(&rest));
    env::join_paths(all).unwrap()
}

async fn build_go(bed: &Bed, name: &str) -> PathBuf {
    let program = bed.dir().join(name);
    let mut go = Command::new("go");
    go.args(["build", "-mod=readonly", "-o"]).arg(&program);
    go.arg(format!("./{name}")).current_dir(folder().join("go"));
    let output = go.output().await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(fs::metadata(&program).unwrap().is_file());
    program
}

/// A started example. It is killed with all its children when this is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    errors: ChildStderr,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    fn kill(&self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// The next lines that it prints.
    pub(crate) async fn print(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < count {
            let line = timeout(WAIT, self.lines.next_line()).await;
            let Ok(Some(line)) = line.map(Result::unwrap) else {
                self.kill();
                panic!("no more than {found:?}: {}", self.complaints().await);
            };
            found.push(line);
        }
        found
    }

    async fn complaints(&mut self) -> String {
        let mut text = String::new();
        self.errors.read_to_string(&mut text).await.unwrap();
        text
    }

    /// Ends it at once, and returns what else it had printed, and what it complained of.
    pub(crate) async fn end(mut self) -> (Vec<String>, String) {
        self.kill();
        self.rest().await
    }

    async fn rest(&mut self) -> (Vec<String>, String) {
        let mut lines = Vec::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            lines.push(line);
        }
        (lines, self.complaints().await)
    }

    /// Waits until it ends by itself: whether it says that it succeeded, what it printed, and what it
    /// complained of.
    pub(crate) async fn finish(mut self) -> (bool, Vec<String>, String) {
        let Ok(status) = timeout(WAIT, self.child.wait()).await else {
            let (lines, complaints) = self.end().await;
            panic!("still runs; printed {lines:?}: {complaints}");
        };
        let (lines, complaints) = self.rest().await;
        (status.unwrap().success(), lines, complaints)
    }
}
