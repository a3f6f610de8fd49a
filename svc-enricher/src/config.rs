//! Settings.

use std::path::PathBuf;
use std::time::Duration;

use bonesetter_chassis::config::{Alias, Problems, Settings, duration};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::logql::{LabelNames, is_label_name};

/// 256 KiB: what the streams and the stages behind this one are laid out for.
const MAX_BUDGET_BYTES: usize = 256 * 1024;
const MIN_BUDGET_BYTES: usize = 32 * 1024;

/// The settings of svc-enricher.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How to reach the cluster; in-cluster configuration or `KUBECONFIG` where it is not set.
    pub kubeconfig: Option<PathBuf>,
    /// What is collected.
    pub evidence: EvidenceSettings,
    /// Where logs are kept when the pods are gone.
    pub loki: LokiSettings,
}

/// What is collected, and how much of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct EvidenceSettings {
    /// Newest lines of each log.
    pub log_tail_lines: usize,
    /// Bytes kept of one line.
    pub log_line_bytes: usize,
    /// Failing pods that are looked at, the worst first.
    pub max_pods: usize,
    /// Newest events.
    pub max_events: usize,
    /// Encoded bytes of the evidence of one message.
    pub budget: usize,
    /// Until everything must have been collected.
    #[serde(with = "duration")]
    pub deadline: Duration,
}

impl Default for EvidenceSettings {
    fn default() -> Self {
        Self {
            log_tail_lines: 100,
            log_line_bytes: 4096,
            max_pods: 5,
            max_events: 50,
            budget: MAX_BUDGET_BYTES,
            deadline: Duration::from_secs(10),
        }
    }
}

/// A Loki that holds the logs of the cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct LokiSettings {
    /// Base URL, for example `http://loki.monitoring:3100`; none uses no Loki.
    pub url: Option<String>,
    /// `X-Scope-OrgID`, where Loki has tenants.
    pub tenant: Option<String>,
    /// File that holds the value of the `Authorization` header, for example `Bearer ...`.
    pub auth_header_file: Option<PathBuf>,
    /// PEM file with certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// Until the whole answer has been read.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How far back logs are asked for.
    #[serde(with = "duration")]
    pub since: Duration,
    /// The names of the labels that tell namespace, pod, container and cluster.
    pub labels: LabelNames,
}

impl Default for LokiSettings {
    fn default() -> Self {
        Self {
            url: None,
            tenant: None,
            auth_header_file: None,
            ca_file: None,
            timeout: Duration::from_secs(10),
            since: Duration::from_hours(1),
            labels: LabelNames::default(),
        }
    }
}

impl Settings for Config {
    const ALIASES: &'static [Alias] = &[
        Alias {
            variable: "LOG_TAIL_LINES",
            key: "evidence.log_tail_lines",
            convert: whole_number,
        },
        Alias {
            variable: "LOG_BACKEND_URL",
            key: "loki.url",
            convert: |text| {
                Ok(if text.is_empty() {
                    Value::Null
                } else {
                    Value::from(text)
                })
            },
        },
        Alias {
            variable: "HISTORICAL_LOG_SINCE_MINUTES",
            key: "loki.since",
            convert: |text| Ok(Value::from(format!("{}m", whole_number(text)?))),
        },
    ];

    fn validate(&self, problems: &mut Problems) {
        self.evidence.validate(problems);
        self.loki.validate(problems);
    }
}

fn whole_number(text: &str) -> Result<Value, String> {
    text.parse::<u32>()
        .map(Value::from)
        .map_err(|_| "must be a whole number".to_owned())
}

impl EvidenceSettings {
    fn validate(&self, problems: &mut Problems) {
        let ranges = [
            ("evidence.log_tail_lines", self.log_tail_lines, 1, 10_000),
            (
                "evidence.log_line_bytes",
                self.log_line_bytes,
                256,
                64 * 1024,
            ),
            ("evidence.max_pods", self.max_pods, 1, 20),
            ("evidence.max_events", self.max_events, 1, 500),
            (
                "evidence.budget",
                self.budget,
                MIN_BUDGET_BYTES,
                MAX_BUDGET_BYTES,
            ),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                problems.add(key, format!("must be between {min} and {max}"));
            }
        }
        check_time(problems, "evidence.deadline", self.deadline);
    }
}

impl LokiSettings {
    fn validate(&self, problems: &mut Problems) {
        check_time(problems, "loki.timeout", self.timeout);
        if self.since.is_zero() {
            problems.add("loki.since", "must be more than 0, for example 60m");
        }
        if let Some(url) = &self.url {
            match reqwest::Url::parse(url) {
                Ok(url) if !["http", "https"].contains(&url.scheme()) => {
                    problems.add("loki.url", "must start with http:// or https://");
                }
                Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                    problems.add(
                        "loki.url",
                        "must not hold credentials; use loki.auth_header_file",
                    );
                }
                Ok(_) => {}
                Err(error) => problems.add("loki.url", format!("is not a URL: {error}")),
            }
        }
        let labels = &self.labels;
        let mut names = vec![
            ("loki.labels.namespace", &labels.namespace),
            ("loki.labels.pod", &labels.pod),
            ("loki.labels.container", &labels.container),
        ];
        if !labels.cluster.is_empty() {
            names.push(("loki.labels.cluster", &labels.cluster));
        }
        for (key, name) in names {
            if !is_label_name(name) {
                problems.add(key, "must be a label name, for example \"pod\"");
            }
        }
    }
}

fn check_time(problems: &mut Problems, key: &str, time: Duration) {
    if time < Duration::from_millis(100) || time > Duration::from_mins(5) {
        problems.add(key, "must be between 100ms and 5m");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(config: &Config) -> Vec<String> {
        let mut problems = Problems::default();
        config.validate(&mut problems);
        problems
            .lines()
            .iter()
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(problems(&Config::default()), Vec::<String>::new());
    }

    #[test]
    fn every_wrong_value_is_named() {
        let config = Config {
            kubeconfig: None,
            evidence: EvidenceSettings {
                log_tail_lines: 0,
                budget: 1 << 20,
                deadline: Duration::ZERO,
                ..EvidenceSettings::default()
            },
            loki: LokiSettings {
                url: Some("http://user:secret@loki:3100".to_owned()),
                labels: LabelNames {
                    pod: "pod\"}".to_owned(),
                    ..LabelNames::default()
                },
                ..LokiSettings::default()
            },
        };
        assert_eq!(
            problems(&config),
            [
                "evidence.log_tail_lines",
                "evidence.budget",
                "evidence.deadline",
                "loki.url",
                "loki.labels.pod"
            ]
        );
    }

    #[test]
    fn the_names_of_the_specification_are_understood() {
        let convert = |variable: &str, text: &str| {
            let alias = Config::ALIASES
                .iter()
                .find(|alias| alias.variable == variable)
                .unwrap();
            (alias.convert)(text)
        };
        assert_eq!(convert("LOG_TAIL_LINES", "200"), Ok(Value::from(200)));
        assert_eq!(
            convert("HISTORICAL_LOG_SINCE_MINUTES", "90"),
            Ok(Value::from("90m"))
        );
        assert_eq!(convert("LOG_BACKEND_URL", ""), Ok(Value::Null));
        assert!(convert("LOG_TAIL_LINES", "many").is_err());
    }
}
