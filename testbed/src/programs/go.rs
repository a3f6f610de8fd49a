//! Building servers from the Go module proxy.
//!
//! `go install PACKAGE@VERSION` refuses modules that hold replace directives, and Kubernetes, Loki
//! and MinIO all do. So each set of servers is pinned as the tools of a module of our own under
//! `servers/`, which repeats those directives. A server that exists as a library only has its `main.go`
//! there. The module files are compiled in and laid out in the cache: a build never writes into the
//! checkout.

use super::fetch::place;
use super::{Error, Module, Program};
use crate::paths::cache_dir;
use crate::process::last_lines;
use crate::progress::{Sink, Task};
use crate::versions::Version;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How often the time is told while nothing else changes.
const TICK: Duration = Duration::from_secs(2);

/// Builds the programs of a module into the cache.
pub(super) fn build(module: &Module, sink: Sink<'_>) -> Result<(), Error> {
    let version = module.version()?;
    let task = Task::begin(module.name, sink);
    let work = cache_dir()
        .join("build")
        .join(format!("{}-{version}", module.name));
    let out = work.join("out");
    lay_out(module, &work)?;

    let job = Job {
        module,
        work: &work,
        task: &task,
    };
    let total = job.count_packages()?;
    job.compile(total, &out)?;
    for program in module.programs {
        place(&out.join(program.file_name()), &program.cached()?)?;
    }
    drop(fs::remove_dir_all(&work));
    task.done(format!("built {version}"));
    Ok(())
}

/// Writes the module's files into an empty folder.
fn lay_out(module: &Module, work: &Path) -> Result<(), Error> {
    let cannot = |source| Error::Cache {
        path: work.to_owned(),
        source,
    };
    // Left from an earlier build that failed.
    drop(fs::remove_dir_all(work));
    fs::create_dir_all(work.join("out")).map_err(cannot)?;
    fs::write(work.join("go.mod"), module.go_mod).map_err(cannot)?;
    fs::write(work.join("go.sum"), module.go_sum).map_err(cannot)?;
    module.main_go.map_or(Ok(()), |source| {
        fs::write(work.join("main.go"), source).map_err(cannot)
    })
}

struct Job<'a> {
    module: &'a Module,
    work: &'a Path,
    task: &'a Task<'a>,
}

impl Job<'_> {
    fn log(&self) -> PathBuf {
        self.work.join("output.log")
    }

    fn failed(&self, purpose: &str) -> Error {
        let log = self.log();
        Error::Failed {
            purpose: purpose.to_owned(),
            tail: last_lines(&log, 15),
            log,
        }
    }

    /// `go VERB` with the flags on which the build cache depends.
    fn go(&self, verb: &str, purpose: &str) -> Result<(Command, String), Error> {
        let mut command = Command::new("go");
        let flags = link_flags(self.module)?;
        command.arg(verb).args(["-trimpath", "-ldflags", &flags]);
        command
            .current_dir(self.work)
            .env("CGO_ENABLED", "0")
            .stdin(Stdio::null());
        Ok((command, purpose.to_owned()))
    }

    /// Fetches the sources, and counts the packages that have to be compiled.
    fn count_packages(&self) -> Result<usize, Error> {
        let (mut command, purpose) = self.go("list", "fetching the sources")?;
        command.args(["-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", "tool"]);
        command.stdout(Stdio::piped()).stderr(self.open_log()?);
        let mut child = spawn(command, &purpose)?;
        let lines = lines_of(child.stdout.take());
        let mut count = 0;
        self.follow(&lines, |line| {
            count += usize::from(line.is_some_and(|line| !line.is_empty()));
            (purpose.clone(), None)
        });
        self.finish(child, &purpose)?;
        Ok(count)
    }

    /// Compiles; `go build -v` names each package on standard error as it comes to it.
    fn compile(&self, total: usize, out: &Path) -> Result<(), Error> {
        let (mut command, purpose) = self.go("build", "building")?;
        // With one program, `-o` names the file: etcd's package is called `server`.
        let target = match self.module.programs {
            [program] => out.join(program.file_name()),
            _ => out.to_owned(),
        };
        command.arg("-v").arg("-o").arg(target).arg("tool");
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn(command, &purpose)?;
        let lines = lines_of(child.stderr.take());
        let mut log = self.open_log()?;
        let mut count = 0;
        let programs: Vec<&str> = self
            .module
            .programs
            .iter()
            .copied()
            .map(Program::file_name)
            .collect();
        let text = format!("building {}", programs.join(", "));
        self.follow(&lines, |line| {
            if let Some(line) = line {
                count += 1;
                drop(writeln!(log, "{line}"));
            }
            (text.clone(), Some((count.min(total), total)))
        });
        self.finish(child, &purpose)
    }

    /// Tells of each line of a command, and of the time between lines, until it closes its output.
    fn follow(
        &self,
        lines: &Receiver<String>,
        mut describe: impl FnMut(Option<&str>) -> (String, Option<(usize, usize)>),
    ) {
        loop {
            let (text, count) = match lines.recv_timeout(TICK) {
                Ok(line) => describe(Some(&line)),
                Err(RecvTimeoutError::Timeout) => describe(None),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.task.say(text, count);
        }
    }

    fn finish(&self, mut child: Child, purpose: &str) -> Result<(), Error> {
        let purpose = format!("{purpose} of {}", self.module.name);
        let status = child.wait().map_err(|source| Error::Tool {
            tool: "go".to_owned(),
            purpose: purpose.clone(),
            source,
        })?;
        if status.success() {
            Ok(())
        } else {
            Err(self.failed(&purpose))
        }
    }

    fn open_log(&self) -> Result<File, Error> {
        let path = self.log();
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| Error::Cache { path, source })
    }
}

fn spawn(mut command: Command, purpose: &str) -> Result<Child, Error> {
    command.spawn().map_err(|source| Error::Tool {
        tool: "go".to_owned(),
        purpose: purpose.to_owned(),
        source,
    })
}

fn lines_of(output: Option<impl std::io::Read + Send + 'static>) -> Receiver<String> {
    let (sender, lines) = channel();
    if let Some(output) = output {
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    lines
}

/// Kubernetes tells its version from variables that its own build sets; without them every client
/// sees v0.0.0.
fn link_flags(module: &Module) -> Result<String, Error> {
    let mut flags = "-s -w".to_owned();
    let version = module.version()?;
    if module.name == "kubernetes"
        && let Some(Version { major, minor, .. }) = Version::find(version)
    {
        for (variable, value) in [
            ("gitVersion", version),
            ("gitMajor", &major.to_string()),
            ("gitMinor", &minor.to_string()),
        ] {
            flags.push_str(" -X k8s.io/component-base/version.");
            flags.push_str(variable);
            flags.push('=');
            flags.push_str(value);
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::super::{MODULES, Program};
    use super::link_flags;

    #[test]
    fn every_module_pins_its_version_and_has_checksums() {
        for module in &MODULES {
            assert!(module.version().is_ok(), "{}", module.name);
            let pinned = format!("{} {}", module.requirement, module.version().unwrap());
            assert!(
                module.go_sum.contains(&pinned),
                "{}/go.sum lacks {pinned}",
                module.name
            );
        }
        assert!(Program::NatsServer.pinned().is_ok());
    }

    #[test]
    fn kubernetes_is_told_its_version() {
        let flags = link_flags(&MODULES[0]).unwrap();
        assert!(flags.contains("version.gitVersion=v1."), "{flags}");
        assert_eq!(link_flags(&MODULES[1]).unwrap(), "-s -w");
    }
}
