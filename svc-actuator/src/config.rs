//! Settings: what may be changed where, and how long a change is watched.

use std::path::PathBuf;
use std::time::Duration;

use bonesetter_chassis::config::{Alias, Problems, Settings, comma_list, duration};
use bonesetter_proto::Namespace;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::{MemoryBounds, Mode, Owners, Policy, is_system};
use crate::quantity;

/// Everything that svc-actuator is told besides what every service is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `suggest` (also `manual`) or `auto`.
    pub mode: Mode,
    /// Namespaces in which changes may be made; empty means none.
    #[serde(with = "comma_list")]
    pub auto_apply_namespaces: Vec<String>,
    /// Always true; there is no change without a dry run.
    pub dry_run_before_apply: bool,
    /// How to reach the cluster; the `ServiceAccount` of the pod where it is not set.
    pub kubeconfig: Option<PathBuf>,
    /// After which a request to the API server is given up.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// Bounds of what a remedy may set.
    pub bounds: BoundsSettings,
    /// How a change is watched.
    pub verification: VerificationSettings,
    /// Whose fields may be changed.
    pub owners: OwnersSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Suggest,
            auto_apply_namespaces: Vec::new(),
            dry_run_before_apply: true,
            kubeconfig: None,
            request_timeout: Duration::from_secs(10),
            bounds: BoundsSettings::default(),
            verification: VerificationSettings::default(),
            owners: OwnersSettings::default(),
        }
    }
}

/// Bounds of what a remedy may set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BoundsSettings {
    /// Memory limits.
    pub memory: MemorySettings,
}

/// How far a memory limit may be raised.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct MemorySettings {
    /// At most this multiple of the present limit.
    pub max_factor: u32,
    /// Never more than this quantity.
    pub max: String,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            max_factor: 4,
            max: "4Gi".to_owned(),
        }
    }
}

/// How a change is watched.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct VerificationSettings {
    /// Healthy in a row for this long is verified.
    #[serde(with = "duration")]
    pub window: Duration,
    /// Not healthy this long after the change is taken back.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// Between two looks.
    #[serde(with = "duration")]
    pub interval: Duration,
}

impl Default for VerificationSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(20),
            deadline: Duration::from_mins(2),
            interval: Duration::from_secs(3),
        }
    }
}

/// Whose fields may be changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnersSettings {
    /// Field managers; a trailing `*` matches any rest. GitOps tools are never overridden.
    #[serde(with = "comma_list")]
    pub overridable: Vec<String>,
}

impl Default for OwnersSettings {
    fn default() -> Self {
        Self {
            overridable: vec!["kubectl*".to_owned()],
        }
    }
}

impl Settings for Config {
    const ALIASES: &'static [Alias] = &[
        Alias {
            variable: "APPLY_MODE",
            key: "mode",
            convert: |text| Ok(Value::from(text.to_lowercase())),
        },
        Alias {
            variable: "AUTO_APPLY_NAMESPACES",
            key: "auto_apply_namespaces",
            convert: |text| Ok(Value::from(text)),
        },
        Alias {
            variable: "DRY_RUN_BEFORE_APPLY",
            key: "dry_run_before_apply",
            convert: always_on,
        },
    ];

    fn validate(&self, problems: &mut Problems) {
        if !self.dry_run_before_apply {
            problems.add(
                "dry_run_before_apply",
                "is always on; remove the setting or set it to true",
            );
        }
        for name in &self.auto_apply_namespaces {
            match Namespace::new(name.as_str()) {
                Err(error) => problems.add("auto_apply_namespaces", error),
                Ok(namespace) if is_system(&namespace) => {
                    let problem = format!("{name} is a system namespace, which is never changed");
                    problems.add("auto_apply_namespaces", problem);
                }
                Ok(_) => {}
            }
        }
        if self.bounds.memory.max_factor == 0 {
            problems.add("bounds.memory.max_factor", "must be at least 1");
        }
        if quantity::parse_bytes(&self.bounds.memory.max).is_none_or(|bytes| bytes == 0) {
            problems.add(
                "bounds.memory.max",
                "must be a quantity of memory, for example 4Gi",
            );
        }
        let verification = &self.verification;
        if verification.interval.is_zero() || verification.interval > verification.window {
            problems.add(
                "verification.interval",
                "must be more than 0 and at most the window",
            );
        }
        if verification.window > verification.deadline {
            problems.add(
                "verification.window",
                "must not be longer than the deadline",
            );
        }
        if self.request_timeout.is_zero() {
            problems.add("request_timeout", "must be more than 0, for example 10s");
        }
        for pattern in &self.owners.overridable {
            if Owners::is_never_overridable(pattern) {
                let problem =
                    format!("{pattern:?} would cover a GitOps tool, which is never overridden");
                problems.add("owners.overridable", problem);
            }
        }
    }
}

impl Config {
    /// What the gates compare with. What [`Settings::validate`] objects to allows nothing here.
    pub fn policy(&self) -> Policy {
        let names = self.auto_apply_namespaces.iter();
        let memory = &self.bounds.memory;
        Policy {
            mode: self.mode,
            auto_apply_namespaces: names
                .filter_map(|it| Namespace::new(it.as_str()).ok())
                .collect(),
            memory: MemoryBounds {
                max_factor: memory.max_factor,
                max_bytes: quantity::parse_bytes(&memory.max).unwrap_or(0),
            },
            owners: Owners {
                overridable: self.owners.overridable.clone(),
            },
        }
    }
}

fn always_on(value: &str) -> Result<Value, String> {
    match value.to_lowercase().as_str() {
        "true" | "1" => Ok(Value::Bool(true)),
        _ => Err("the dry run is always on; remove the variable or set it to true".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(settings: &Value) -> Vec<String> {
        let config: Config = serde_json::from_value(settings.clone()).unwrap();
        let mut problems = Problems::default();
        config.validate(&mut problems);
        problems.lines().to_vec()
    }

    #[test]
    fn by_default_nothing_is_changed() {
        let config = Config::default();
        assert_eq!(problems(&json!({})), [""; 0]);
        let policy = config.policy();
        assert_eq!(policy.mode, Mode::Suggest);
        assert!(policy.auto_apply_namespaces.is_empty());
        assert_eq!(
            policy.memory,
            MemoryBounds {
                max_factor: 4,
                max_bytes: 4 << 30
            }
        );
    }

    #[test]
    fn manual_is_another_word_for_suggest() {
        for (word, mode) in [
            ("manual", Mode::Suggest),
            ("suggest", Mode::Suggest),
            ("auto", Mode::Auto),
        ] {
            let config: Config = serde_json::from_value(json!({"mode": word})).unwrap();
            assert_eq!(config.mode, mode);
        }
        assert!(serde_json::from_value::<Config>(json!({"mode": "on"})).is_err());
    }

    #[test]
    fn every_wrong_value_is_a_problem_that_names_its_setting() {
        let cases = [
            (
                json!({"dry_run_before_apply": false}),
                "dry_run_before_apply",
            ),
            (
                json!({"auto_apply_namespaces": "kube-system"}),
                "auto_apply_namespaces",
            ),
            (
                json!({"auto_apply_namespaces": "*"}),
                "auto_apply_namespaces",
            ),
            (
                json!({"bounds": {"memory": {"max_factor": 0}}}),
                "bounds.memory.max_factor",
            ),
            (
                json!({"bounds": {"memory": {"max": "lots"}}}),
                "bounds.memory.max",
            ),
            (
                json!({"verification": {"interval": "0"}}),
                "verification.interval",
            ),
            (
                json!({"verification": {"window": "5m"}}),
                "verification.window",
            ),
            (json!({"request_timeout": "0"}), "request_timeout"),
            (
                json!({"owners": {"overridable": "kubectl*, *"}}),
                "owners.overridable",
            ),
            (
                json!({"owners": {"overridable": ["argocd-controller"]}}),
                "owners.overridable",
            ),
        ];
        for (settings, key) in cases {
            let found = problems(&settings);
            assert!(
                found.len() == 1 && found[0].starts_with(key),
                "{settings}: {found:?}"
            );
        }
    }

    #[test]
    fn the_dry_run_cannot_be_switched_off() {
        assert_eq!(always_on("TRUE"), Ok(Value::Bool(true)));
        assert!(always_on("false").is_err());
    }
}
