//! Everything that the services need: servers, keys, identities, roles, namespaces.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bonesetter_chassis::bus::{Bus, provision, provision_copies};
use bonesetter_chassis::topology;
use bonesetter_keys::KeyDirectory;
use bonesetter_proto::Writer;
use bonesetter_testbed::State;
use bonesetter_testbed::ports::free_port;
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::identities;
use crate::scenario::{AUTO_NAMESPACE, SUGGEST_NAMESPACE};
use crate::services::Spec;

/// The cluster's name in every subject.
pub const CLUSTER: &str = "demo";
const DATABASE: &str = "bonesetter_demo";

/// A prepared environment.
#[derive(Debug)]
pub struct Environment {
    /// What runs.
    pub state: State,
    /// The cluster, with an administrator's rights.
    pub cluster: Cluster,
    /// The keys of all services.
    pub keys: KeyDirectory,
    /// Files of this run.
    pub dir: PathBuf,
    /// URL of the audit database, as its superuser.
    pub database_url: String,
    /// Where the read side of svc-audit listens.
    pub ledger: SocketAddr,
    kubeconfigs: Map<String, Value>,
}

impl Environment {
    /// Prepares bus, database, namespaces and identities on servers that run already.
    pub async fn prepare(state: State, keys: KeyDirectory, sources: &Path) -> anyhow::Result<Self> {
        let dir = dir_in(&state.dir);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let cluster = Cluster::connect(state.kubeconfig()?).await?;
        let bus = connect(&state, &keys, "provisioner").await?;
        provision(&bus).await?;
        bus.close().await;
        let external = connect(&state, &keys, "provisioner-external").await?;
        provision_copies(&external).await?;
        external.close().await;
        let database_url = prepare_database(&state, sources, &dir).await?;
        let ledger = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        for namespace in [SUGGEST_NAMESPACE, AUTO_NAMESPACE] {
            cluster.fresh_namespace(namespace).await?;
        }
        let manifests = sources.join("deploy/kubernetes");
        let kubeconfigs = identities::make(&cluster, state.kubeconfig()?, &manifests, &dir).await?;
        Ok(Self {
            state,
            cluster,
            keys,
            dir,
            database_url,
            ledger,
            kubeconfigs,
        })
    }

    /// Connects to the bus as one of its users.
    pub async fn connect(&self, user: &str) -> anyhow::Result<Bus> {
        connect(&self.state, &self.keys, user).await
    }

    /// The seven services, the publisher, the archive job, the sweeper and the read side, configured for this
    /// environment; notices go to a receiver at this base URL.
    pub fn specs(&self, receiver: &str) -> anyhow::Result<Vec<Spec>> {
        let kubeconfig = |service: &str| self.kubeconfigs.get(service).cloned().unwrap_or_default();
        let keys = &self.keys;
        let slack = self.secret("slack-url", &format!("{receiver}/slack"))?;
        let webhook = self.secret("webhook-url", &format!("{receiver}/webhook"))?;
        let minio = self.state.minio()?;
        let spec = |program, mode, keys: Value, own: Value| self.spec(program, mode, keys, own);
        Ok(vec![
            spec(
                "svc-watcher",
                None,
                json!({"signing_file": keys.signing(Writer::Watcher)}),
                json!({
                    "kubeconfig": kubeconfig("svc-watcher"),
                    "namespaces": {"watch": [SUGGEST_NAMESPACE, AUTO_NAMESPACE]},
                }),
            ),
            spec(
                "svc-enricher",
                None,
                json!({
                    "trusted_dir": keys.trusted(),
                    "evidence_file": keys.evidence(), "digest_file": keys.digest(),
                }),
                json!({
                    "kubeconfig": kubeconfig("svc-enricher"),
                    "loki": {"url": self.state.loki_url},
                }),
            ),
            spec(
                "svc-redactor",
                None,
                json!({
                    "signing_file": keys.signing(Writer::Redactor),
                    "evidence_file": keys.evidence(), "digest_file": keys.digest(),
                }),
                json!({}),
            ),
            spec(
                "svc-llm",
                None,
                json!({
                    "signing_file": keys.signing(Writer::Llm), "trusted_dir": keys.trusted(),
                }),
                json!({}),
            ),
            spec(
                "svc-actuator",
                None,
                json!({
                    "signing_file": keys.signing(Writer::Actuator), "trusted_dir": keys.trusted(),
                    "digest_file": keys.digest(), "inverse_file": keys.inverse(),
                }),
                json!({
                    "kubeconfig": kubeconfig("svc-actuator"),
                    "mode": "auto",
                    "auto_apply_namespaces": [AUTO_NAMESPACE],
                    "verification": {"window": "10s"},
                }),
            ),
            spec(
                "svc-notifier",
                None,
                json!({
                    "trusted_dir": keys.trusted(), "webhook_file": keys.webhook(),
                }),
                json!({
                    "slack": {"webhook_url_file": slack},
                    "webhook": {"url_file": webhook},
                }),
            ),
            self.publisher(),
            spec(
                "svc-audit",
                None,
                json!({"trusted_dir": keys.trusted()}),
                json!({"database": {"url_file": self.dir.join("ingest-url")}}),
            ),
            self.sweeper(),
            self.reader()?,
            spec(
                "svc-audit",
                Some("export"),
                json!({}),
                json!({
                    "database": {"url_file": self.dir.join("archiver-url")},
                    "export": {
                        "endpoint": minio.url,
                        "bucket": minio.bucket,
                        "credential_file": minio.put_only_file,
                        "every": "2s",
                    },
                }),
            ),
        ])
    }

    /// The read side. Its certificate is that of svc-audit, and the operator's lets in.
    fn reader(&self) -> anyhow::Result<Spec> {
        let server = self.state.nats()?.settings(&self.keys, "svc-audit").tls;
        let serve = json!({
            "listen": self.ledger,
            "certificate_file": server.certificate_file,
            "key_file": server.key_file,
            "client_ca_file": server.ca_file,
            "readers": [{"name": "operator", "namespaces": ["*"]}],
        });
        let database = json!({"url_file": self.dir.join("reader-url")});
        let sections = [
            ("cluster", json!(CLUSTER)),
            ("database", database),
            ("serve", serve),
        ];
        Ok(Spec {
            program: "svc-audit",
            mode: Some("serve"),
            config: sections
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .collect(),
        })
    }

    fn sweeper(&self) -> Spec {
        let signing = self.keys.signing(Writer::Sweeper);
        let keys = json!({"signing_file": signing, "trusted_dir": self.keys.trusted()});
        let database = json!({"url_file": self.dir.join("sweeper-url")});
        self.spec(
            "svc-audit",
            Some("sweep"),
            keys,
            json!({"database": database}),
        )
    }

    fn publisher(&self) -> Spec {
        let signing = self.keys.signing(Writer::Publisher);
        let keys = json!({"signing_file": signing, "trusted_dir": self.keys.trusted()});
        self.spec("svc-notifier", Some("publish"), keys, json!({}))
    }

    fn spec(
        &self,
        program: &'static str,
        mode: Option<&'static str>,
        keys: Value,
        own: Value,
    ) -> Spec {
        let mut config = match own {
            Value::Object(own) => own,
            _ => Map::new(),
        };
        config.insert("cluster".to_owned(), json!(CLUSTER));
        config.insert("keys".to_owned(), keys);
        let mut spec = Spec {
            program,
            mode,
            config,
        };
        let nats = self.state.nats.as_ref();
        let nats = nats.map(|nats| nats.settings(&self.keys, &spec.name()));
        spec.config.insert("nats".to_owned(), json!(nats));
        spec
    }

    fn secret(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.dir.join(name);
        write_private(&path, text)?;
        Ok(path)
    }
}

/// Where a demo's files are in a state directory; there as long as something of it may be in the cluster.
pub fn dir_in(state_dir: &Path) -> PathBuf {
    state_dir.join("demo")
}

async fn connect(state: &State, keys: &KeyDirectory, user: &str) -> anyhow::Result<Bus> {
    let settings = state.nats()?.settings(keys, user);
    let user = topology::user(user).with_context(|| format!("no user {user:?}"))?;
    Ok(Bus::connect(&settings, user).await?)
}

/// A fresh audit database with its roles; the roles' URLs are written to files.
async fn prepare_database(state: &State, sources: &Path, dir: &Path) -> anyhow::Result<String> {
    let postgres = state.postgres()?;
    postgres.drop_database(DATABASE).await?;
    postgres.create_database(DATABASE).await?;
    postgres
        .apply_sql(DATABASE, &sources.join("deploy/sql"))
        .await?;
    for (role, file) in [
        ("audit_ingest", "ingest-url"),
        ("audit_archiver", "archiver-url"),
        ("audit_sweeper", "sweeper-url"),
        ("audit_reader", "reader-url"),
    ] {
        let password = hex::encode(rand::random::<[u8; 16]>());
        postgres.set_password(role, &password).await?;
        write_private(&dir.join(file), &postgres.url_as(role, &password, DATABASE))?;
    }
    Ok(postgres.url(DATABASE))
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    bonesetter_testbed::cluster::write_private(path, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}
