//! Settings of svc-llm.

use std::path::PathBuf;
use std::time::Duration;

use bonesetter_chassis::config::{Alias, Problems, Settings, duration};
use serde::{Deserialize, Serialize};

/// What svc-llm is told, besides what every service is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Who diagnoses.
    pub provider: Provider,
    /// The endpoint; used if `provider` is `openai`.
    pub openai: OpenAiSettings,
    /// Folder with rules of this installation (`docs/rules.md`); read when the service starts.
    pub rules_dir: Option<PathBuf>,
}

/// Who diagnoses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The offline rules.
    #[default]
    Rules,
    /// An OpenAI-compatible endpoint, with the rules as hypothesis, second opinion and fallback.
    OpenAi,
}

/// An OpenAI-compatible endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenAiSettings {
    /// Up to, and without, `/chat/completions`; may end in a query.
    pub base_url: String,
    /// The model, or Azure's deployment.
    pub model: String,
    /// File with the API key; none sends no key.
    pub api_key_file: Option<PathBuf>,
    /// File with a header for every request: `Name: value`, or a value for `Authorization`, which then
    /// replaces the API key.
    pub auth_header_file: Option<PathBuf>,
    /// For all attempts together.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// PEM file with certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Default for OpenAiSettings {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".to_owned(),
            model: String::new(),
            api_key_file: None,
            auth_header_file: None,
            timeout: Duration::from_secs(90),
            ca_file: None,
        }
    }
}

const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
const LONGEST_TIMEOUT: Duration = Duration::from_mins(10);

impl Settings for Config {
    const ALIASES: &'static [Alias] = &[
        Alias {
            variable: "LLM_PROVIDER",
            key: "provider",
            convert: provider,
        },
        Alias {
            variable: "OPENAI_MODEL_ID",
            key: "openai.model",
            convert: text,
        },
        Alias {
            variable: "LLM_SERVICE_AUTH_HEADER",
            key: "openai.auth_header_file",
            convert: path_not_value,
        },
    ];

    fn validate(&self, problems: &mut Problems) {
        if self.provider == Provider::Rules {
            return;
        }
        let openai = &self.openai;
        if !(openai.base_url.starts_with("https://") || openai.base_url.starts_with("http://")) {
            problems.add(
                "openai.base_url",
                "must begin with https:// (or http:// on a trusted network)",
            );
        }
        if openai
            .base_url
            .split('?')
            .next()
            .is_some_and(|path| path.contains("/chat/completions"))
        {
            problems.add(
                "openai.base_url",
                "must end before /chat/completions, for example https://api.openai.com/v1",
            );
        }
        if openai.base_url.contains('@') {
            problems.add(
                "openai.base_url",
                "must not hold credentials; use openai.api_key_file",
            );
        }
        if openai.model.is_empty() {
            problems.add("openai.model", "is required when provider is \"openai\"");
        }
        if !(SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&openai.timeout) {
            problems.add("openai.timeout", "must lie between 1s and 10m");
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the type that an alias wants")]
fn text(value: &str) -> Result<serde_json::Value, String> {
    Ok(value.trim().into())
}

/// "mock", the default of the specification's other implementations, means the offline rules.
fn provider(value: &str) -> Result<serde_json::Value, String> {
    match value.trim().to_lowercase().as_str() {
        "" | "rules" | "mock" => Ok("rules".into()),
        "openai" => Ok("openai".into()),
        other => Err(format!(
            "{other:?} is not a provider; expected rules or openai"
        )),
    }
}

/// Secrets are never in the environment: the variable names the file that holds the header.
fn path_not_value(value: &str) -> Result<serde_json::Value, String> {
    let path = value.trim();
    if path.starts_with('/') {
        Ok(path.into())
    } else {
        Err("must be the absolute path of a file that holds the header, not the header".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut OpenAiSettings);

    fn problems(change: impl FnOnce(&mut OpenAiSettings)) -> Vec<String> {
        let mut config = Config {
            provider: Provider::OpenAi,
            ..Config::default()
        };
        config.openai.model = "m".to_owned();
        change(&mut config.openai);
        let mut problems = Problems::default();
        config.validate(&mut problems);
        problems.lines().to_vec()
    }

    #[test]
    fn the_rules_need_no_settings_and_a_provider_needs_sound_ones() {
        let mut none = Problems::default();
        Config::default().validate(&mut none);
        assert!(none.lines().is_empty() && problems(|_| {}).is_empty());
        let wrong: [(Change, &str); 5] = [
            (|openai| openai.model.clear(), "openai.model: is required"),
            (
                |openai| openai.base_url = "api.openai.com".to_owned(),
                "openai.base_url: must begin",
            ),
            (
                |openai| openai.base_url.push_str("/chat/completions"),
                "openai.base_url: must end",
            ),
            (
                |openai| openai.base_url = "https://u:p@x/v1".to_owned(),
                "openai.base_url: must not",
            ),
            (
                |openai| openai.timeout = Duration::ZERO,
                "openai.timeout: must lie",
            ),
        ];
        for (change, expected) in wrong {
            let found = problems(change);
            assert!(
                found.len() == 1 && found[0].starts_with(expected),
                "{found:?}"
            );
        }
    }

    #[test]
    fn names_of_the_specification_are_understood() {
        assert_eq!(provider("mock").unwrap(), "rules");
        assert_eq!(provider(" OpenAI ").unwrap(), "openai");
        assert!(provider("oracle").is_err() && path_not_value("Bearer abc").is_err());
        assert_eq!(path_not_value("/run/auth").unwrap(), "/run/auth");
    }
}
