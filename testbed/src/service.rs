//! A service's own program as a process, and what tests do with two replicas of it.

use crate::cluster::{self, write_private};
use crate::ports::free_port;
use crate::process::{self, Launch, Server, pause};
use crate::ready;
use bonesetter_chassis::bus::{Bus, LagError};
use bonesetter_chassis::topology::ConsumerSpec;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::time::Duration;

const READY: Duration = Duration::from_mins(1);
const DRAIN: Duration = Duration::from_secs(30);
/// Longer than a delivery waits for a sign of life, and what comes after.
const HANDLED: Duration = Duration::from_mins(3);
const RECEIVED: &str = "bonesetter_messages_received_total";
const IN_FLIGHT: &str = "bonesetter_messages_in_flight";

/// A service could not be run, or did not do what was awaited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// It did not become what was awaited.
    #[error(transparent)]
    Ready(#[from] ready::Error),
    /// Its configuration could not be written.
    #[error(transparent)]
    Write(#[from] cluster::Error),
    /// There is no port for its health.
    #[error("no port of loopback is free: {0}")]
    Port(#[from] io::Error),
    /// It could not be asked.
    #[error("cannot ask a service: {0}")]
    Ask(#[from] reqwest::Error),
    /// The server could not be asked.
    #[error(transparent)]
    Lag(#[from] LagError),
}

/// A service's process. Dropping it kills it.
#[derive(Debug)]
pub struct ServiceProcess {
    server: Server,
    /// Base URL of its health.
    health: String,
}

impl ServiceProcess {
    /// Starts a program; its configuration and its log are `NAME.json` and `NAME.log` in `dir`. Where its
    /// health is comes to `config` here. It is not waited for.
    pub fn start(name: &str, program: &Path, dir: &Path, mut config: Value) -> Result<Self, Error> {
        let address = format!("127.0.0.1:{}", free_port()?);
        config["health"] = json!({"listen": address});
        let file = dir.join(format!("{name}.json"));
        // JSON is YAML.
        write_private(&file, config.to_string().as_bytes())?;
        let launch = Launch::new(name, program, dir.join(format!("{name}.log")));
        Ok(Self {
            server: launch.arg("--config").arg(file).start()?,
            health: format!("http://{address}"),
        })
    }

    /// Starts two of them, `NAME` and `NAME-2`, and waits until both are ready.
    pub async fn start_two(
        name: &str,
        program: &Path,
        dir: &Path,
        config: &Value,
    ) -> Result<[Self; 2], Error> {
        let start = |name: &str| Self::start(name, program, dir, config.clone());
        let mut replicas = [start(name)?, start(&format!("{name}-2"))?];
        for replica in &mut replicas {
            replica.wait_ready().await?;
        }
        Ok(replicas)
    }

    /// Waits until it says that it is ready.
    pub async fn wait_ready(&mut self) -> Result<(), Error> {
        let url = format!("{}/readyz", self.health);
        let client = ready::local_http()?;
        let what = self.server.name().to_owned();
        let probe = async || ready::get_ok(&client, &url).await;
        Ok(ready::until(&what, READY, &mut [&mut self.server], probe).await?)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Fails if the process has ended, with the last lines of its log.
    pub fn check_alive(&mut self) -> Result<(), Error> {
        Ok(self.server.check_alive()?)
    }

    /// Asks it to drain, and waits until it has ended.
    pub async fn stop(&mut self) {
        self.server.stop(DRAIN).await;
    }

    /// Starts it again as it was started, and waits until it is ready.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.server.restart()?;
        self.wait_ready().await
    }

    /// What it exports of a metric about one consumer; 0 where it exports nothing of it.
    async fn metric(&self, name: &str, spec: &ConsumerSpec) -> Result<u64, reqwest::Error> {
        let url = format!("{}/metrics", self.health);
        let answer = ready::local_http()?.get(&url).send().await?;
        let text = answer.error_for_status()?.text().await?;
        let (begin, end) = (format!("{name}{{"), format!("consumer=\"{}\"}}", spec.name));
        let value = text.lines().find_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.starts_with(&begin) && series.ends_with(&end)).then_some(value)
        });
        Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
    }
}

/// Has two replicas share a consumer while it is fed, and kills the first of them (SIGKILL) while it has
/// messages in hand and the other has handled all that was left; returns when the other has handled those
/// too.
pub async fn lose_one(
    replicas: &mut [ServiceProcess; 2],
    bus: &Bus,
    spec: &ConsumerSpec,
    feeding: impl Future<Output = ()>,
) -> Result<(), Error> {
    let [first, second] = replicas;
    tokio::join!(feeding, stop_sharing(first, second, spec)).1?;
    let what = format!("messages in the hands of one replica of {} only", spec.user);
    let caught = async || {
        let busy = second.metric(IN_FLIGHT, spec).await.map_err(text)?;
        let state = bus.consumer_state(spec).await.map_err(text)?;
        if busy == 0 && state.pending == 0 && state.ack_pending > 0 {
            return Ok(());
        }
        Err(format!("{busy} in flight, {state:?}"))
    };
    ready::until(&what, HANDLED, &mut [], caught).await?;
    first.server.kill();
    let what = format!("the end of what {} delivers", spec.name);
    let idle = async || {
        let state = bus.consumer_state(spec).await.map_err(text)?;
        if state.is_idle() {
            Ok(())
        } else {
            Err(format!("{state:?}"))
        }
    };
    Ok(ready::until(&what, HANDLED, &mut [], idle).await?)
}

/// Stops the first one (SIGSTOP) when both have had messages. What it has begun, and what the server sends
/// for the pull that it has open, stays in its hands.
async fn stop_sharing(
    first: &ServiceProcess,
    second: &ServiceProcess,
    spec: &ConsumerSpec,
) -> Result<(), Error> {
    let what = format!("two replicas of {} that share", spec.user);
    let share = async || {
        for replica in [first, second] {
            if replica.metric(RECEIVED, spec).await.map_err(text)? == 0 {
                return Err(format!("{} has had nothing", replica.server.name()));
            }
        }
        Ok(())
    };
    ready::until(&what, HANDLED, &mut [], share).await?;
    pause(first.server.pid());
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: impl ToString) -> String {
    error.to_string()
}
