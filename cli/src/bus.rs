use std::path::PathBuf;

use anyhow::Context as _;
use bonesetter_chassis::bus::Bus;
use bonesetter_chassis::config::{NatsSettings, NatsTls};
use bonesetter_chassis::topology;
use clap::Args;

/// How to reach the bus.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connection {
    /// NATS server.
    #[arg(
        long,
        env = "BONESETTER_NATS_URL",
        default_value = "nats://127.0.0.1:4222"
    )]
    nats_url: String,
    /// File with the nkey seed of the user.
    #[arg(long, env = "BONESETTER_NKEY_FILE")]
    nkey_file: Option<PathBuf>,
    #[command(flatten)]
    tls: Tls,
}

/// Certificates, where the server speaks TLS.
#[derive(Debug, Clone, Args)]
struct Tls {
    /// File with the certificates that may vouch for the NATS server.
    #[arg(
        long = "nats-ca-file",
        env = "BONESETTER_NATS_CA_FILE",
        value_name = "FILE"
    )]
    authority: Option<PathBuf>,
    /// File with the client certificate.
    #[arg(
        long = "nats-certificate-file",
        env = "BONESETTER_NATS_CERTIFICATE_FILE",
        value_name = "FILE",
        requires = "key"
    )]
    certificate: Option<PathBuf>,
    /// File with the key of the client certificate.
    #[arg(
        long = "nats-key-file",
        env = "BONESETTER_NATS_KEY_FILE",
        value_name = "FILE",
        requires = "certificate"
    )]
    key: Option<PathBuf>,
}

impl Connection {
    /// The same server, with another seed.
    pub(crate) fn with_nkey_file(&self, nkey_file: PathBuf) -> Self {
        Self {
            nats_url: self.nats_url.clone(),
            nkey_file: Some(nkey_file),
            tls: self.tls.clone(),
        }
    }

    /// Connects as the user of that name.
    pub(crate) async fn connect(&self, user: &str) -> anyhow::Result<Bus> {
        let user = topology::user(user).with_context(|| format!("no user {user:?}"))?;
        let nkey_file = self.nkey_file.clone();
        let settings = NatsSettings {
            url: self.nats_url.clone(),
            nkey_file: nkey_file
                .context("--nkey-file (or BONESETTER_NKEY_FILE) is not given; it names the file with the seed of the user")?,
            tls: NatsTls {
                ca_file: self.tls.authority.clone(),
                certificate_file: self.tls.certificate.clone(),
                key_file: self.tls.key.clone(),
            },
        };
        Ok(Bus::connect(&settings, user).await?)
    }
}
