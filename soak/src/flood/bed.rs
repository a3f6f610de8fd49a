//! A private nats-server and PostgreSQL, and the services' own programs on them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bonesetter_chassis::bus::{Bus, provision};
use bonesetter_chassis::config::NatsSettings;
use bonesetter_chassis::topology::{self, CONSUMERS, ConsumerSpec};
use bonesetter_demo::run::programs;
use bonesetter_keys::KeyDirectory;
use bonesetter_proto::Writer;
use bonesetter_testbed::cluster::write_private;
use bonesetter_testbed::postgres::PostgresServer;
use bonesetter_testbed::service::ServiceProcess;
use bonesetter_testbed::{NatsOptions, NatsServer, identity};
use serde_json::{Value, json};

use super::outside::Outside;
use crate::fleet::name_of;

pub(super) const CLUSTER: &str = "flood";
pub(super) const REDACTOR: &str = "svc-redactor";
const DATABASE: &str = "flood";
const ROLE: &str = "audit_ingest";
/// So many that together they would take more than their consumer may have open.
const LLM_REPLICAS: usize = 10;
/// An answer of the model that is held is waited for.
const PATIENCE: &str = "10m";

/// A service's process.
pub(super) struct Process {
    pub(super) service: &'static str,
    running: ServiceProcess,
}

/// Everything that runs.
pub(super) struct Bed {
    pub(super) keys: KeyDirectory,
    pub(super) outside: Outside,
    pub(super) database_url: String,
    pub(super) processes: Vec<Process>,
    nats: NatsServer,
    _postgres: PostgresServer,
    dir: tempfile::TempDir,
}

impl Bed {
    /// Starts all, and waits until every service is ready.
    pub(super) async fn start(sources: &Path) -> anyhow::Result<Self> {
        let temporary = tempfile::tempdir()?;
        let dir = temporary.path();
        let nats = NatsServer::start(NatsOptions {
            authorization: Some(identity::authorization(dir)?),
            dir: Some(dir.join("nats")),
            ..NatsOptions::default()
        });
        let (database_dir, log) = (dir.join("postgres"), dir.join("postgres.log"));
        let postgres = PostgresServer::start(&database_dir, log);
        let (nats, postgres) = tokio::join!(nats, postgres);
        let (nats, postgres) = (nats?, postgres?);
        let client = postgres.client();
        client.create_database(DATABASE).await?;
        client
            .apply_sql(DATABASE, &sources.join("deploy/sql"))
            .await?;
        let password = hex_password();
        client.set_password(ROLE, &password).await?;
        let ingest = client.url_as(ROLE, &password, DATABASE);
        write_private(&dir.join("ingest-url"), ingest.as_bytes())?;
        let outside = Outside::start().await?;
        let webhook = format!("{}/webhook", outside.url());
        write_private(&dir.join("webhook-url"), webhook.as_bytes())?;
        let kubeconfig = kubeconfig(&outside.url()).to_string();
        write_private(&dir.join("kubeconfig"), kubeconfig.as_bytes())?;
        let mut bed = Self {
            keys: identity::keys(dir)?,
            database_url: client.url(DATABASE),
            outside,
            processes: Vec::new(),
            nats,
            _postgres: postgres,
            dir: temporary,
        };
        let provisioner = bed.bus("provisioner").await?;
        provision(&provisioner).await?;
        provisioner.close().await;
        for (service, config) in bed.configurations()? {
            bed.launch(service, &config)?;
        }
        for process in &mut bed.processes {
            process.running.wait_ready().await?;
        }
        Ok(bed)
    }

    pub(super) fn nats_settings(&self, user: &str) -> anyhow::Result<NatsSettings> {
        Ok(self.nats.settings(&self.keys, user)?)
    }

    /// Connects as a user.
    pub(super) async fn bus(&self, user: &str) -> anyhow::Result<Bus> {
        let settings = self.nats_settings(user)?;
        let user = topology::user(user).context("a user of the bus")?;
        Ok(Bus::connect(&settings, user).await?)
    }

    /// What the services here handle.
    pub(super) fn consumers(&self) -> Vec<&'static ConsumerSpec> {
        let runs = |spec: &&ConsumerSpec| self.processes.iter().any(|it| it.service == spec.user);
        CONSUMERS.iter().filter(runs).collect()
    }

    /// Ends svc-redactor, so that its input piles up.
    pub(super) async fn stop_redactor(&mut self) -> anyhow::Result<()> {
        self.redactor()?.stop().await;
        Ok(())
    }

    /// Starts svc-redactor again.
    pub(super) async fn start_redactor(&mut self) -> anyhow::Result<()> {
        Ok(self.redactor()?.restart().await?)
    }

    fn redactor(&mut self) -> anyhow::Result<&mut ServiceProcess> {
        let mut processes = self.processes.iter_mut();
        let found = processes.find(|it| it.service == REDACTOR);
        Ok(&mut found.context("svc-redactor runs")?.running)
    }

    /// Fails where a service has ended.
    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            process.running.check_alive()?;
        }
        Ok(())
    }

    fn launch(&mut self, service: &'static str, config: &Value) -> anyhow::Result<()> {
        let replicas = if service == "svc-llm" {
            LLM_REPLICAS
        } else {
            1
        };
        let program = programs()?.join(service);
        for replica in 1..=replicas {
            let name = name_of(service, replica);
            let dir = self.dir.path();
            let running = ServiceProcess::start(&name, &program, dir, config.clone())?;
            self.processes.push(Process { service, running });
        }
        Ok(())
    }

    fn configurations(&self) -> anyhow::Result<Vec<(&'static str, Value)>> {
        let keys = &self.keys;
        let trusted = json!(keys.trusted());
        let url_file = |name: &str| json!({"url_file": self.dir.path().join(name)});
        let model = json!({
            "base_url": format!("{}/v1", self.outside.url()),
            "model": "flood",
            "timeout": PATIENCE,
        });
        let signing = |writer: Writer| -> PathBuf { keys.signing(writer) };
        [
            (
                REDACTOR,
                json!({
                    "signing_file": signing(Writer::Redactor),
                    "evidence_file": keys.evidence(), "digest_file": keys.digest(),
                }),
                json!({}),
            ),
            (
                "svc-llm",
                json!({"signing_file": signing(Writer::Llm), "trusted_dir": trusted}),
                json!({"provider": "openai", "openai": model}),
            ),
            (
                "svc-actuator",
                json!({
                    "signing_file": signing(Writer::Actuator), "trusted_dir": trusted,
                    "digest_file": keys.digest(), "inverse_file": keys.inverse(),
                }),
                json!({"kubeconfig": self.dir.path().join("kubeconfig")}),
            ),
            (
                "svc-notifier",
                json!({"trusted_dir": trusted, "webhook_file": keys.webhook()}),
                json!({"webhook": url_file("webhook-url")}),
            ),
            (
                "svc-audit",
                json!({"trusted_dir": trusted}),
                json!({"database": url_file("ingest-url")}),
            ),
        ]
        .into_iter()
        .map(|(service, keys, own)| Ok((service, self.configuration(service, &keys, own)?)))
        .collect()
    }

    fn configuration(&self, service: &str, keys: &Value, mut own: Value) -> anyhow::Result<Value> {
        own["cluster"] = json!(CLUSTER);
        own["keys"] = keys.clone();
        own["nats"] = serde_json::to_value(self.nats_settings(service)?)?;
        Ok(own)
    }
}

/// For a cluster without TLS, as who does not matter.
fn kubeconfig(server: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CLUSTER, "cluster": {"server": server}}],
        "users": [{"name": CLUSTER, "user": {}}],
        "contexts": [{"name": CLUSTER, "context": {"cluster": CLUSTER, "user": CLUSTER}}],
        "current-context": CLUSTER,
    })
}

fn hex_password() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// What the kernel says of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Memory {
    /// Resident now, in MiB.
    pub(super) resident: f64,
    /// The most that it was since it began, in MiB.
    pub(super) peak: f64,
}

impl Process {
    /// Source: `proc(5)`, `status`, `VmRSS` and `VmHWM`, in KiB.
    pub(super) fn memory(&self) -> anyhow::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.pid()))?;
        let mib = |name: &str| -> anyhow::Result<f64> {
            let line = status.lines().find(|line| line.starts_with(name));
            let kib = line.and_then(|line| line.split_whitespace().nth(1));
            let kib: f64 = kib.context("the process has ended")?.parse()?;
            Ok(kib / 1024.0)
        };
        Ok(Memory {
            resident: mib("VmRSS:")?,
            peak: mib("VmHWM:")?,
        })
    }
}
