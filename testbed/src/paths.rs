//! Where the testbed keeps things.

use std::path::{Path, PathBuf};

/// The folder of everything that is kept between runs: `~/.cache/bonesetter`.
pub fn cache_dir() -> PathBuf {
    let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
    home.join(".cache").join("bonesetter")
}

/// The state directory that is used when none is given.
pub fn default_state_dir() -> PathBuf {
    cache_dir().join("testbed").join("run")
}

/// Names of the files in a state directory.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout of the state directory `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The state directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where [`State`](crate::State) is written.
    pub fn state(&self) -> PathBuf {
        self.root.join("testbed.json")
    }

    /// What the supervisor was asked to start.
    pub fn plan(&self) -> PathBuf {
        self.root.join("plan.json")
    }

    /// Held by the supervisor as long as it runs.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The log file of a server.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("log").join(format!("{name}.log"))
    }

    /// Removes the logs of an earlier run; the supervisor's own is that of this one.
    pub(crate) fn remove_logs(&self) {
        let own = self.log("supervisor");
        let entries = std::fs::read_dir(self.root.join("log"))
            .into_iter()
            .flatten()
            .flatten();
        for path in entries
            .map(|entry| entry.path())
            .filter(|path| *path != own)
        {
            drop(std::fs::remove_file(path));
        }
    }

    /// The folder of one server's data.
    pub fn part(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}
