//! A running `svc-audit serve`, and who calls it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bonesetter_chassis::config::{
    Common, HealthSettings, KeySettings, NatsSettings, TelemetrySettings,
};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::Process;
use bonesetter_proto::grpc::incident_service_client::IncidentServiceClient;
use bonesetter_testbed::authority::Authority;
use bonesetter_testbed::ports::free_port;
use svc_audit::Config;
use svc_audit::config::{Reader, ServeSettings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::bed::{Ledger, config};

/// Certificates in files, by which server and callers know each other.
pub(crate) struct Certificates {
    pub(crate) authority: Authority,
    dir: tempfile::TempDir,
}

impl Certificates {
    pub(crate) fn make() -> Self {
        let this = Self {
            authority: Authority::make("one").unwrap(),
            dir: tempfile::tempdir().unwrap(),
        };
        this.issue_to_server();
        this
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn issue_to_server(&self) {
        let hosts = ["localhost", "127.0.0.1"];
        let pair = self.authority.issue("svc-audit", None, &hosts).unwrap();
        std::fs::write(self.file("server.crt"), pair.certificate).unwrap();
        std::fs::write(self.file("server.key"), pair.key).unwrap();
        std::fs::write(self.file("ca.crt"), &self.authority.certificate).unwrap();
    }

    pub(crate) fn client(&self, name: &str) -> ClientTlsConfig {
        let pair = self.authority.issue(name, None, &[name]).unwrap();
        let identity = Identity::from_pem(pair.certificate, pair.key);
        self.anonymous().identity(identity)
    }

    pub(crate) fn anonymous(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.authority.certificate))
    }
}

/// A running `svc-audit serve`.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    running: JoinHandle<anyhow::Result<()>>,
}

pub(crate) fn settings(certificates: &Certificates) -> ServeSettings {
    let reader = |name: &str, namespaces: &[&str]| Reader {
        name: name.to_owned(),
        namespaces: namespaces.iter().map(|it| (*it).to_owned()).collect(),
    };
    ServeSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], free_port().unwrap())),
        certificate_file: certificates.file("server.crt"),
        key_file: certificates.file("server.key"),
        client_ca_file: certificates.file("ca.crt"),
        readers: vec![reader("sre", &["*"]), reader("shop-team", &["shop"])],
        watches: 2,
        connections: 64,
    }
}

pub(crate) fn process() -> Process {
    Process {
        common: Common {
            cluster: "demo".to_owned(),
            nats: NatsSettings::default(),
            keys: KeySettings::default(),
            telemetry: TelemetrySettings::default(),
            health: HealthSettings::default(),
        },
        mode: Some(svc_audit::SERVE.to_owned()),
        metrics: Metrics::default(),
        readiness: Readiness::default(),
        shutdown: CancellationToken::new(),
    }
}

impl Server {
    pub(crate) fn start(ledger: &Ledger, certificates: &Certificates) -> Self {
        Self::start_with(ledger, settings(certificates))
    }

    pub(crate) fn start_with(ledger: &Ledger, serve: ServeSettings) -> Self {
        let address = serve.listen;
        let config = Config {
            serve: Some(serve),
            ..config(ledger.url_file("audit_reader"), None)
        };
        let process = process();
        let running = tokio::spawn(svc_audit::run_alone(config, process.clone()));
        Self {
            address,
            process,
            running,
        }
    }

    /// Connects; tries again while nobody listens yet.
    pub(crate) async fn channel(&self, tls: ClientTlsConfig) -> Channel {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            match self.try_channel(tls.clone()).await {
                Ok(channel) => return channel,
                Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error:?}"),
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn try_channel(
        &self,
        tls: ClientTlsConfig,
    ) -> Result<Channel, tonic::transport::Error> {
        Channel::from_shared(format!("https://{}", self.address))
            .unwrap()
            .tls_config(tls)?
            .connect()
            .await
    }

    pub(crate) async fn client(&self, tls: ClientTlsConfig) -> IncidentServiceClient<Channel> {
        IncidentServiceClient::new(self.channel(tls).await)
    }

    pub(crate) async fn stop(self) {
        self.process.shutdown.cancel();
        self.running.await.unwrap().expect("ended well");
    }
}
