//! A private nats-server with the streams, users and permissions of production.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{self, consumer::PullConsumer};
use async_nats::{Client, ConnectOptions};
use bonesetter_chassis::bus::{Bus, provision, with_certificates};
use bonesetter_chassis::config::{Common, HealthSettings, KeySettings, TelemetrySettings};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::{About, Service};
use bonesetter_chassis::topology::{self, ConsumerSpec};
use bonesetter_keys::KeyDirectory;
use bonesetter_proto::{Stage, Writer};
use bonesetter_testbed::{NatsOptions, NatsServer, identity};
use tokio_util::sync::CancellationToken;

/// How many deliveries the server leaves open, for the product and for what it is compared with.
const MAX_ACK_PENDING: i64 = 1024;

/// When the server writes through to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Before it acknowledges, as deployed.
    Always,
    /// Every two minutes, its default.
    Default,
}

impl Sync {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Default => "default",
        }
    }
}

pub(crate) struct Bed {
    pub(crate) nats: NatsServer,
    pub(crate) keys: KeyDirectory,
    admin: jetstream::Context,
    dir: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn start(sync: Sync) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let options = NatsOptions {
            authorization: Some(identity::authorization(dir.path())?),
            ..NatsOptions::default()
        };
        let mut nats = NatsServer::start(options).await?;
        if sync == Sync::Default {
            let file = nats.config_file();
            let text = fs::read_to_string(&file)?;
            let changed = text.replace("sync_interval: always\n", "\n");
            anyhow::ensure!(changed != text, "the server's configuration names no sync");
            fs::write(&file, changed)?;
            nats.restart().await?;
        }
        let keys = identity::keys(dir.path())?;
        let user = topology::user("provisioner").context("provisioner is a user")?;
        let bus = Bus::connect(&nats.settings(&keys, user.name)?, user).await?;
        provision(&bus).await?;
        bus.close().await;
        let admin = jetstream::new(client(&nats, &keys, user.name).await?);
        // More passes than is ever kept.
        for stream in topology::STREAMS {
            let mut config = admin
                .get_stream(stream.name)
                .await?
                .cached_info()
                .config
                .clone();
            config.max_bytes = -1;
            admin.update_stream(config).await?;
        }
        Ok(Self {
            nats,
            keys,
            admin,
            dir,
        })
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A client with the credentials of a service, without the product.
    pub(crate) async fn client(&self, user: &str) -> anyhow::Result<Client> {
        client(&self.nats, &self.keys, user).await
    }

    /// Reads what a service may: its input and its output.
    pub(crate) async fn reader(&self, user: &str) -> anyhow::Result<Bus> {
        let user = topology::user(user).context("a user of the bus")?;
        Ok(Bus::connect(&self.nats.settings(&self.keys, user.name)?, user).await?)
    }

    /// A connected service, as its program makes it.
    pub(crate) async fn service(&self, name: &'static str) -> anyhow::Result<Service> {
        let signing_file = Writer::ALL
            .into_iter()
            .find(|writer| writer.service() == name)
            .map(|writer| self.keys.signing(writer));
        let common = Common {
            cluster: "bench".to_owned(),
            nats: self.nats.settings(&self.keys, name)?,
            keys: KeySettings {
                signing_file,
                trusted_dir: Some(self.keys.trusted()),
                ..KeySettings::default()
            },
            telemetry: TelemetrySettings::default(),
            health: HealthSettings::default(),
        };
        let about = About {
            name,
            version: "0",
            modes: &[],
        };
        let (shutdown, ready) = (CancellationToken::new(), Readiness::default());
        Service::start(about, common, "bench", shutdown, ready, Metrics::default()).await
    }

    /// Lets the server keep many deliveries open, so that it is not what is measured.
    pub(crate) async fn widen(&self, spec: &ConsumerSpec) -> anyhow::Result<()> {
        let consumer = self.consumer(spec).await?;
        let mut config = jetstream::consumer::pull::Config::default();
        let now = &consumer.cached_info().config;
        config.durable_name.clone_from(&now.durable_name);
        config.filter_subject.clone_from(&now.filter_subject);
        config.ack_policy = now.ack_policy;
        config.deliver_policy = now.deliver_policy;
        config.ack_wait = now.ack_wait;
        config.max_deliver = now.max_deliver;
        config.max_ack_pending = MAX_ACK_PENDING;
        self.admin
            .create_consumer_on_stream(config, spec.stream.name)
            .await?;
        Ok(())
    }

    /// Fails where a stage's stream holds more or less than so many messages.
    pub(crate) async fn check_stored(&self, stage: Stage, count: usize) -> anyhow::Result<()> {
        let stream = topology::stream_of(stage).context("a stage with a stream")?;
        let found = self.admin.get_stream(stream.name).await?;
        let found = found.cached_info().state.messages;
        anyhow::ensure!(
            found == u64::try_from(count)?,
            "{} holds {found} messages instead of {count}",
            stream.name
        );
        Ok(())
    }

    /// Waits until everything in the stream has been acknowledged.
    pub(crate) async fn wait_acknowledged(
        &self,
        spec: &ConsumerSpec,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let mut consumer = self.consumer(spec).await?;
        let waiting = async {
            loop {
                let info = consumer.info().await?;
                if info.num_pending == 0 && info.num_ack_pending == 0 {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(limit, waiting)
            .await
            .with_context(|| format!("{} has not come to its end within {limit:?}", spec.name))?
    }

    async fn consumer(&self, spec: &ConsumerSpec) -> anyhow::Result<PullConsumer> {
        let (consumer, stream) = (spec.name, spec.stream.name);
        Ok(self
            .admin
            .get_consumer_from_stream(consumer, stream)
            .await?)
    }
}

/// Connects as the product does: with the user's seed and certificate.
async fn client(nats: &NatsServer, keys: &KeyDirectory, user: &str) -> anyhow::Result<Client> {
    let settings = nats.settings(keys, user)?;
    let seed = fs::read_to_string(&settings.nkey_file)?;
    let options = ConnectOptions::with_nkey(seed.trim().to_owned())
        .custom_inbox_prefix(format!("_INBOX_{user}"));
    let options = with_certificates(options, &settings.tls)?;
    Ok(options.connect(&settings.url).await?)
}
