use std::path::PathBuf;

use anyhow::Context as _;
use bonesetter_chassis::bus::Bus;
use bonesetter_chassis::secret::SecretFile;
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
    nkey_file: PathBuf,
}

impl Connection {
    /// The same server, with another seed.
    pub(crate) fn with_nkey_file(&self, nkey_file: PathBuf) -> Self {
        Self {
            nats_url: self.nats_url.clone(),
            nkey_file,
        }
    }

    /// Connects as the user of that name.
    pub(crate) async fn connect(&self, user: &str) -> anyhow::Result<Bus> {
        let user = topology::user(user).with_context(|| format!("no user {user:?}"))?;
        Ok(Bus::connect(&self.nats_url, user, &SecretFile::new(&self.nkey_file)).await?)
    }
}
