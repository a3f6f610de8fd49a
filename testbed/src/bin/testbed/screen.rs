//! Everything the command prints. Progress goes to standard error, answers to standard output.

use bonesetter_testbed::progress::{Progress, Standing};
use bonesetter_testbed::state::State;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

/// Seconds after which the same text about a subject is printed again where lines cannot be
/// rewritten, so that a log shows that work goes on.
const REPEAT_SECONDS: u64 = 30;

/// Width to which the line that is rewritten is cut.
const COLUMNS: usize = 78;

/// Prints progress: on a terminal, what goes on at the same time shares one line that is
/// rewritten; elsewhere, each new step is a line.
#[derive(Debug)]
pub(crate) struct Screen {
    is_terminal: bool,
    running: Mutex<BTreeMap<String, Progress>>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            running: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn show(&self, progress: &Progress) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let is_running = progress.standing == Standing::Running;
        let is_new = is_due(running.get(&progress.subject), progress);
        if !is_running {
            running.remove(&progress.subject);
        } else if is_new || self.is_terminal {
            running.insert(progress.subject.clone(), progress.clone());
        }
        let mut err = io::stderr().lock();
        let written = match (is_running, self.is_terminal) {
            (true, true) => write!(err, "\r\x1b[2K{}", summary(&running)),
            (true, false) if is_new => writeln!(err, "{}", describe(progress)),
            (true, false) => Ok(()),
            (false, true) => writeln!(err, "\r\x1b[2K{}", describe(progress)),
            (false, false) => writeln!(err, "{}", describe(progress)),
        };
        // Standard error is all there is to complain to.
        drop(written.and_then(|()| err.flush()));
    }
}

fn is_due(last: Option<&Progress>, next: &Progress) -> bool {
    last.is_none_or(|last| {
        last.text != next.text || next.elapsed_ms >= last.elapsed_ms + REPEAT_SECONDS * 1000
    })
}

/// What goes on, in one line; what only tells that time passes is shown when it is alone.
fn summary(running: &BTreeMap<String, Progress>) -> String {
    let is_alone = running.len() == 1;
    let parts: Vec<String> = running
        .values()
        .filter(|progress| is_alone || progress.subject != "testbed")
        .map(|progress| {
            let (seconds, count) = (progress.elapsed_ms / 1000, count(progress));
            format!("{}: {}{count} {seconds} s", progress.subject, progress.text)
        })
        .collect();
    format!("... {}", parts.join(" | "))
        .chars()
        .take(COLUMNS)
        .collect()
}

fn count(progress: &Progress) -> String {
    progress
        .count
        .map(|(done, total)| format!(" {done}/{total}"))
        .unwrap_or_default()
}

fn describe(progress: &Progress) -> String {
    let mark = match progress.standing {
        Standing::Running => "...",
        Standing::Done | Standing::End => "ok ",
        Standing::Failed => "!! ",
    };
    let count = count(progress);
    let seconds = progress.elapsed_ms / 1000;
    let tenths = progress.elapsed_ms % 1000 / 100;
    let elapsed = match seconds / 60 {
        0 => format!("{seconds}.{tenths} s"),
        minutes => format!("{minutes} min {} s", seconds % 60),
    };
    format!(
        "{mark} {:<12} {}{count} ({elapsed})",
        progress.subject, progress.text
    )
}

/// Prints where everything is.
pub(crate) fn state(state: &State, path: &std::path::Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "testbed     {:?}, supervisor {}",
        state.phase, state.supervisor.pid
    )?;
    if let Some(error) = &state.error {
        writeln!(out, "error       {error}")?;
    }
    for server in &state.servers {
        let life = if server.is_alive() { "runs" } else { "is dead" };
        writeln!(out, "  {:<24} {:>7} {life}", server.name, server.pid)?;
    }
    let kubeconfig = state
        .kubeconfig
        .as_ref()
        .map(|path| path.display().to_string());
    for (name, place) in [
        ("nats", state.nats.as_ref().map(|nats| nats.url.clone())),
        (
            "postgres",
            state.postgres_url.as_ref().map(|url| without_password(url)),
        ),
        ("minio", state.minio.as_ref().map(|minio| minio.url.clone())),
        ("loki", state.loki_url.clone()),
        ("kubeconfig", kubeconfig),
    ] {
        if let Some(place) = place {
            writeln!(out, "{name:<11} {place}")?;
        }
    }
    writeln!(
        out,
        "for tests   export BONESETTER_TESTBED={}",
        path.display()
    )
}

fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, address))) => format!("{scheme}://{address}"),
        _ => url.to_owned(),
    }
}

/// Prints a file as it is.
pub(crate) fn file(path: &std::path::Path) -> io::Result<()> {
    io::copy(&mut std::fs::File::open(path)?, &mut io::stdout().lock()).map(drop)
}

/// Prints an answer.
pub(crate) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Prints why the command failed.
pub(crate) fn error(error: &dyn std::error::Error) {
    let start = if io::stderr().is_terminal() {
        "\r\x1b[2K"
    } else {
        ""
    };
    drop(writeln!(io::stderr(), "{start}testbed: {error}"));
}
