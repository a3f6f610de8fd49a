//! Configuration: defaults, then one YAML file, then the environment.
//!
//! `BONESETTER__SECTION__KEY` sets `section.key`; the names that the specification uses are accepted
//! as aliases with less weight. Unknown keys are errors, all problems are reported at once, and
//! secrets are never in it: they are named by files.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use figment::Figment;
use figment::providers::{Env, Serialized};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod values;

pub use values::{comma_list, duration};

const PREFIX: &str = "BONESETTER__";

/// The settings of one service, besides those that every service has ([`Common`]).
pub trait Settings: DeserializeOwned + Serialize + Send + 'static {
    /// Other names of settings.
    const ALIASES: &'static [Alias] = &[];

    /// Adds what is wrong with the values, taken together.
    fn validate(&self, problems: &mut Problems);
}

/// Another name of a setting, in the environment.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    /// The variable.
    pub variable: &'static str,
    /// The dotted path of the setting.
    pub key: &'static str,
    /// Makes the setting's value of the variable's.
    pub convert: fn(&str) -> Result<Value, String>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Adds a problem with one setting; the text says what to do.
    pub fn add(&mut self, key: &str, problem: impl fmt::Display) {
        self.0.push(format!("{key}: {problem}"));
    }

    /// Each problem as one line.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration file {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not YAML.
    #[error("configuration file {path} is not valid YAML: {problem}")]
    Yaml {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        problem: String,
    },
    /// Something in it is wrong.
    #[error("the configuration has {} problem(s):\n  {}", .0.0.len(), .0.0.join("\n  "))]
    Invalid(Problems),
}

/// What every service is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Common {
    /// The cluster's name, which stands in every subject.
    pub cluster: String,
    /// The bus.
    #[serde(default)]
    pub nats: NatsSettings,
    /// Key files.
    #[serde(default)]
    pub keys: KeySettings,
    /// Logs and traces.
    #[serde(default)]
    pub telemetry: TelemetrySettings,
    /// Liveness, readiness, metrics.
    #[serde(default)]
    pub health: HealthSettings,
}

/// How to reach the bus.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct NatsSettings {
    /// `nats://host:port`.
    pub url: String,
    /// The user's nkey seed.
    pub nkey_file: PathBuf,
}

impl Default for NatsSettings {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            nkey_file: PathBuf::from("/etc/bonesetter/keys/nats.nk"),
        }
    }
}

/// Key files; a service that lacks one that it needs says so and does not start.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KeySettings {
    /// Private key that this service signs with.
    pub signing_file: Option<PathBuf>,
    /// Directory with the public keys of the signing services.
    pub trusted_dir: Option<PathBuf>,
    /// Seals raw evidence.
    pub evidence_file: Option<PathBuf>,
    /// Keys digests over raw data.
    pub digest_file: Option<PathBuf>,
    /// Seals former values.
    pub inverse_file: Option<PathBuf>,
    /// Signs webhook deliveries.
    pub webhook_file: Option<PathBuf>,
}

impl KeySettings {
    /// The path of a key that the service cannot do without.
    pub fn require<'a>(name: &str, path: Option<&'a PathBuf>) -> Result<&'a Path, MissingKey> {
        path.map(PathBuf::as_path)
            .ok_or_else(|| MissingKey(name.to_owned()))
    }
}

/// A key file is not configured.
#[derive(Debug, thiserror::Error)]
#[error(
    "keys.{0} is not set, and this service needs it; `bonesetter keys init DIR` makes the keys"
)]
pub struct MissingKey(String);

/// Logs and traces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct TelemetrySettings {
    /// Filter, for example `info` or `info,svc_llm=debug`.
    pub log: String,
    /// Base URL of an OTLP/HTTP receiver; none exports nothing.
    pub otlp_endpoint: Option<String>,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log: "info,async_nats=warn".to_owned(),
            otlp_endpoint: None,
        }
    }
}

/// Liveness, readiness, metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthSettings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
        }
    }
}

/// The sections of [`Common`].
const COMMON: [&str; 5] = ["cluster", "nats", "keys", "telemetry", "health"];

/// Reads the configuration of one service.
pub fn load<S: Settings>(file: Option<&Path>) -> Result<(Common, S), ConfigError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    load_from(
        file,
        |name| std::env::var(name).ok(),
        Env::prefixed(PREFIX).split("__"),
    )
}

fn load_from<S: Settings>(
    file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
    environment: Env,
) -> Result<(Common, S), ConfigError> {
    let mut problems = Problems::default();
    let written = file.map(read_yaml).transpose()?.unwrap_or_default();
    let aliases = aliases(S::ALIASES, variable, &mut problems);
    let merged: Result<Map<String, Value>, _> = Figment::new()
        .merge(Serialized::globals(written))
        .merge(Serialized::globals(aliases))
        .merge(environment)
        .extract();
    let merged = merged.map_err(|error| {
        let mut problems = Problems::default();
        problems.add("environment", error);
        ConfigError::Invalid(problems)
    })?;
    let (common, own): (Map<_, _>, Map<_, _>) = merged
        .into_iter()
        .partition(|(key, _)| COMMON.contains(&key.as_str()));
    let common: Option<Common> = read_section(common, &mut problems);
    let own: Option<S> = read_section(own, &mut problems);
    if let Some(common) = &common {
        common.validate(&mut problems);
    }
    if let Some(own) = &own {
        own.validate(&mut problems);
    }
    match (common, own) {
        (Some(common), Some(own)) if problems.0.is_empty() => Ok((common, own)),
        _ => Err(ConfigError::Invalid(problems)),
    }
}

impl Common {
    fn validate(&self, problems: &mut Problems) {
        if self.cluster.is_empty() || self.cluster.len() > 64 {
            problems.add(
                "cluster",
                "must have 1 to 64 characters, for example \"production-eu\"",
            );
        }
        if !self.nats.url.starts_with("nats://") && !self.nats.url.starts_with("tls://") {
            problems.add("nats.url", "must start with nats:// or tls://");
        }
        if self.nats.url.contains('@') {
            problems.add("nats.url", "must not hold credentials; use nats.nkey_file");
        }
    }
}

fn read_yaml(path: &Path) -> Result<Map<String, Value>, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_saphyr::from_str(&text).map_err(|error| ConfigError::Yaml {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

fn aliases(
    aliases: &[Alias],
    variable: impl Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Map<String, Value> {
    let mut set = Map::new();
    for alias in aliases {
        let Some(text) = variable(alias.variable) else {
            continue;
        };
        match (alias.convert)(text.trim()) {
            Ok(value) => insert_at(&mut set, alias.key, value),
            Err(problem) => problems.add(alias.variable, problem),
        }
    }
    set
}

fn insert_at(map: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            map.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let nested = map
                .entry(section)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(nested) = nested {
                insert_at(nested, rest, value);
            }
        }
    }
}

fn read_section<T: DeserializeOwned>(
    section: Map<String, Value>,
    problems: &mut Problems,
) -> Option<T> {
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let value = Value::Object(section);
    let result = serde_ignored::deserialize(
        serde_path_to_error::Deserializer::new(value, &mut track),
        |path| unknown.push(path.to_string()),
    );
    for key in unknown {
        problems.add(&key, "unknown setting");
    }
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            problems.add(&track.path().to_string(), error);
            None
        }
    }
}

/// The effective settings as YAML, for `check-config`.
pub fn effective<S: Settings>(common: &Common, own: &S) -> Result<String, String> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for value in [serde_json::to_value(common), serde_json::to_value(own)] {
        if let Value::Object(map) = value.map_err(|error| error.to_string())? {
            all.extend(map);
        }
    }
    serde_saphyr::to_string(&all).map_err(|error| error.to_string())
}

/// SHA-256 over the effective settings, 12 hex digits: tells two configurations apart in the record.
pub fn digest<S: Settings>(common: &Common, own: &S) -> String {
    let text = effective(common, own).unwrap_or_default();
    bonesetter_keys::content_hash(text.as_bytes())
        .chars()
        .take(12)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Example {
        #[serde(default)]
        watch: Watch,
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Watch {
        #[serde(with = "comma_list")]
        namespaces: Vec<String>,
        #[serde(with = "duration")]
        cooldown: Duration,
    }

    impl Settings for Example {
        const ALIASES: &'static [Alias] = &[
            Alias {
                variable: "WATCH_NAMESPACES",
                key: "watch.namespaces",
                convert: |text| Ok(Value::from(text)),
            },
            Alias {
                variable: "ANALYZE_COOLDOWN_MINUTES",
                key: "watch.cooldown",
                convert: |text| {
                    let minutes: u32 = text.parse().map_err(|_| "must be whole minutes")?;
                    Ok(Value::from(format!("{minutes}m")))
                },
            },
        ];

        fn validate(&self, problems: &mut Problems) {
            if self.watch.cooldown > Duration::from_hours(24) {
                problems.add("watch.cooldown", "must be at most a day");
            }
        }
    }

    fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<(Common, Example), ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        fs::write(&path, text).unwrap();
        let find = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        load_from(Some(&path), find, Env::raw().only(&["none-of-them"]))
    }

    fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
        match load_text(text, variables) {
            Err(ConfigError::Invalid(problems)) => problems.0,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_small_file_is_enough() {
        let (common, own) = load_text(
            "cluster: demo\nwatch: {namespaces: [a, b], cooldown: 90s}\n",
            &[],
        )
        .unwrap();
        assert_eq!(common.cluster, "demo");
        assert_eq!(own.watch.namespaces, ["a", "b"]);
        assert_eq!(own.watch.cooldown, Duration::from_secs(90));
    }

    #[test]
    fn aliases_have_more_weight_than_the_file() {
        let (_, own) = load_text(
            "cluster: demo\nwatch: {cooldown: 90s}\n",
            &[
                ("ANALYZE_COOLDOWN_MINUTES", "15"),
                ("WATCH_NAMESPACES", " a, ,b "),
            ],
        )
        .unwrap();
        assert_eq!(own.watch.cooldown, Duration::from_mins(15));
        assert_eq!(own.watch.namespaces, ["a", "b"]);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let found = problems(
            "cluster: ''\nnats: {url: 'http://u:p@h'}\nwtach: {}\nwatch: {cooldwon: 1s, cooldown: 2d}\n",
            &[("ANALYZE_COOLDOWN_MINUTES", "soon")],
        );
        for expected in [
            "ANALYZE_COOLDOWN_MINUTES",
            "wtach: unknown",
            "watch.cooldwon: unknown",
            "cluster:",
            "nats.url:",
        ] {
            assert!(
                found.iter().any(|line| line.starts_with(expected)),
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_names_its_place() {
        let found = problems("cluster: demo\nwatch: {cooldown: [1]}\n", &[]);
        assert!(found[0].starts_with("watch.cooldown:"), "{found:?}");
    }

    #[test]
    fn broken_yaml_and_missing_files_say_so() {
        assert!(matches!(
            load_text("cluster: [", &[]),
            Err(ConfigError::Yaml { .. })
        ));
        let missing = load_from::<Example>(
            Some(Path::new("/nonexistent/bonesetter.yaml")),
            |_| None,
            Env::raw().only(&["none"]),
        );
        assert!(matches!(missing, Err(ConfigError::Read { .. })));
    }

    #[test]
    fn the_effective_settings_can_be_read_again() {
        let (common, own) = load_text("cluster: demo\nwatch: {cooldown: 90s}\n", &[]).unwrap();
        let text = effective(&common, &own).unwrap();
        let (again, _) = load_text(&text, &[]).unwrap();
        assert_eq!(again.cluster, "demo");
        assert_eq!(digest(&common, &own).len(), 12);
    }
}
