//! A Python environment with pinned packages, for what is written in Python and run by tests.

use super::fetch::run;
use super::{Error, lock_cache};
use crate::paths::cache_dir;
use crate::progress::{Sink, Task};
use aws_lc_rs::digest;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the examples for subscribers need, with the checksum of every file.
const EXAMPLES: &str = include_str!("../../../docs/examples/python/requirements.txt");
/// Written last: what lacks it is a try that failed.
const COMPLETE: &str = "complete";

/// A virtual environment in the cache, named by what is in it.
#[derive(Debug)]
pub struct PythonEnvironment {
    requirements: &'static str,
    dir: PathBuf,
}

impl PythonEnvironment {
    /// That of the examples for subscribers.
    pub fn of_examples() -> Self {
        let digest = digest::digest(&digest::SHA256, EXAMPLES.as_bytes());
        let name = format!("python-{}", hex::encode(&digest.as_ref()[..6]));
        Self {
            requirements: EXAMPLES,
            dir: cache_dir().join("tools").join(name),
        }
    }

    /// The interpreter that finds the packages.
    pub fn interpreter(&self) -> Result<PathBuf, Error> {
        if self.is_complete() {
            Ok(self.dir.join("bin/python"))
        } else {
            Err(Error::Absent("the Python environment of the examples"))
        }
    }

    fn is_complete(&self) -> bool {
        self.dir.join(COMPLETE).is_file()
    }

    /// Makes it, unless it is there. One process at a time does so.
    pub fn install(&self, sink: Sink<'_>) -> Result<(), Error> {
        if self.is_complete() {
            return Ok(());
        }
        let _lock = lock_cache(sink)?;
        if self.is_complete() {
            return Ok(());
        }
        let task = Task::begin("python", sink);
        task.say("fetching packages", None);
        let cannot = |path: &Path, source| Error::Cache {
            path: path.to_owned(),
            source,
        };
        // Left from an earlier try that failed.
        drop(fs::remove_dir_all(&self.dir));
        fs::create_dir_all(&self.dir).map_err(|source| cannot(&self.dir, source))?;
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&self.dir);
        run(make, "making a Python environment", &self.dir)?;

        let list = self.dir.join("requirements.txt");
        fs::write(&list, self.requirements).map_err(|source| cannot(&list, source))?;
        let mut fetch = Command::new(self.dir.join("bin/python"));
        fetch.args(["-m", "pip", "install", "--require-hashes", "-r"]);
        fetch.arg(&list);
        run(fetch, "installing Python packages", &self.dir)?;
        let mark = self.dir.join(COMPLETE);
        fs::write(&mark, "").map_err(|source| cannot(&mark, source))?;
        task.done("fetched");
        Ok(())
    }
}
