//! MinIO, with a bucket under object lock.

use crate::ports::free_port;
use crate::process::{self, Launch, Server};
use crate::programs::{self, Program, Programs};
use crate::ready;
use crate::s3::{self, Access, REGION, S3Admin};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The bucket of the audit archive.
pub const BUCKET: &str = "bonesetter-audit";

/// How long the put-only credential is valid: seven days, the most that MinIO grants.
const CREDENTIAL_SECONDS: u32 = 604_800;

/// MinIO could not be started.
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
    /// No port.
    #[error("cannot choose a port for MinIO: {0}")]
    Port(#[from] io::Error),
    /// The bucket or the credential could not be made.
    #[error("cannot set up MinIO: {0}")]
    SetUp(#[from] s3::Error),
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A running MinIO.
#[derive(Debug)]
pub struct MinioServer {
    server: Server,
    /// May do everything.
    pub root: Access,
    /// May write objects to [`BUCKET`], and nothing else.
    pub put_only: Access,
}

/// The policy of the put-only credential.
/// Source: AWS Service Authorization Reference, actions of Amazon S3.
pub fn put_only_policy(bucket: &str) -> String {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": ["s3:PutObject"],
            "Resource": [format!("arn:aws:s3:::{bucket}/*")],
        }],
    })
    .to_string()
}

impl MinioServer {
    /// Starts a server with its objects in `dir`, makes the bucket, and a credential that can
    /// only put. Objects are kept for `retention_days` in COMPLIANCE mode: not even root can
    /// delete a version before.
    pub async fn start(
        programs: &Programs,
        dir: &Path,
        log: PathBuf,
        retention_days: u32,
    ) -> Result<Self, Error> {
        let program = programs.get(Program::Minio)?;
        let (port, console) = (free_port()?, free_port()?);
        let root = Access {
            endpoint: format!("http://127.0.0.1:{port}"),
            region: REGION.to_owned(),
            bucket: BUCKET.to_owned(),
            access_key_id: hex::encode(rand::random::<[u8; 10]>()),
            secret_access_key: hex::encode(rand::random::<[u8; 20]>()),
            session_token: None,
        };
        let mut server = Launch::new("minio", program, log)
            .arg("server")
            .arg("--address")
            .arg(format!("127.0.0.1:{port}"))
            .arg("--console-address")
            .arg(format!("127.0.0.1:{console}"))
            .arg(dir)
            .env("MINIO_ROOT_USER", &root.access_key_id)
            .env("MINIO_ROOT_PASSWORD", &root.secret_access_key)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            .start()?;
        wait_ready(&mut server, &root.endpoint).await?;

        let admin = S3Admin::new(root.clone())?;
        // Health is answered before the object layer is: the bucket is the real readiness.
        let probe = async || {
            let made = admin.create_locked_bucket(retention_days).await;
            made.or_else(|error| match error.code() {
                Some("BucketAlreadyOwnedByYou") => Ok(()),
                _ => Err(error.to_string()),
            })
        };
        ready::until(
            "the bucket",
            Duration::from_secs(30),
            &mut [&mut server],
            probe,
        )
        .await?;
        let put_only = admin
            .assume_role(&put_only_policy(BUCKET), CREDENTIAL_SECONDS)
            .await?;
        Ok(Self {
            server,
            root,
            put_only,
        })
    }

    /// Stops the server.
    pub async fn stop(&mut self) {
        self.server.stop(Duration::from_secs(10)).await;
    }

    /// Kills the server with SIGKILL: what a client sees when the machine is gone.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts the server again on the same port and objects.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.server.restart()?;
        wait_ready(&mut self.server, &self.root.endpoint).await
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        &mut self.server
    }
}

async fn wait_ready(server: &mut Server, endpoint: &str) -> Result<(), Error> {
    let client = ready::local_http()?;
    let url = format!("{endpoint}/minio/health/ready");
    let probe = async || ready::get_ok(&client, &url).await;
    ready::until("minio", Duration::from_mins(1), &mut [server], probe).await?;
    Ok(())
}
