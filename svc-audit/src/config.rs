//! Settings of svc-audit. The service and its archive job are two processes with two configurations,
//! so that neither holds the other's credentials.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bonesetter_chassis::config::{Problems, Settings, duration};
use bonesetter_proto::Namespace;
use bonesetter_proto::v1::Awaited;
use serde::{Deserialize, Serialize};

/// The settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The database of the ledger.
    pub database: DatabaseSettings,
    /// The archive; needed by `export` and `export-once` only.
    pub export: Option<ExportSettings>,
    /// When an incident is overdue; for `sweep` only.
    pub sweep: SweepSettings,
    /// When streams are purged; for `keep` only.
    pub keep: KeepSettings,
    /// Who may read; needed by `serve` only.
    pub serve: Option<ServeSettings>,
}

/// How to reach the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatabaseSettings {
    /// File with `postgres://role:password@host:port/database`; the role is `audit_ingest` for the
    /// service, `audit_archiver` for `export`,
    /// `audit_sweeper` for `sweep`, `audit_keeper` for `keep` and `audit_reader` for `serve`.
    pub url_file: PathBuf,
    /// How many connections this process opens at most.
    pub connections: u32,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            url_file: PathBuf::from("/etc/bonesetter/secrets/database.url"),
            connections: 8,
        }
    }
}

/// The archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportSettings {
    /// Base URL of the object store, addressed by path: `https://s3.example.com`.
    pub endpoint: String,
    /// The store's region.
    #[serde(default = "default_region")]
    pub region: String,
    /// A bucket whose default retention is COMPLIANCE. The credential can only put, so this cannot
    /// be asked of it; whoever makes the bucket must see to it.
    pub bucket: String,
    /// JSON file with `access_key_id`, `secret_access_key` and, where there is one, `session_token`.
    pub credential_file: PathBuf,
    /// PEM file with certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// How often `export` exports.
    #[serde(default = "default_every", with = "duration")]
    pub every: Duration,
    /// How many rows one object holds at most.
    #[serde(default = "default_rows")]
    pub rows: u32,
}

/// Who may read the ledger over gRPC, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServeSettings {
    /// Address that is listened on.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// PEM file with our certificate, and those between it and its authority. Read again when it changes.
    pub certificate_file: PathBuf,
    /// PEM file with its key.
    pub key_file: PathBuf,
    /// PEM file with the certificates that may vouch for callers.
    pub client_ca_file: PathBuf,
    /// Who may see what. Nobody may see anything unless it is written here.
    #[serde(default)]
    pub readers: Vec<Reader>,
    /// How many may watch at the same time; one caller at most a quarter of these.
    #[serde(default = "default_watches")]
    pub watches: usize,
    /// How many connections may be open at the same time; of one caller at most a quarter of these.
    #[serde(default = "default_connections")]
    pub connections: usize,
}

/// Somebody who may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// The common name of a client certificate, or an alternative name (DNS or URI) in it.
    pub name: String,
    /// The namespaces whose incidents may be seen; `*` for all, and for what has no namespace.
    pub namespaces: Vec<String>,
}

impl ServeSettings {
    fn validate(&self, problems: &mut Problems) {
        if !(1..=10_000).contains(&self.watches) {
            problems.add("serve.watches", "must be between 1 and 10000");
        }
        if !(1..=10_000).contains(&self.connections) {
            problems.add("serve.connections", "must be between 1 and 10000");
        }
        for reader in &self.readers {
            if reader.name.is_empty() {
                problems.add("serve.readers", "a reader has no name");
            }
            for namespace in &reader.namespaces {
                if namespace != "*" && Namespace::new(namespace).is_err() {
                    problems.add(
                        "serve.readers",
                        format!(
                            "{namespace:?} of {:?} is neither a namespace nor *",
                            reader.name
                        ),
                    );
                }
            }
        }
    }
}

const fn default_listen() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9470)
}

const fn default_watches() -> usize {
    64
}

const fn default_connections() -> usize {
    256
}

/// When an incident is overdue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SweepSettings {
    /// How often it is looked for.
    #[serde(with = "duration")]
    pub every: Duration,
    /// What has been waiting for longer is left alone, so that a sweeper that was away, or is new,
    /// does not tell old stories.
    #[serde(with = "duration")]
    pub horizon: Duration,
    /// How long each stage may take.
    pub within: Within,
}

/// How long each stage may take, counted from the message that it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Within {
    /// Collecting and redacting.
    #[serde(with = "duration")]
    pub evidence: Duration,
    /// Diagnosing.
    #[serde(with = "duration")]
    pub diagnosis: Duration,
    /// Deciding.
    #[serde(with = "duration")]
    pub decision: Duration,
    /// From the intent to the change, or its refusal.
    #[serde(with = "duration")]
    pub change: Duration,
    /// From the change to its verification; longer than `verification.deadline` of svc-actuator.
    #[serde(with = "duration")]
    pub verification: Duration,
    /// Telling people; a receiver that is away does not count, svc-notifier goes on trying.
    #[serde(with = "duration")]
    pub notice: Duration,
}

impl Default for SweepSettings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(15),
            horizon: Duration::from_hours(24),
            within: Within::default(),
        }
    }
}

impl Default for Within {
    fn default() -> Self {
        Self {
            evidence: Duration::from_mins(5),
            diagnosis: Duration::from_mins(10),
            decision: Duration::from_mins(5),
            change: Duration::from_mins(5),
            verification: Duration::from_mins(30),
            notice: Duration::from_mins(30),
        }
    }
}

impl Within {
    /// How long that may take.
    pub const fn of(&self, awaited: Awaited) -> Duration {
        match awaited {
            Awaited::Evidence | Awaited::Unspecified => self.evidence,
            Awaited::Diagnosis => self.diagnosis,
            Awaited::Decision => self.decision,
            Awaited::Change => self.change,
            Awaited::Verification => self.verification,
            Awaited::Notice => self.notice,
        }
    }
}

/// When streams are purged, and how far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeepSettings {
    /// How often they are looked at.
    #[serde(with = "duration")]
    pub every: Duration,
    /// Filled so far, a stream is purged.
    pub high_percent: u8,
    /// It is purged until it is filled so far.
    pub low_percent: u8,
}

impl Default for KeepSettings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(30),
            high_percent: 80,
            low_percent: 60,
        }
    }
}

impl KeepSettings {
    fn validate(&self, problems: &mut Problems) {
        if self.every < Duration::from_secs(1) {
            problems.add("keep.every", "must be at least 1s");
        }
        if !(1..=99).contains(&self.high_percent) {
            problems.add("keep.high_percent", "must be between 1 and 99");
        }
        if self.low_percent >= self.high_percent {
            problems.add("keep.low_percent", "must be less than keep.high_percent");
        }
    }
}

impl SweepSettings {
    fn validate(&self, problems: &mut Problems) {
        if self.every < Duration::from_secs(1) {
            problems.add("sweep.every", "must be at least 1s");
        }
        let within = &self.within;
        for (key, limit) in [
            ("sweep.within.evidence", within.evidence),
            ("sweep.within.diagnosis", within.diagnosis),
            ("sweep.within.decision", within.decision),
            ("sweep.within.change", within.change),
            ("sweep.within.verification", within.verification),
            ("sweep.within.notice", within.notice),
        ] {
            if limit < Duration::from_secs(1) || limit >= self.horizon {
                problems.add(key, "must be at least 1s and less than sweep.horizon");
            }
        }
    }
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

const fn default_every() -> Duration {
    Duration::from_hours(24)
}

const fn default_rows() -> u32 {
    5_000
}

impl Settings for Config {
    fn validate(&self, problems: &mut Problems) {
        if !(1..=64).contains(&self.database.connections) {
            problems.add("database.connections", "must be between 1 and 64");
        }
        if self.database.url_file.to_string_lossy().contains("://") {
            problems.add(
                "database.url_file",
                "is a URL; it holds a password: put it into a file and set the path of that file",
            );
        }
        self.sweep.validate(problems);
        self.keep.validate(problems);
        if let Some(serve) = &self.serve {
            serve.validate(problems);
        }
        let Some(export) = &self.export else { return };
        if !export.endpoint.starts_with("https://") && !is_loopback(&export.endpoint) {
            problems.add(
                "export.endpoint",
                "must be https://; http:// is for loopback only",
            );
        }
        if export.endpoint.contains('@') {
            problems.add(
                "export.endpoint",
                "must not hold credentials; use export.credential_file",
            );
        }
        if export.bucket.is_empty() {
            problems.add("export.bucket", "must name a bucket");
        }
        if export.every < Duration::from_secs(1) {
            problems.add("export.every", "must be at least 1s");
        }
        if !(1..=50_000).contains(&export.rows) {
            problems.add("export.rows", "must be between 1 and 50000");
        }
    }
}

/// Whether plain HTTP to it does not leave the machine.
pub(crate) fn is_loopback(endpoint: &str) -> bool {
    let host = reqwest::Url::parse(endpoint)
        .ok()
        .filter(|url| url.scheme() == "http")
        .and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| {
        host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(config: &Config) -> Vec<String> {
        let mut problems = Problems::default();
        config.validate(&mut problems);
        problems.lines().to_vec()
    }

    fn export(endpoint: &str) -> Config {
        let export = ExportSettings {
            endpoint: endpoint.to_owned(),
            region: default_region(),
            bucket: "ledger".to_owned(),
            credential_file: "/run/s3.json".into(),
            ca_file: None,
            every: default_every(),
            rows: default_rows(),
        };
        Config {
            export: Some(export),
            ..Config::default()
        }
    }

    #[test]
    fn plain_http_and_credentials_in_addresses_are_refused() {
        for (endpoint, expected) in [
            ("https://s3.example.com", 0),
            ("http://127.0.0.1:9000", 0),
            ("http://[::1]:9000", 0),
            ("http://s3.example.com", 1),
            ("http://127.0.0.1.example.com", 1),
            ("https://key:secret@s3.example.com", 1),
        ] {
            assert_eq!(problems(&export(endpoint)).len(), expected, "{endpoint}");
        }
    }

    #[test]
    fn every_problem_is_reported() {
        let mut config = export("https://s3.example.com");
        config.database.connections = 0;
        config.database.url_file = "postgres://role:canary@host/db".into();
        if let Some(export) = config.export.as_mut() {
            export.bucket.clear();
            export.every = Duration::ZERO;
            export.rows = 0;
        }
        config.sweep.every = Duration::ZERO;
        config.keep.low_percent = config.keep.high_percent;
        config.sweep.within.notice = config.sweep.horizon;
        config.serve = Some(ServeSettings {
            listen: default_listen(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            client_ca_file: PathBuf::new(),
            readers: vec![Reader {
                name: String::new(),
                namespaces: vec!["*".to_owned(), "shop.*".to_owned()],
            }],
            watches: 0,
            connections: 0,
        });
        let found = problems(&config);
        assert_eq!(found.len(), 12, "{found:?}");
        assert!(!found.concat().contains("canary"));
    }
}
