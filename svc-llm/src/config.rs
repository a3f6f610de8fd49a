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
            variable: "LLM_SERVICE_AUTH_HEADER_FILE",
            key: "openai.auth_header_file",
            convert: text,
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
