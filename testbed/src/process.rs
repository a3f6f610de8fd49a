//! Servers as child processes that never outlive this one.
//!
//! `unsafe` is forbidden in this workspace, and with it `pre_exec`; so each server is started
//! through util-linux's `setpriv --pdeathsig KILL`, which asks the kernel to kill it when its
//! parent is gone. The kernel takes the *thread* that forked for the parent: children of a worker
//! thread of some runtime would die with that runtime. All are therefore started from one thread
//! that lives as long as the process.

use rustix::process::{Pid, Signal};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

/// What can go wrong with a server process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log file could not be made.
    #[error("cannot write the log of {name} to {}: {source}", log.display())]
    Log {
        /// The server.
        name: String,
        /// Its log file.
        log: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process could not be started.
    #[error("cannot start {name} ({}): {source}; is `setpriv` (Debian package util-linux) there?", program.display())]
    Spawn {
        /// The server.
        name: String,
        /// Its program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process ended by itself.
    #[error("{name} ended by itself ({status}); its last lines, from {}:\n{tail}", log.display())]
    Exited {
        /// The server.
        name: String,
        /// How it ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
}

/// The user a server runs as.
#[derive(Debug, Clone, Copy)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Launch {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    run_as: Option<RunAs>,
    log: PathBuf,
}

impl Launch {
    /// A server called `name` whose output goes to `log`.
    pub fn new(name: &str, program: &Path, log: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            run_as: None,
            log,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds `--name=value`.
    #[must_use]
    pub fn flag(self, name: &str, value: impl Into<OsString>) -> Self {
        let mut argument = OsString::from(format!("--{name}="));
        argument.push(value.into());
        self.arg(argument)
    }

    /// Sets a variable. A server gets `PATH`, a `HOME` beside its log, and what is set here.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Lets the server run as another user. It keeps the right to look into folders that only
    /// root may enter, because the state directory is often below one.
    #[must_use]
    pub fn run_as(mut self, user: Option<RunAs>) -> Self {
        self.run_as = user;
        self
    }

    /// The same server as a command that is waited for, such as `initdb` before `postgres`.
    pub fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = self.run_as {
            command
                .args([
                    "--reuid",
                    &user.uid.to_string(),
                    "--regid",
                    &user.gid.to_string(),
                ])
                .args(["--clear-groups", "--inh-caps", "+dac_override"])
                .args(["--ambient-caps", "+dac_override"]);
        }
        command.arg("--").arg(&self.program).args(&self.arguments);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.log.parent().unwrap_or(Path::new("/")));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.log.parent().unwrap_or(Path::new("/")));
        command.stdin(Stdio::null());
        command
    }

    /// Starts it.
    pub fn start(self) -> Result<Server, Error> {
        let child = self.spawn()?;
        Ok(Server {
            launch: self,
            child,
            stopped: false,
        })
    }

    fn spawn(&self) -> Result<Child, Error> {
        let log_error = |source| Error::Log {
            name: self.name.clone(),
            log: self.log.clone(),
            source,
        };
        if let Some(folder) = self.log.parent() {
            fs::create_dir_all(folder).map_err(log_error)?;
        }
        let out = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(log_error)?;
        let err = out.try_clone().map_err(log_error)?;
        let mut command = self.command();
        command.stdout(out).stderr(err).process_group(0);
        spawn(command).map_err(|source| Error::Spawn {
            name: self.name.clone(),
            program: self.program.clone(),
            source,
        })
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    launch: Launch,
    child: Child,
    stopped: bool,
}

impl Server {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.launch.log
    }

    /// Fails if the process has ended, with the last lines of its log.
    pub fn check_alive(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.exited(&describe(status))),
            Err(error) => Err(self.exited(&error.to_string())),
        }
    }

    fn exited(&self, status: &str) -> Error {
        Error::Exited {
            name: self.launch.name.clone(),
            status: status.to_owned(),
            log: self.launch.log.clone(),
            tail: last_lines(&self.launch.log, 12),
        }
    }

    /// Sends SIGTERM, waits up to `grace` for the process to end, and kills it if it does not.
    pub async fn stop(&mut self, grace: Duration) {
        self.stop_with(Signal::TERM, grace).await;
    }

    /// As [`Server::stop`], with another signal: SIGINT is PostgreSQL's fast shutdown.
    pub async fn stop_with(&mut self, signal: Signal, grace: Duration) {
        if self.stopped {
            return;
        }
        send(self.pid(), signal);
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                self.stopped = true;
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.kill();
    }

    /// Kills the process and waits until it is gone.
    pub fn kill(&mut self) {
        if !self.stopped {
            // Both fail only when the process is gone already.
            drop(self.child.kill());
            drop(self.child.wait());
            self.stopped = true;
        }
    }

    /// Starts it again as it was started, killing what still runs. Its log goes on.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill();
        self.child = self.launch.spawn()?;
        self.stopped = false;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process by its id; one that is gone is ignored.
pub(crate) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Kills a process by its id (SIGKILL), without waiting for it.
pub fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

/// Stops a process and its children where they are (SIGSTOP): their connections stay open and nothing
/// answers.
pub fn pause(pid: u32) {
    for pid in family(pid) {
        send(pid, Signal::STOP);
    }
}

/// Lets a process and its children go on (SIGCONT).
pub fn resume(pid: u32) {
    for pid in family(pid) {
        send(pid, Signal::CONT);
    }
}

/// A process and its children.
/// Source: `proc_pid_task(5)`, `children`.
fn family(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|child| child.parse().ok());
    std::iter::once(pid).chain(children).collect()
}

/// Asks a process to end (SIGTERM).
pub fn terminate(pid: u32) {
    send(pid, Signal::TERM);
}

/// The last `count` lines of a file, indented; says so when there are none.
pub fn last_lines(file: &Path, count: usize) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(count)..];
    if tail.is_empty() {
        return "  (it wrote nothing)".to_owned();
    }
    tail.iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn describe(status: ExitStatus) -> String {
    status.to_string()
}

type Request = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Starts a command from the thread that outlives every runtime (see the module's head).
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in requests {
                // The one who asked may have given up.
                drop(answer.send(command.spawn()));
            }
        });
        sender
    });
    let (answer, result) = mpsc::sync_channel(1);
    let gone = |_| io::Error::other("the thread that starts servers is gone");
    spawner
        .send((command, answer))
        .map_err(|_| gone(mpsc::RecvError))?;
    result.recv().map_err(gone)?
}

/// When a process began, in clock ticks since boot: with the id it names one process for ever.
/// `None` when it has ended, also when nobody has asked for its status yet.
/// Source: `proc_pid_stat(5)`, fields 3 (state) and 22 (start time).
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?;
    fields.nth(18).filter(|_| state != "Z")?.parse().ok()
}
