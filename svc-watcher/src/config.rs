//! Settings.

use std::path::PathBuf;
use std::time::Duration;

use bonesetter_chassis::config::{Alias, Problems, Settings, duration};
use bonesetter_proto::Namespace;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::detect::Thresholds;
use crate::episode::Windows;
use crate::namespaces::Namespaces;
use crate::shards::MAX_SHARDS;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// The settings of svc-watcher.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How to reach the cluster; the ServiceAccount of the pod where it is not set.
    pub kubeconfig: Option<PathBuf>,
    /// Which namespaces are watched.
    pub namespaces: Namespaces,
    /// How replicas share the work.
    pub sharding: Sharding,
    /// How long a failure must last before an incident opens. The more specific class (killed at
    /// the memory limit) often shows a moment after the general one (in back-off).
    #[serde(with = "duration")]
    pub settle: Duration,
    /// How long all must be well before an incident is resolved.
    #[serde(with = "duration")]
    pub stability_window: Duration,
    /// How long after an incident another one of the same root owner and class is held back; it
    /// opens then, if the failure still lasts. 0 holds nothing back.
    #[serde(with = "duration")]
    pub cooldown: Duration,
    /// How long a pod must have been unschedulable; an autoscaler may be adding a node.
    #[serde(with = "duration")]
    pub unschedulable_grace: Duration,
}

/// How replicas share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sharding {
    /// Into how many parts the namespaces are divided, by a hash of the name. With 1 nothing is
    /// divided: every replica watches everything, and they agree by compare-and-set. With more, each
    /// replica holds a fair share of them by Leases in its own namespace.
    pub shards: u32,
}

impl Default for Sharding {
    fn default() -> Self {
        Self { shards: 1 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            namespaces: Namespaces::default(),
            sharding: Sharding::default(),
            settle: Duration::from_secs(3),
            stability_window: Duration::from_secs(10),
            cooldown: Duration::from_mins(15),
            unschedulable_grace: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// How long things must last.
    pub fn windows(&self) -> Windows {
        Windows {
            settle: signed(self.settle),
            stability: signed(self.stability_window),
            cooldown: signed(self.cooldown),
        }
    }

    /// How long states must last before they count.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds {
            unschedulable_grace: signed(self.unschedulable_grace),
        }
    }
}

/// `validate` keeps the values far below where this saturates.
fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

impl Settings for Config {
    const ALIASES: &'static [Alias] = &[
        Alias {
            variable: "WATCH_NAMESPACES",
            key: "namespaces.watch",
            convert: |text| Ok(Value::from(text)),
        },
        Alias {
            variable: "EXCLUDE_NAMESPACES",
            key: "namespaces.exclude",
            convert: |text| Ok(Value::from(text)),
        },
        Alias {
            variable: "ANALYZE_COOLDOWN_MINUTES",
            key: "cooldown",
            convert: minutes,
        },
    ];

    fn validate(&self, problems: &mut Problems) {
        for (key, value, limit) in [
            ("settle", self.settle, 10 * MINUTE),
            ("stability_window", self.stability_window, HOUR),
            ("cooldown", self.cooldown, 7 * DAY),
            ("unschedulable_grace", self.unschedulable_grace, DAY),
        ] {
            if value > limit {
                problems.add(key, format!("must be at most {}", duration::format(limit)));
            }
        }
        let namespaces = &self.namespaces;
        for (key, names) in [
            ("namespaces.watch", &namespaces.watch),
            ("namespaces.exclude", &namespaces.exclude),
        ] {
            for name in names {
                if let Err(error) = Namespace::new(name.as_str()) {
                    problems.add(key, error);
                }
            }
        }
        if !(1..=MAX_SHARDS).contains(&self.sharding.shards) {
            problems.add("sharding.shards", format!("must be 1 to {MAX_SHARDS}"));
        }
        if namespaces.scopes().is_empty() {
            problems.add(
                "namespaces",
                "every namespace of `watch` is excluded; watch at least one",
            );
        }
    }
}

fn minutes(text: &str) -> Result<Value, String> {
    let minutes: u32 = text
        .parse()
        .map_err(|_| "must be a whole number of minutes".to_owned())?;
    Ok(Value::from(format!("{minutes}m")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        let mut problems = Problems::default();
        config.validate(&mut problems);
        problems.lines().to_vec()
    }

    #[test]
    fn defaults_are_valid_and_bad_values_are_named() {
        assert_eq!(problems(|_| {}), Vec::<String>::new());
        assert!(problems(|it| it.settle = HOUR)[0].starts_with("settle:"));
        let namespace = |name: &str| vec![name.to_owned()];
        assert!(
            problems(|it| it.namespaces.watch = namespace("A b"))[0]
                .starts_with("namespaces.watch")
        );
        for shards in [0, MAX_SHARDS + 1] {
            let problems = problems(|it| it.sharding.shards = shards);
            assert!(problems[0].starts_with("sharding.shards:"), "{problems:?}");
        }
        let all_excluded = problems(|it| {
            it.namespaces.watch = namespace("a");
            it.namespaces.exclude = namespace("a");
        });
        assert!(all_excluded[0].starts_with("namespaces:"));
    }

    #[test]
    fn the_old_names_are_accepted() {
        let converted = |variable: &str, text: &str| {
            let alias = Config::ALIASES
                .iter()
                .find(|alias| alias.variable == variable)
                .unwrap();
            (alias.convert)(text)
        };
        assert_eq!(
            converted("ANALYZE_COOLDOWN_MINUTES", "0"),
            Ok(Value::from("0m"))
        );
        assert_eq!(converted("WATCH_NAMESPACES", "a,b"), Ok(Value::from("a,b")));
        assert!(converted("ANALYZE_COOLDOWN_MINUTES", "soon").is_err());
    }
}
