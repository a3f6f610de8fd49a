//! A bus of its own, with the real users, permissions and keys.

use bonesetter_chassis::bus::{Bus, StreamReader, provision};
use bonesetter_chassis::config::{Common, HealthSettings, KeySettings, TelemetrySettings};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::{About, Service};
use bonesetter_chassis::topology;
use bonesetter_keys::KeyDirectory;
use bonesetter_proto::Writer;
use bonesetter_testbed::{NatsOptions, NatsServer, identity};
use tokio_util::sync::CancellationToken;

pub(crate) struct TestBus {
    server: NatsServer,
    pub(crate) keys: KeyDirectory,
    _folder: tempfile::TempDir,
}

impl TestBus {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = identity::keys(folder.path()).unwrap();
        let options = NatsOptions {
            authorization: Some(identity::authorization(folder.path()).unwrap()),
            ..NatsOptions::default()
        };
        let server = NatsServer::start(options).await.unwrap();
        let bus = Self {
            server,
            keys,
            _folder: folder,
        };
        provision(&bus.connect("provisioner").await).await.unwrap();
        bus
    }

    async fn connect(&self, user: &str) -> Bus {
        let settings = self.server.settings(&self.keys, user).unwrap();
        Bus::connect(&settings, topology::user(user).unwrap())
            .await
            .unwrap()
    }

    /// Reads a stream as the operator may.
    pub(crate) async fn reader(&self, stream: &str) -> StreamReader {
        StreamReader::new(self.connect("operator").await, stream.to_owned())
    }

    /// A service as it is when it has started.
    pub(crate) async fn service(&self, name: &'static str, shutdown: CancellationToken) -> Service {
        let writer = Writer::ALL
            .into_iter()
            .find(|writer| writer.service() == name);
        let common = Common {
            cluster: "test".to_owned(),
            nats: self.server.settings(&self.keys, name).unwrap(),
            keys: KeySettings {
                signing_file: writer.map(|writer| self.keys.signing(writer)),
                trusted_dir: Some(self.keys.trusted()),
                digest_file: Some(self.keys.digest()),
                inverse_file: Some(self.keys.inverse()),
                ..KeySettings::default()
            },
            telemetry: TelemetrySettings::default(),
            health: HealthSettings::default(),
        };
        let about = About {
            name,
            version: "test",
            modes: &[],
        };
        let (readiness, metrics) = (Readiness::default(), Metrics::default());
        Service::start(about, common, "test", shutdown, readiness, metrics)
            .await
            .unwrap()
    }
}
