use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bonesetter_chassis::bus::{Bus, StoredMessage, provision_small};
use bonesetter_chassis::config::Common;
use bonesetter_chassis::service::Service;
use bonesetter_proto::v1::{Detected, Incident, Phase};
use bonesetter_proto::{IncidentId, Message, Namespace, Stage, Subject, Writer};
use bonesetter_testbed::service::ServiceProcess;
use bonesetter_testbed::{Postgres, State, TestBus};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use svc_audit::config::{DatabaseSettings, ExportSettings, SweepSettings, Within};
use svc_audit::{Config, EXPORT_ONCE};
use uuid::Uuid;

/// Roles belong to the whole server, so every test of this run uses the same password.
const PASSWORD: &str = "it";

/// A database of the test's own, with the roles and tables of deploy/sql.
pub(crate) struct Ledger {
    state: Option<State>,
    postgres: Postgres,
    name: String,
    dir: tempfile::TempDir,
}

impl Ledger {
    pub(crate) async fn start() -> Self {
        let state = State::load().expect("testbed");
        let postgres = state.postgres().expect("postgres");
        let ledger = Self::start_at(postgres).await;
        Self {
            state: Some(state),
            ..ledger
        }
    }

    /// The testbed.
    pub(crate) fn state(&self) -> &State {
        self.state.as_ref().expect("on the testbed's server")
    }

    /// On a server of the test's own.
    pub(crate) async fn start_at(postgres: Postgres) -> Self {
        let name = format!("audit_{}", Uuid::new_v4().simple());
        postgres.create_database(&name).await.expect("database");
        let ledger = Self {
            state: None,
            postgres,
            name,
            dir: tempfile::tempdir().unwrap(),
        };
        ledger.set_up().await;
        ledger
    }

    /// Twice, because the files must be applicable again; one test at a time, because roles are shared.
    async fn set_up(&self) {
        let mut server = PgConnection::connect(&self.postgres.url("postgres"))
            .await
            .unwrap();
        sqlx::query("select pg_advisory_lock(1)")
            .execute(&mut server)
            .await
            .unwrap();
        let sql = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/sql");
        for _ in 0..2 {
            self.postgres
                .apply_sql(&self.name, &sql)
                .await
                .expect("applied");
        }
        for role in [
            "audit_ingest",
            "audit_archiver",
            "audit_sweeper",
            "audit_keeper",
            "audit_reader",
        ] {
            let statement = format!("alter role {role} password '{PASSWORD}'");
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut server)
                .await
                .unwrap();
        }
        // The session ends, and with it the lock.
        server.close().await.unwrap();
    }

    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(&self.postgres.url(&self.name))
            .await
            .unwrap()
    }

    pub(crate) async fn connect(&self, role: &str) -> PgConnection {
        PgConnection::connect(&self.url(role)).await.unwrap()
    }

    pub(crate) fn url(&self, role: &str) -> String {
        self.postgres.url_as(role, PASSWORD, &self.name)
    }

    /// A file with the URL for a role.
    pub(crate) fn url_file(&self, role: &str) -> PathBuf {
        let path = self.file(role);
        std::fs::write(&path, self.url(role)).unwrap();
        path
    }

    /// Where that file is.
    pub(crate) fn file(&self, role: &str) -> PathBuf {
        self.dir.path().join(format!("{role}.url"))
    }

    pub(crate) fn superuser_file(&self) -> PathBuf {
        let path = self.dir.path().join("superuser.url");
        std::fs::write(&path, self.postgres.url(&self.name)).unwrap();
        path
    }

    /// Settings of the service.
    pub(crate) fn ingest(&self) -> Config {
        config(self.url_file("audit_ingest"), None)
    }

    /// Settings of the sweeper, for which what follows a message within a second is in time.
    pub(crate) fn sweep(&self) -> Config {
        let second = Duration::from_secs(1);
        Config {
            sweep: SweepSettings {
                every: second,
                within: Within {
                    evidence: second,
                    diagnosis: second,
                    decision: second,
                    change: second,
                    verification: second,
                    notice: second,
                },
                ..SweepSettings::default()
            },
            ..config(self.url_file("audit_sweeper"), None)
        }
    }

    /// Settings of the archive job, which puts into the testbed's bucket.
    pub(crate) fn export(&self, rows: u32) -> Config {
        let minio = self.state().minio().expect("minio");
        let export = ExportSettings {
            endpoint: minio.url.clone(),
            region: "us-east-1".to_owned(),
            bucket: minio.bucket.clone(),
            credential_file: minio.put_only_file.clone(),
            ca_file: None,
            every: Duration::from_secs(1),
            rows,
        };
        config(self.url_file("audit_archiver"), Some(export))
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let query = format!("select count(*) from audit.{table}");
        let mut superuser = self.superuser().await;
        sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&mut superuser)
            .await
            .unwrap()
    }

    /// Polls until the ledger holds so many rows.
    pub(crate) async fn recorded(&self, rows: i64) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.count("audit_events").await;
            if found >= rows {
                assert_eq!(found, rows);
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{found} of {rows} rows"
            );
            tokio::task::yield_now().await;
        }
    }

    /// Records what was published, until there are so many rows.
    pub(crate) async fn record(&self, nats: &Nats, rows: i64) {
        let service = nats.service("svc-audit").await;
        while_running(self.ingest(), service, self.recorded(rows)).await;
    }

    /// Exports what is recorded, in objects of so many rows.
    pub(crate) async fn export_to_end(&self, nats: &Nats, rows: u32) -> anyhow::Result<()> {
        svc_audit::run(self.export(rows), nats.mode(EXPORT_ONCE).await).await
    }

    pub(crate) async fn drop(self) {
        self.postgres
            .drop_database(&self.name)
            .await
            .expect("dropped");
    }
}

pub(crate) fn config(url_file: PathBuf, export: Option<ExportSettings>) -> Config {
    Config {
        database: DatabaseSettings {
            url_file,
            connections: 4,
        },
        export,
        ..Config::default()
    }
}

/// A bus of the test's own, with the users and permissions of production.
pub(crate) struct Nats {
    bus: TestBus,
    cluster: String,
}

impl Nats {
    pub(crate) async fn start() -> Self {
        // Keys of objects begin with the cluster: a cluster of the test's own keeps them apart.
        let cluster = format!("it-{}", Uuid::new_v4().simple());
        let bus = TestBus::start().await.expect("a bus");
        Self { bus, cluster }
    }

    /// With streams that are full at so many bytes.
    pub(crate) async fn start_small(max_bytes: i64) -> Self {
        let nats = Self::start().await;
        nats.resize_streams(max_bytes).await;
        nats
    }

    /// From now on streams are full at so many bytes, or at what they are anyway.
    pub(crate) async fn resize_streams(&self, max_bytes: i64) {
        let provisioner = self.bus("provisioner").await;
        let provisioned = provision_small(&provisioner, max_bytes).await;
        provisioned.expect("provisioned");
    }

    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(crate) async fn bus(&self, user: &str) -> Bus {
        self.bus.connect(user).await.expect("connected")
    }

    /// Starts two replicas of the service's own program.
    pub(crate) async fn start_two(&self, ledger: &Ledger) -> [ServiceProcess; 2] {
        let keys = &self.bus.keys;
        let config = json!({
            "cluster": self.cluster,
            "nats": self.bus.server.settings(keys, "svc-audit").unwrap(),
            "keys": {"trusted_dir": keys.trusted()},
            "database": {"url_file": ledger.url_file("audit_ingest")},
        });
        let program = Path::new(env!("CARGO_BIN_EXE_svc-audit"));
        ServiceProcess::start_two("svc-audit", program, self.bus.folder(), &config)
            .await
            .unwrap()
    }

    pub(crate) async fn service(&self, name: &'static str) -> Service {
        self.start_service(name, self.common(name)).await
    }

    /// svc-audit in another mode, with the user of that mode.
    pub(crate) async fn mode(&self, mode: &str) -> Service {
        let about = svc_audit::ABOUT.in_mode(mode).unwrap();
        let mut service = self.service(about.name).await;
        service.mode = Some(mode.to_owned());
        service
    }

    /// A service that signs with a key which may be another's.
    pub(crate) async fn service_with_key(&self, name: &'static str, key: Writer) -> Service {
        let mut common = self.common(name);
        common.keys.signing_file = Some(self.bus.keys.signing(key));
        self.start_service(name, common).await
    }

    fn common(&self, name: &str) -> Common {
        Common {
            cluster: self.cluster.clone(),
            ..self.bus.common(name).unwrap()
        }
    }

    async fn start_service(&self, name: &'static str, common: Common) -> Service {
        let started = self.bus.service_with(name, common).await;
        started.expect("started")
    }

    pub(crate) fn subject(&self, letter: char, stage: Stage, step: &str) -> Subject {
        Subject {
            stage,
            cluster: self.cluster.clone(),
            namespace: Namespace::new("shop").ok(),
            kind: "Deployment".to_owned(),
            incident: IncidentId::new(letter.to_string().repeat(IncidentId::LENGTH)).unwrap(),
            step: step.to_owned(),
        }
    }

    /// Publishes as the service that may.
    pub(crate) async fn publish<M: Message>(
        &self,
        writer: &'static str,
        letter: char,
        step: &str,
        message: M,
    ) {
        let publisher = self.service(writer).await.publisher::<M>().unwrap();
        let subject = self.subject(letter, M::STAGE, step);
        publisher
            .publish(&subject, message, "")
            .await
            .expect("published");
    }

    /// Opens an incident per letter.
    pub(crate) async fn open_incidents(&self, letters: &str) {
        for letter in letters.chars() {
            let incident = Incident {
                id: letter.to_string().repeat(IncidentId::LENGTH),
                ..Incident::default()
            };
            let detected = Detected {
                incident: Some(incident),
                phase: Phase::Open.into(),
                ..Detected::default()
            };
            self.publish("svc-watcher", letter, "open", detected).await;
        }
    }

    /// How many messages the server has been sent, each question to JetStream among them.
    pub(crate) async fn messages_sent(&self) -> u64 {
        let url = format!("{}/varz", self.bus.server.monitor_url());
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        found["in_msgs"].as_u64().unwrap()
    }

    pub(crate) async fn stored(&self, stage: Stage) -> Vec<StoredMessage> {
        self.bus.stored(stage).await.expect("readable")
    }
}

/// Runs the service until `until` is done, then drains it.
pub(crate) fn while_running<'a, T: 'a>(
    config: Config,
    service: Service,
    until: impl Future<Output = T> + 'a,
) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    Box::pin(async move {
        let running = tokio::spawn(svc_audit::run(config, service.clone()));
        let value = until.await;
        service.shutdown.cancel();
        running.await.unwrap().expect("drained");
        value
    })
}
