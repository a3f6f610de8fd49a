//! Settings of svc-notifier.

use std::path::PathBuf;
use std::time::Duration;

use bonesetter_chassis::config::{Alias, Problems, Settings, duration};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The settings. At least one channel must be set for telling people; `publish` needs none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Slack.
    pub slack: SlackSettings,
    /// A generic webhook.
    pub webhook: WebhookSettings,
    /// How notices are delivered.
    pub delivery: DeliverySettings,
}

/// Slack, by incoming webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlackSettings {
    /// File with the URL of the incoming webhook.
    pub webhook_url_file: Option<PathBuf>,
}

/// A generic webhook; its deliveries are signed with `keys.webhook_file`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookSettings {
    /// File with the URL.
    pub url_file: Option<PathBuf>,
}

/// How notices are delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliverySettings {
    /// How long one attempt may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How long a receiver that is away is tried.
    #[serde(with = "duration")]
    pub give_up_after: Duration,
    /// PEM file with certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            give_up_after: Duration::from_hours(24),
            ca_file: None,
        }
    }
}

impl Config {
    /// Whether anybody can be told.
    pub const fn has_channel(&self) -> bool {
        self.slack.webhook_url_file.is_some() || self.webhook.url_file.is_some()
    }
}

impl Settings for Config {
    const ALIASES: &'static [Alias] = &[Alias {
        variable: "SLACK_WEBHOOK_URL",
        key: "slack.webhook_url_file",
        convert: path_not_url,
    }];

    fn validate(&self, problems: &mut Problems) {
        for (key, path) in [
            ("slack.webhook_url_file", &self.slack.webhook_url_file),
            ("webhook.url_file", &self.webhook.url_file),
        ] {
            if path
                .as_ref()
                .is_some_and(|path| is_url(&path.to_string_lossy()))
            {
                problems.add(key, PUT_INTO_A_FILE);
            }
        }
        if self.delivery.timeout < Duration::from_secs(1)
            || self.delivery.timeout > Duration::from_mins(1)
        {
            problems.add("delivery.timeout", "must be between 1s and 60s");
        }
    }
}

const PUT_INTO_A_FILE: &str =
    "is a URL; it is a secret: put it into a file and set the path of that file";

fn is_url(text: &str) -> bool {
    text.contains("://")
}

fn path_not_url(text: &str) -> Result<Value, String> {
    if is_url(text) {
        Err(PUT_INTO_A_FILE.to_owned())
    } else {
        Ok(Value::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(config: &Config) -> Vec<String> {
        let mut problems = Problems::default();
        config.validate(&mut problems);
        problems.lines().to_vec()
    }

    #[test]
    fn publishing_needs_no_channel_and_telling_one() {
        assert_eq!(problems(&Config::default()), [""; 0]);
        let slack = SlackSettings {
            webhook_url_file: Some("/run/secrets/slack".into()),
        };
        assert!(!Config::default().has_channel());
        let config = Config {
            slack,
            ..Config::default()
        };
        assert!(config.has_channel());
        assert_eq!(problems(&config), [""; 0]);
    }

    #[test]
    fn addresses_belong_into_files_and_are_not_repeated() {
        let canary = "https://hooks.example.com/services/canary";
        let slack = SlackSettings {
            webhook_url_file: Some(canary.into()),
        };
        let found = problems(&Config {
            slack,
            ..Config::default()
        });
        assert!(found[0].contains("put it into a file"), "{found:?}");
        assert!(!found[0].contains("canary"));
        assert!(!path_not_url(canary).unwrap_err().contains("canary"));
        assert_eq!(path_not_url("/run/slack"), Ok(Value::from("/run/slack")));
    }
}
