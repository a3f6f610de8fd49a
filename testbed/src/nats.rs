//! A `nats-server` with JetStream.

use crate::authority::Authority;
use crate::ports::free_port;
use crate::process::{self, Launch, Server, send};
use crate::programs::{self, Program, Programs};
use crate::ready;
use crate::state::NatsState;
use bonesetter_chassis::config::NatsSettings;
use bonesetter_keys::KeyDirectory;
use certificates::SERVER;
use rustix::process::Signal;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod certificates;

pub(crate) use certificates::Certificates;

/// A NATS server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No program.
    #[error(transparent)]
    Program(#[from] programs::Error),
    /// The process.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// It did not become ready.
    #[error(transparent)]
    Ready(#[from] ready::Error),
    /// A file or port could not be used.
    #[error("cannot prepare a NATS server in {}: {source}", dir.display())]
    Prepare {
        /// Its folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its monitoring endpoint.
    #[error("cannot ask the NATS server: {0}")]
    Monitor(#[from] reqwest::Error),
    /// A certificate could not be made.
    #[error("cannot make certificates for NATS: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A certificate could not be written.
    #[error(transparent)]
    Write(#[from] crate::cluster::Error),
}

/// What can be chosen about a NATS server.
#[derive(Debug, Clone, Default)]
pub struct NatsOptions {
    /// Text for the top level of the configuration file: an `authorization` or an `accounts`
    /// block, and `system_account`. Without it everyone may do everything.
    pub authorization: Option<String>,
    /// The folder of its configuration, store and log. Without it: a temporary one, removed with
    /// the guard.
    pub dir: Option<PathBuf>,
    /// The log file. Without it: `nats.log` in that folder.
    pub log: Option<PathBuf>,
    /// Without TLS: for what speaks the protocol by hand.
    pub plaintext: bool,
}

/// The configuration file of a server that listens on loopback only, and speaks TLS 1.3 with clients
/// that have a certificate where there are certificates in its folder. JetStream writes through to
/// the disk before it acknowledges (`sync_interval: always`): the promises that are tested on one
/// server are those of a cluster that lost power. A handshake may take long, because the machine is
/// busy with other tests; the server's own limit of two seconds then ends connections at random.
/// Source: NATS documentation, "Server configuration" and "JetStream configuration".
pub fn configuration(port: u16, monitor: u16, dir: &Path, authorization: Option<&str>) -> String {
    let authorization = authorization.unwrap_or_default();
    let quoted = |path: PathBuf| serde_json::Value::from(path.to_string_lossy());
    let store = quoted(dir.join("store"));
    let certificates = Certificates::new(dir);
    let tls = if certificates.exist() {
        format!(
            "tls {{\n  cert_file: {}\n  key_file: {}\n  ca_file: {}\n  verify: true\n  \
             min_version: \"1.3\"\n  timeout: 20\n}}\n",
            quoted(certificates.certificate(SERVER)),
            quoted(certificates.key(SERVER)),
            quoted(certificates.authority())
        )
    } else {
        String::new()
    };
    format!(
        "server_name: bonesetter-testbed\n\
         listen: \"127.0.0.1:{port}\"\n\
         http: \"127.0.0.1:{monitor}\"\n\
         jetstream {{\n  store_dir: {store}\n  sync_interval: always\n  max_file_store: 64GB\n}}\n\
         {tls}{authorization}\n"
    )
}

/// A running NATS server with its own store and port. Dropping it kills it.
#[derive(Debug)]
pub struct NatsServer {
    dir: PathBuf,
    port: u16,
    monitor: u16,
    authority: Option<Authority>,
    server: Server,
    _temporary: Option<tempfile::TempDir>,
}

impl NatsServer {
    /// Starts a server and waits until JetStream is ready.
    pub async fn start(options: NatsOptions) -> Result<Self, Error> {
        let programs = Programs::locate(&[Program::NatsServer])?;
        let program = programs.get(Program::NatsServer)?.to_owned();
        let (dir, temporary) = if let Some(dir) = options.dir {
            (dir, None)
        } else {
            let temporary = tempfile::tempdir().map_err(|source| Error::Prepare {
                dir: std::env::temp_dir(),
                source,
            })?;
            (temporary.path().to_owned(), Some(temporary))
        };
        let prepare = |source| Error::Prepare {
            dir: dir.clone(),
            source,
        };
        let port = free_port().map_err(prepare)?;
        let monitor = free_port().map_err(prepare)?;
        fs::create_dir_all(&dir).map_err(prepare)?;
        let authority = if options.plaintext {
            None
        } else {
            Some(Certificates::new(&dir).make()?)
        };
        let text = configuration(port, monitor, &dir, options.authorization.as_deref());
        fs::write(dir.join("nats.conf"), text).map_err(prepare)?;
        let log = options.log.unwrap_or_else(|| dir.join("nats.log"));
        let server = launch(&program, &dir, &log)?;
        let mut nats = Self {
            dir,
            port,
            monitor,
            authority,
            server,
            _temporary: temporary,
        };
        nats.wait_ready().await?;
        Ok(nats)
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The monitoring endpoint (`/healthz`, `/jsz`, `/connz`).
    pub fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor)
    }

    /// The configuration file; changed, it takes effect with [`NatsServer::restart`].
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("nats.conf")
    }

    /// Where everything is.
    pub fn state(&self) -> NatsState {
        NatsState {
            url: self.url(),
            monitor_url: self.monitor_url(),
            config: self.config_file(),
            tls_dir: self
                .authority
                .as_ref()
                .map(|_| Certificates::new(&self.dir).folder()),
        }
    }

    /// How a user connects; a user without a certificate gets one.
    pub fn settings(&self, keys: &KeyDirectory, user: &str) -> Result<NatsSettings, Error> {
        if let Some(authority) = &self.authority {
            let certificates = Certificates::new(&self.dir);
            if !certificates.certificate(user).exists() {
                certificates.issue(authority, user)?;
            }
        }
        Ok(self.state().settings(keys, user))
    }

    /// Replaces the authority and every certificate by new ones. The server takes them when it is
    /// restarted, and clients when they connect again.
    pub fn rotate_certificates(&mut self) -> Result<(), Error> {
        let certificates = Certificates::new(&self.dir);
        let users = certificates.users();
        let authority = certificates.make()?;
        for user in users {
            certificates.issue(&authority, &user)?;
        }
        self.authority = Some(authority);
        Ok(())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The log file.
    pub fn log_file(&self) -> &Path {
        self.server.log()
    }

    /// Kills the server with SIGKILL: what a client sees when the machine is gone.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Stops the server in an orderly way.
    pub async fn stop(&mut self) {
        self.server.stop(Duration::from_secs(10)).await;
    }

    /// Starts the server again, stopped or killed or running, on the same port and store.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await;
        self.server.restart()?;
        self.wait_ready().await
    }

    async fn wait_ready(&mut self) -> Result<(), Error> {
        let url = format!("{}/healthz", self.monitor_url());
        let client = ready::local_http()?;
        let limit = Duration::from_secs(30);
        let probe = async || ready::get_ok(&client, &url).await;
        ready::until("nats-server", limit, &mut [&mut self.server], probe).await?;
        Ok(())
    }

    /// Whether JetStream takes messages; a server whose disk was full switches it off until it is
    /// started again.
    pub async fn is_storing(&self) -> Result<bool, Error> {
        let client = ready::local_http()?;
        let url = format!("{}/healthz?js-enabled-only=true", self.monitor_url());
        Ok(client.get(&url).send().await?.status().is_success())
    }

    /// Hands out the process, for a supervisor that watches several.
    pub(crate) fn server(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// Gives a running server, also another process's, other accounts and users, and returns when it
/// has taken them. Clients whose rights are the same stay connected.
/// Source: NATS documentation, "Reloading a configuration" and "Monitoring" (`/varz`).
pub async fn reload(state: &NatsState, pid: u32, authorization: &str) -> Result<(), Error> {
    let dir = state.config.parent().unwrap_or(Path::new("/"));
    let prepare = |source| Error::Prepare {
        dir: dir.to_owned(),
        source,
    };
    let port = |url: &str| {
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
        port.ok_or_else(|| prepare(io::Error::other(format!("{url} has no port"))))
    };
    let text = configuration(
        port(&state.url)?,
        port(&state.monitor_url)?,
        dir,
        Some(authorization),
    );
    let client = ready::local_http()?;
    let url = format!("{}/varz", state.monitor_url);
    let loaded = async || {
        let answer = client.get(&url).send().await?.error_for_status()?;
        let varz: serde_json::Value = answer.json().await?;
        Ok(varz["config_load_time"].clone())
    };
    let before = loaded().await?;
    fs::write(&state.config, text).map_err(prepare)?;
    send(pid, Signal::HUP);
    ready::until(
        "nats-server with its new users",
        Duration::from_secs(10),
        &mut [],
        async || match loaded().await {
            Ok(now) if now != before => Ok(()),
            Ok(_) => Err("it has kept its configuration; its log says why".to_owned()),
            Err(error) => Err(reqwest::Error::to_string(&error)),
        },
    )
    .await?;
    Ok(())
}

/// Makes an authority and the certificates of a server and of its users: `tls/ca.crt`,
/// `tls/nats-server.crt`, `tls/nats-server.key` and so on in a folder.
pub fn make_certificates(dir: &Path) -> Result<(), Error> {
    Certificates::new(dir).make().map(|_| ())
}

fn launch(program: &Path, dir: &Path, log: &Path) -> Result<Server, process::Error> {
    Launch::new("nats", program, log.to_owned())
        .arg("-c")
        .arg(dir.join("nats.conf"))
        .start()
}

#[cfg(test)]
mod tests {
    use super::configuration;
    use std::path::Path;

    #[test]
    fn listens_on_loopback_and_syncs_every_write() {
        let text = configuration(4222, 8222, Path::new("/s t"), Some("authorization { }"));
        assert!(!text.contains("tls"), "without certificates there is none");
        assert!(text.contains("listen: \"127.0.0.1:4222\""));
        assert!(text.contains("store_dir: \"/s t/store\"\n  sync_interval: always"));
        assert!(text.ends_with("authorization { }\n"));
    }
}
