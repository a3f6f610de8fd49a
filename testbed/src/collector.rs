//! An OpenTelemetry Collector: takes the traces of services, and says what it understood.

mod spans;

pub use spans::{Span, SpanKind, Traces};

use crate::ports::free_port;
use crate::process::{self, Launch, Server};
use crate::programs::{self, Program, Programs};
use crate::ready;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpStream;

/// To start, and to write what it holds when it is stopped.
const LIMIT: Duration = Duration::from_secs(30);

/// A collector could not be started, or kept nothing that can be read.
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
    #[error("cannot use the files or the port of a collector: {0}")]
    Prepare(#[from] io::Error),
    /// What it kept does not read as OTLP in JSON.
    #[error("cannot read the traces that a collector kept: {0}")]
    Kept(#[from] serde_json::Error),
}

/// A running collector. Dropping it kills it.
#[derive(Debug)]
pub struct Collector {
    port: u16,
    server: Server,
    dir: tempfile::TempDir,
}

/// The configuration of a collector on loopback that writes every export to a file, one a line.
/// Source: OpenTelemetry documentation, "Collector configuration"; README of `fileexporter`.
fn configuration(port: u16, kept: &Path) -> Value {
    json!({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": format!("127.0.0.1:{port}")}}}},
        "exporters": {"file": {"path": kept}},
        "service": {"pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}}},
    })
}

impl Collector {
    /// Starts a collector and waits until it listens.
    pub async fn start() -> Result<Self, Error> {
        let programs = Programs::locate(&[Program::Collector])?;
        let port = free_port()?;
        let dir = tempfile::tempdir()?;
        // JSON is YAML, which is what the collector reads.
        let file = dir.path().join("collector.yaml");
        fs::write(&file, configuration(port, &kept(dir.path())).to_string())?;
        let log = dir.path().join("collector.log");
        let mut server = Launch::new("collector", programs.get(Program::Collector)?, log)
            .flag("config", &file)
            .start()?;
        let probe = async || {
            let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
            connected.map(drop).map_err(|error| error.to_string())
        };
        ready::until("collector", LIMIT, &mut [&mut server], probe).await?;
        Ok(Self { port, server, dir })
    }

    /// Base URL of OTLP over HTTP.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Stops it, which makes it write what it holds, and returns all that it was sent.
    pub async fn stop(mut self) -> Result<Traces, Error> {
        self.server.stop(LIMIT).await;
        Ok(fs::read_to_string(kept(self.dir.path()))?.parse()?)
    }
}

fn kept(dir: &Path) -> PathBuf {
    dir.join("traces.jsonl")
}
