//! What a service holds in memory while nothing happens: its own program, connected and ready.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use bonesetter_chassis::http::{self, HttpOptions};
use bonesetter_proto::Writer;
use bonesetter_testbed::State;
use bonesetter_testbed::cluster::write_private;
use bonesetter_testbed::ports::free_port;
use bonesetter_testbed::postgres::PostgresServer;
use serde_json::{Value, json};

use crate::bed::Bed;

const SERVICES: [&str; 7] = [
    "svc-watcher",
    "svc-enricher",
    "svc-redactor",
    "svc-llm",
    "svc-actuator",
    "svc-notifier",
    "svc-audit",
];
const DATABASE: &str = "bench";
const ROLE: &str = "audit_ingest";
const READY: Duration = Duration::from_secs(30);
/// What is only needed at the start has been freed by then.
const SETTLE: Duration = Duration::from_secs(5);

/// Resident memory by service, in MiB.
pub(crate) async fn at_rest(bed: &Bed) -> anyhow::Result<Vec<(&'static str, f64)>> {
    let programs = std::env::current_exe()?;
    let programs = programs
        .ancestors()
        .nth(2)
        .context("a folder of programs")?;
    let state = State::load()?;
    let ledger = Ledger::start(bed.dir()).await?;
    let mut running = Vec::new();
    for service in SERVICES {
        let config = configuration(bed, state.kubeconfig()?, &ledger, service)?;
        let process = Process::start(bed.dir(), programs, service, config);
        running.push((service, process.await?));
    }
    tokio::time::sleep(SETTLE).await;
    let mut found = Vec::new();
    for (service, process) in running {
        found.push((service, process.resident_mib()?));
    }
    Ok(found)
}

/// The database of svc-audit, on a server of its own.
struct Ledger {
    url_file: PathBuf,
    _server: PostgresServer,
}

impl Ledger {
    async fn start(dir: &Path) -> anyhow::Result<Self> {
        let server = PostgresServer::start(&dir.join("postgres"), dir.join("postgres.log")).await?;
        let client = server.client();
        client.create_database(DATABASE).await?;
        let sql = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/sql");
        client.apply_sql(DATABASE, &sql).await?;
        client.set_password(ROLE, ROLE).await?;
        let url_file = dir.join("ingest-url");
        let url = client.url_as(ROLE, ROLE, DATABASE);
        write_private(&url_file, url.as_bytes())?;
        Ok(Self {
            url_file,
            _server: server,
        })
    }
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    async fn start(
        dir: &Path,
        programs: &Path,
        service: &'static str,
        mut config: Value,
    ) -> anyhow::Result<Self> {
        let health = format!("127.0.0.1:{}", free_port()?);
        config["health"] = json!({"listen": health});
        let file = dir.join(format!("{service}.json"));
        fs::write(&file, config.to_string())?;
        let log = fs::File::create(dir.join(format!("{service}.log")))?;
        let program = programs.join(service);
        let child = Command::new(&program)
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let process = Self(child);
        let url = format!("http://{health}/readyz");
        let client = http::client(&HttpOptions::to(&url))?;
        let ready = async {
            loop {
                let answer = client.get(&url).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let became = tokio::time::timeout(READY, ready).await;
        became.with_context(|| format!("{service} is not ready within {READY:?}"))?;
        Ok(process)
    }

    /// proc(5), `status`, `VmRSS` in KiB.
    fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        let kib: f64 = kib.context("the process has ended")?.parse()?;
        Ok(kib / 1024.0)
    }
}

/// JSON, which is YAML.
fn configuration(
    bed: &Bed,
    kubeconfig: &Path,
    ledger: &Ledger,
    service: &'static str,
) -> anyhow::Result<Value> {
    let keys = &bed.keys;
    let of_service = match service {
        "svc-watcher" => json!({"signing_file": keys.signing(Writer::Watcher)}),
        "svc-enricher" => json!({
            "trusted_dir": keys.trusted(),
            "evidence_file": keys.evidence(), "digest_file": keys.digest(),
        }),
        "svc-actuator" => json!({
            "signing_file": keys.signing(Writer::Actuator), "trusted_dir": keys.trusted(),
            "digest_file": keys.digest(), "inverse_file": keys.inverse(),
        }),
        "svc-audit" => json!({"trusted_dir": keys.trusted()}),
        "svc-redactor" => json!({
            "signing_file": keys.signing(Writer::Redactor),
            "evidence_file": keys.evidence(), "digest_file": keys.digest(),
        }),
        "svc-llm" => json!({
            "signing_file": keys.signing(Writer::Llm), "trusted_dir": keys.trusted(),
        }),
        _ => json!({"trusted_dir": keys.trusted(), "webhook_file": keys.webhook()}),
    };
    let nats = bed.nats.settings(keys, service)?;
    let mut config = json!({"cluster": "bench", "keys": of_service, "nats": nats});
    match service {
        "svc-watcher" | "svc-enricher" | "svc-actuator" => {
            config["kubeconfig"] = json!(kubeconfig);
        }
        "svc-notifier" => {
            let url = bed.dir().join("webhook-url");
            write_private(&url, b"http://127.0.0.1:9/")?;
            config["webhook"] = json!({"url_file": url});
        }
        "svc-audit" => config["database"] = json!({"url_file": ledger.url_file}),
        _ => {}
    }
    Ok(config)
}
