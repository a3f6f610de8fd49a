//! Everything the command prints. Progress goes to standard error, answers to standard output.

use bonesetter_testbed::progress::{Progress, Standing};
use bonesetter_testbed::state::State;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

/// Seconds after which the same text about a subject is printed again where lines cannot be
/// rewritten, so that a log shows that work goes on.
const REPEAT_SECONDS: u64 = 30;

/// Prints progress: on a terminal the present step is rewritten in place.
#[derive(Debug)]
pub(crate) struct Screen {
    is_terminal: bool,
    printed: Mutex<BTreeMap<String, (String, u64)>>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), printed: Mutex::new(BTreeMap::new()) }
    }

    pub(crate) fn show(&self, progress: &Progress) {
        let seconds = progress.elapsed_ms / 1000;
        let line = describe(progress);
        let mut err = io::stderr().lock();
        let written = match (progress.standing, self.is_terminal) {
            (Standing::Running, true) => write!(err, "\r\x1b[2K  {line}").and_then(|()| err.flush()),
            (Standing::Running, false) if !self.is_due(progress, seconds) => Ok(()),
            (Standing::Running, false) => writeln!(err, "  {line}"),
            (_, true) => writeln!(err, "\r\x1b[2K{line}"),
            (_, false) => writeln!(err, "{line}"),
        };
        // Standard error is all there is to complain to.
        drop(written);
    }

    fn is_due(&self, progress: &Progress, seconds: u64) -> bool {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let last = printed.get(&progress.subject);
        let is_due = last.is_none_or(|(text, at)| {
            *text != progress.text || seconds >= at.saturating_add(REPEAT_SECONDS)
        });
        if is_due {
            printed.insert(progress.subject.clone(), (progress.text.clone(), seconds));
        }
        is_due
    }
}

fn describe(progress: &Progress) -> String {
    let mark = match progress.standing {
        Standing::Running => "...",
        Standing::Done | Standing::End => "ok ",
        Standing::Failed => "!! ",
    };
    let count = progress.count.map(|(done, total)| format!(" {done}/{total}")).unwrap_or_default();
    let seconds = progress.elapsed_ms / 1000;
    let tenths = progress.elapsed_ms % 1000 / 100;
    let elapsed = match seconds / 60 {
        0 => format!("{seconds}.{tenths} s"),
        minutes => format!("{minutes} min {} s", seconds % 60),
    };
    format!("{mark} {:<12} {}{count} ({elapsed})", progress.subject, progress.text)
}

/// Prints where everything is.
pub(crate) fn state(state: &State, path: &std::path::Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "testbed     {:?}, supervisor {}", state.phase, state.supervisor.pid)?;
    if let Some(error) = &state.error {
        writeln!(out, "error       {error}")?;
    }
    for server in &state.servers {
        let life = if server.is_alive() { "runs" } else { "is dead" };
        writeln!(out, "  {:<24} {:>7} {life}", server.name, server.pid)?;
    }
    let kubeconfig = state.kubeconfig.as_ref().map(|path| path.display().to_string());
    for (name, place) in [
        ("nats", state.nats.as_ref().map(|nats| nats.url.clone())),
        ("postgres", state.postgres_url.as_ref().map(|url| without_password(url))),
        ("minio", state.minio.as_ref().map(|minio| minio.url.clone())),
        ("loki", state.loki_url.clone()),
        ("kubeconfig", kubeconfig),
    ] {
        if let Some(place) = place {
            writeln!(out, "{name:<11} {place}")?;
        }
    }
    writeln!(out, "for tests   export BONESETTER_TESTBED={}", path.display())
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
    let start = if io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
    drop(writeln!(io::stderr(), "{start}testbed: {error}"));
}
