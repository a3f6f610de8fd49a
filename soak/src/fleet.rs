//! The services as processes that are started again when they end, as Kubernetes would.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bonesetter_demo::services::Spec;
use bonesetter_testbed::ports::free_port;
use bonesetter_testbed::process::{Launch, Server, last_lines, pause, resume};
use tokio::time::Instant;

/// How long a service that ended by itself stays away.
const BACK_OFF: Duration = Duration::from_secs(1);
/// How long a service may take to drain.
const DRAIN: Duration = Duration::from_secs(30);

/// How many replicas there are of what may have several.
pub const REPLICAS: usize = 2;
/// Modes of svc-audit that have one: an installation replaces the archive job, rather than have two for a
/// while, and the read side listens where it is told to.
const ALONE: [&str; 2] = ["export", "serve"];

/// What a replica is called, counted from 1.
pub fn name_of(service: &str, replica: usize) -> String {
    if replica == 1 {
        service.to_owned()
    } else {
        format!("{service}-{replica}")
    }
}

/// All services.
#[derive(Debug)]
pub struct Fleet {
    services: Vec<Service>,
}

#[derive(Debug)]
struct Service {
    server: Server,
    /// When it is started again.
    due: Option<Instant>,
    /// How often it ended by itself.
    ends: u32,
}

impl Fleet {
    /// Starts every service, with all its replicas; they are not waited for.
    pub fn start(specs: &[Spec], programs: &Path, dir: &Path) -> anyhow::Result<Self> {
        let mut services = Vec::new();
        for replica in 1..=REPLICAS {
            let dir = dir.join(format!("replica-{replica}"));
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
            for spec in specs {
                if replica > 1 && spec.mode.is_some_and(|mode| ALONE.contains(&mode)) {
                    continue;
                }
                let name = name_of(&spec.name(), replica);
                let config = spec.write(&dir, free_port()?, None)?;
                let log = dir.join(format!("{name}.log"));
                let mut launch = Launch::new(&name, &programs.join(spec.program), log);
                if let Some(mode) = spec.mode {
                    launch = launch.arg(mode);
                }
                services.push(Service {
                    server: launch.arg("--config").arg(config).start()?,
                    due: None,
                    ends: 0,
                });
            }
        }
        Ok(Self { services })
    }

    /// Their names, in order.
    pub fn names(&self) -> Vec<String> {
        let names = self.services.iter().map(|service| service.server.name());
        names.map(str::to_owned).collect()
    }

    /// Their log files, in order.
    pub fn logs(&self) -> Vec<PathBuf> {
        let logs = self.services.iter().map(|service| service.server.log());
        logs.map(Path::to_owned).collect()
    }

    /// How often services ended by themselves.
    pub fn ends(&self) -> u32 {
        self.services.iter().map(|service| service.ends).sum()
    }

    /// Kills a service, which stays away for so long.
    pub fn kill(&mut self, place: usize, lasts: Duration) {
        if let Some(service) = self.services.get_mut(place) {
            service.server.kill();
            service.due = Some(Instant::now() + lasts);
        }
    }

    /// Stops a service where it is; returns its process, for `resume`.
    pub fn pause(&self, place: usize) -> Option<u32> {
        let service = self.services.get(place)?;
        let pid = service.server.pid();
        pause(pid);
        Some(pid)
    }

    /// Starts again what is due, and notices what ended by itself, with the end of its log.
    pub fn tend(&mut self) -> anyhow::Result<Vec<String>> {
        let mut ended = Vec::new();
        for service in &mut self.services {
            match service.due {
                Some(due) if due <= Instant::now() => {
                    service.server.restart()?;
                    service.due = None;
                }
                Some(_) => {}
                None => {
                    if service.server.check_alive().is_err() {
                        service.ends += 1;
                        service.due = Some(Instant::now() + BACK_OFF);
                        let (name, log) = (service.server.name(), service.server.log());
                        ended.push(format!("{name} ended by itself:{}", last_lines(log, 1)));
                    }
                }
            }
        }
        Ok(ended)
    }

    /// Lets all go on that stand still.
    pub fn heal(&self) {
        for service in &self.services {
            resume(service.server.pid());
        }
    }

    /// Asks every service to drain, and waits for it.
    pub async fn stop(mut self) {
        for service in &mut self.services {
            service.server.stop(DRAIN).await;
        }
    }
}
