//! Loki as a single process.

use crate::ports::free_port;
use crate::process::{self, Launch, Server};
use crate::programs::{self, Program, Programs};
use crate::ready;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Loki could not be started.
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
    #[error("cannot prepare Loki in {}: {source}", dir.display())]
    Prepare {
        /// Its folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A running Loki.
#[derive(Debug)]
pub struct LokiServer {
    server: Server,
    port: u16,
}

/// The configuration of a single process with its ring in memory, its chunks in files, and every
/// address on loopback. JSON is YAML, which is what Loki reads.
/// Source: Grafana Loki documentation, "Grafana Loki configuration parameters".
fn configuration(dir: &Path, http: u16, grpc: u16, gossip: u16) -> Value {
    json!({
        "auth_enabled": false,
        "analytics": {"reporting_enabled": false},
        "server": {
            "http_listen_address": "127.0.0.1",
            "http_listen_port": http,
            "grpc_listen_address": "127.0.0.1",
            "grpc_listen_port": grpc,
            "grpc_server_max_recv_msg_size": 16_777_216,
            "log_level": "warn",
        },
        "common": {
            "instance_addr": "127.0.0.1",
            "path_prefix": dir,
            "replication_factor": 1,
            "ring": {"instance_addr": "127.0.0.1", "kvstore": {"store": "inmemory"}},
            "storage": {"filesystem": {
                "chunks_directory": dir.join("chunks"),
                "rules_directory": dir.join("rules"),
            }},
        },
        "memberlist": {"bind_addr": ["127.0.0.1"], "bind_port": gossip},
        "schema_config": {"configs": [{
            "from": "2024-01-01",
            "store": "tsdb",
            "object_store": "filesystem",
            "schema": "v13",
            "index": {"prefix": "index_", "period": "24h"},
        }]},
        // A fresh server that just became ready has nobody to wait for.
        "ingester": {"lifecycler": {"min_ready_duration": "0s", "final_sleep": "0s"}},
        "limits_config": {
            "max_line_size": "1MB",
            "max_line_size_truncate": true,
            "reject_old_samples": false,
            "ingestion_rate_mb": 64,
            "ingestion_burst_size_mb": 128,
            "per_stream_rate_limit": "32MB",
            "per_stream_rate_limit_burst": "64MB",
            "allow_structured_metadata": true,
            "volume_enabled": false,
        },
        "frontend": {"address": "127.0.0.1"},
        "query_range": {"results_cache": {"cache": {"embedded_cache": {"enabled": false}}}},
    })
}

impl LokiServer {
    /// Starts Loki with its data in `dir`.
    pub async fn start(programs: &Programs, dir: &Path, log: PathBuf) -> Result<Self, Error> {
        let prepare = |source| Error::Prepare {
            dir: dir.to_owned(),
            source,
        };
        let program = programs.get(Program::Loki)?;
        let port = free_port().map_err(prepare)?;
        let (grpc, gossip) = (free_port().map_err(prepare)?, free_port().map_err(prepare)?);
        fs::create_dir_all(dir).map_err(prepare)?;
        let file = dir.join("loki.yaml");
        let text = configuration(&dir.join("data"), port, grpc, gossip).to_string();
        fs::write(&file, text).map_err(prepare)?;
        let mut arguments = std::ffi::OsString::from("-config.file=");
        arguments.push(&file);
        let server = Launch::new("loki", program, log)
            .arg("-target=all")
            .arg(arguments)
            .start()?;
        let mut loki = Self { server, port };
        loki.wait_ready().await?;
        Ok(loki)
    }

    async fn wait_ready(&mut self) -> Result<(), Error> {
        let url = format!("{}/ready", self.url());
        let client = ready::local_http()?;
        let probe = async || ready::get_ok(&client, &url).await;
        let limit = Duration::from_secs(90);
        ready::until("loki", limit, &mut [&mut self.server], probe).await?;
        Ok(())
    }

    /// Kills the server with SIGKILL: what a client sees when the machine is gone.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts the server again on the same port and data.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.server.restart()?;
        self.wait_ready().await
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Base URL of its HTTP API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Stops the server.
    pub async fn stop(&mut self) {
        self.server.stop(Duration::from_secs(10)).await;
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        &mut self.server
    }
}
