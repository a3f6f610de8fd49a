//! The seven services (and the publisher of svc-notifier, the archive job, the sweeper and the read side of svc-audit),
//! each a process with an identity of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use tokio::process::{Child, Command};

use crate::cluster::wait_until;

/// How long a service may take to drain.
const DRAIN: Duration = Duration::from_secs(20);
const READY: Duration = Duration::from_mins(1);

/// One process to run.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The program, for example `svc-watcher`.
    pub program: &'static str,
    /// Its mode, where it has several.
    pub mode: Option<&'static str>,
    /// Its configuration besides health and telemetry.
    pub config: Map<String, Value>,
}

impl Spec {
    /// The name of its files, and of its user on the bus.
    pub fn name(&self) -> String {
        self.mode.map_or_else(
            || self.program.to_owned(),
            |mode| format!("{}-{mode}", self.program),
        )
    }

    /// Writes its configuration into a folder, with its health on a port of loopback, and returns the
    /// file's place.
    pub fn write(&self, dir: &Path, port: u16, otlp: Option<&str>) -> anyhow::Result<PathBuf> {
        let mut config = self.config.clone();
        config.insert(
            "health".to_owned(),
            json!({"listen": format!("127.0.0.1:{port}")}),
        );
        config.insert("telemetry".to_owned(), json!({"otlp_endpoint": otlp}));
        let file = dir.join(format!("{}.yaml", self.name()));
        fs::write(&file, serde_saphyr::to_string(&config)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

/// The running services. Dropping them kills them; [`Services::stop`] lets them drain.
#[derive(Debug)]
pub struct Services {
    running: Vec<Running>,
    dir: PathBuf,
}

#[derive(Debug)]
struct Running {
    name: String,
    child: Child,
    health: String,
}

impl Services {
    /// Starts every service and waits until each says that it is ready.
    pub async fn start(
        specs: Vec<Spec>,
        programs: &Path,
        dir: &Path,
        otlp: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut services = Self {
            running: Vec::new(),
            dir: dir.to_owned(),
        };
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        for spec in specs {
            services.spawn(&spec, programs, otlp)?;
        }
        services.wait_ready().await?;
        Ok(services)
    }

    fn spawn(&mut self, spec: &Spec, programs: &Path, otlp: Option<&str>) -> anyhow::Result<()> {
        let name = spec.name();
        let port = bonesetter_testbed::ports::free_port()?;
        let file = spec.write(&self.dir, port, otlp)?;
        let log = File::create(self.log(&name))?;
        let program = programs.join(spec.program);
        // The kernel ends the service when the demo is killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&program)
            .args(spec.mode)
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        self.running.push(Running {
            name,
            child,
            health: format!("http://127.0.0.1:{port}/readyz"),
        });
        Ok(())
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let options = bonesetter_chassis::http::HttpOptions::to("http://127.0.0.1");
        let client = bonesetter_chassis::http::client(&options)?;
        let dir = self.dir.clone();
        for running in &mut self.running {
            let name = running.name.clone();
            let what = format!(
                "{name} is ready; its log is {}",
                dir.join(format!("{name}.log")).display()
            );
            wait_until(READY, &what, async || {
                if let Some(status) = running.child.try_wait()? {
                    let log =
                        fs::read_to_string(dir.join(format!("{name}.log"))).unwrap_or_default();
                    let tail: Vec<&str> = log.lines().rev().take(5).collect();
                    anyhow::bail!("{name} ended ({status}): {}", tail.join("\n"));
                }
                let answer = client.get(&running.health).send().await;
                Ok(answer.is_ok_and(|answer| answer.status().is_success()))
            })
            .await?;
        }
        Ok(())
    }

    /// The log of a service.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// What every service exports at this moment: its name, and the text of `/metrics`.
    pub async fn metrics(&self) -> anyhow::Result<Vec<(String, String)>> {
        let options = bonesetter_chassis::http::HttpOptions::to("http://127.0.0.1");
        let client = bonesetter_chassis::http::client(&options)?;
        let mut texts = Vec::new();
        for running in &self.running {
            let url = running.health.replace("/readyz", "/metrics");
            let answer = client.get(url).send().await?.error_for_status()?;
            texts.push((running.name.clone(), answer.text().await?));
        }
        Ok(texts)
    }

    /// The names of all services.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.running.iter().map(|running| running.name.as_str())
    }

    /// A service that has ended although nobody asked it to.
    pub fn ended(&mut self) -> Option<String> {
        self.running.iter_mut().find_map(|running| {
            let status = running.child.try_wait().ok().flatten()?;
            Some(format!("{} ended by itself ({status})", running.name))
        })
    }

    /// Asks every service to drain, and waits for it.
    pub async fn stop(mut self) -> Vec<String> {
        for running in &self.running {
            if let Some(pid) = running.child.id() {
                bonesetter_testbed::process::terminate(pid);
            }
        }
        let mut problems = Vec::new();
        for running in &mut self.running {
            match tokio::time::timeout(DRAIN, running.child.wait()).await {
                Ok(Ok(status)) if status.success() => {}
                Ok(Ok(status)) => problems.push(format!("{} ended with {status}", running.name)),
                Ok(Err(error)) => problems.push(format!("{}: {error}", running.name)),
                Err(_) => problems.push(format!("{} did not drain within {DRAIN:?}", running.name)),
            }
        }
        problems
    }
}
