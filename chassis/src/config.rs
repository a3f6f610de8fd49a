//! Configuration: defaults, then one YAML file, then the environment.
//!
//! `BONESETTER__SECTION__KEY` sets `section.key`; the names that the specification uses are accepted
//! as aliases with less weight. Unknown keys are errors, all problems are reported at once, and
//! secrets are never in it: they are named by files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use bonesetter_proto::escape;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::telemetry;

mod environment;
mod nats;
mod own;
mod values;

pub use nats::{NatsSettings, NatsTls};

use environment::Overrides;
pub use own::load_own;
pub use values::{comma_list, duration};

/// A cluster's name has at most as many bytes as this when it stands, escaped, in a subject: beyond
/// it, subjects of objects with long names would be longer than consumers accept.
const MAX_ESCAPED_CLUSTER: usize = 192;

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

    fn add_unknown(&mut self, keys: &[String]) {
        for key in keys {
            self.add(key, "unknown setting");
        }
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
    /// Base URL of an OTLP/HTTP receiver; without one no spans are made.
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
    let variable = |name: &str| std::env::var(name).ok();
    load_from(file, variable, std::env::vars_os())
}

fn load_from<S: Settings>(
    file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(Common, S), ConfigError> {
    let mut problems = Problems::default();
    let mut merged = file.map(read_yaml).transpose()?.unwrap_or_default();
    set_aliases(&mut merged, S::ALIASES, variable, &mut problems);
    let mut overrides = Overrides::read(environment, &mut problems);
    overrides.set(&mut merged);
    let (common, own): (Map<_, _>, Map<_, _>) = merged
        .into_iter()
        .partition(|(key, _)| COMMON.contains(&key.as_str()));
    let common: Option<Common> = read_section(common, &mut overrides, &mut problems);
    let own: Option<S> = read_section(own, &mut overrides, &mut problems);
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
        } else if escape(&self.cluster).len() > MAX_ESCAPED_CLUSTER {
            problems.add(
                "cluster",
                "has too many characters that are neither letters of English, digits nor hyphens",
            );
        }
        if let Err(error) = telemetry::filter(&self.telemetry) {
            problems.add("telemetry.log", error);
        }
        if let Some(url) = &self.telemetry.otlp_endpoint
            && !url.starts_with("http://")
            && !url.starts_with("https://")
        {
            problems.add(
                "telemetry.otlp_endpoint",
                "must start with http:// or https://",
            );
        }
        self.nats.validate(problems);
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
    values::yaml(&text).map_err(|error| ConfigError::Yaml {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

fn set_aliases(
    settings: &mut Map<String, Value>,
    aliases: &[Alias],
    variable: impl Fn(&str) -> Option<String>,
    problems: &mut Problems,
) {
    for alias in aliases {
        let Some(text) = variable(alias.variable) else {
            continue;
        };
        match (alias.convert)(text.trim()) {
            Ok(value) => insert_at(settings, alias.key, value),
            Err(problem) => problems.add(alias.variable, problem),
        }
    }
}

/// Sets a value at a dotted path. What stands on the way and is no section gives way to one.
fn insert_at(settings: &mut Map<String, Value>, key: &str, value: Value) {
    let Some((section, rest)) = key.split_once('.') else {
        settings.insert(key.to_owned(), value);
        return;
    };
    let nested = settings.entry(section).or_insert(Value::Null);
    if !nested.is_object() {
        *nested = Value::Object(Map::new());
    }
    if let Value::Object(nested) = nested {
        insert_at(nested, rest, value);
    }
}

/// Reads a section, and reads it again without what is wrong until everything that is has been named.
fn read_section<T: DeserializeOwned>(
    mut section: Map<String, Value>,
    overrides: &mut Overrides,
    problems: &mut Problems,
) -> Option<T> {
    let mut wrong: Vec<String> = Vec::new();
    loop {
        let mut unknown = Vec::new();
        let mut track = serde_path_to_error::Track::new();
        let result = serde_ignored::deserialize(
            serde_path_to_error::Deserializer::new(Value::Object(section.clone()), &mut track),
            |path| unknown.push(path.to_string()),
        );
        let place = track.path().to_string();
        let error = match result {
            Ok(value) => {
                problems.add_unknown(&unknown);
                return Some(value).filter(|_| wrong.is_empty());
            }
            Err(error) => error,
        };
        if overrides.set_as_yaml(&mut section, &place) {
            continue;
        }
        // What was wrong is now missing, and that has been said.
        if !wrong.iter().any(|before| is_within(before, &place)) {
            problems.add(if place == "." { "settings" } else { &place }, error);
        }
        if !remove_at(&mut section, &place) {
            problems.add_unknown(&unknown);
            return None;
        }
        wrong.push(place);
    }
}

fn is_within(place: &str, section: &str) -> bool {
    let rest = place.strip_prefix(section);
    section == "." || rest.is_some_and(|rest| rest.starts_with('.'))
}

fn remove_at(section: &mut Map<String, Value>, place: &str) -> bool {
    match place.split_once('.') {
        None => section.remove(place).is_some(),
        Some((first, rest)) => match section.get_mut(first) {
            Some(Value::Object(nested)) => remove_at(nested, rest),
            // An element of a list: the list goes as a whole.
            Some(_) => section.remove(first).is_some(),
            None => false,
        },
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
        limit: Option<u32>,
        names: Vec<String>,
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
        let prefixed = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        load_from(Some(&path), find, prefixed)
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
            "cluster: no\nwatch: {namespaces: [a, on], cooldown: 90s}\n",
            &[],
        )
        .unwrap();
        assert_eq!(common.cluster, "no", "a text as in YAML 1.2, not a boolean");
        assert_eq!(own.watch.namespaces, ["a", "on"]);
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
    fn the_environment_has_the_most_weight() {
        let (common, own) = load_text(
            "cluster: demo\ntelemetry: {log: debug}\nwatch: {cooldown: 90s, namespaces: [a]}\n",
            &[
                ("BONESETTER__CLUSTER", "123"),
                ("bonesetter__watch__cooldown", "0"),
                ("BONESETTER__WATCH__NAMESPACES", "b, c"),
                ("BONESETTER__WATCH__LIMIT", "7"),
                ("BONESETTER__WATCH__NAMES", "[no, y]"),
                ("BONESETTER__NATS__URL", "nats://bus:4222"),
                ("ANALYZE_COOLDOWN_MINUTES", "15"),
                ("BONESETTER_CONFIG", "not a setting"),
            ],
        )
        .unwrap();
        assert_eq!(common.cluster, "123", "a name may consist of digits");
        assert_eq!(common.nats.url, "nats://bus:4222");
        assert_eq!(common.telemetry.log, "debug");
        assert_eq!(own.watch.namespaces, ["b", "c"]);
        assert_eq!(own.watch.cooldown, Duration::ZERO);
        assert_eq!(own.watch.limit, Some(7));
        assert_eq!(own.watch.names, ["no", "y"]);
    }

    #[test]
    fn a_variable_that_is_wrong_is_named_like_a_setting() {
        let found = problems(
            "cluster: demo\n",
            &[
                ("BONESETTER__WATCH__LIMIT", "many"),
                ("BONESETTER__TELEMETRY", "loud"),
                ("BONESETTER__WTACH__LIMIT", "1"),
            ],
        );
        for expected in ["watch.limit: ", "telemetry: ", "wtach: unknown"] {
            assert!(
                found.iter().any(|line| line.starts_with(expected)),
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn what_would_fail_later_is_refused_now() {
        let found = problems(
            &format!(
                "cluster: {}\ntelemetry: {{log: '[[[', otlp_endpoint: collector}}\n",
                "é".repeat(32) + &"ü".repeat(32)
            ),
            &[],
        );
        for expected in ["cluster: ", "telemetry.log: ", "telemetry.otlp_endpoint: "] {
            assert!(
                found.iter().any(|line| line.starts_with(expected)),
                "{expected}: {found:?}"
            );
        }
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
            [],
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
