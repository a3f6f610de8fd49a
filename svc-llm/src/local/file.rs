//! The form of the files.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) rules: Vec<RuleFile>,
    pub(super) overrides: Vec<OverrideFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFile {
    pub(super) cause: String,
    /// For the people who keep the file.
    #[serde(default, rename = "description")]
    _description: String,
    pub(super) when: WhenFile,
    #[serde(default = "sure")]
    pub(super) confidence: f64,
    pub(super) summary: String,
    #[serde(default)]
    pub(super) root_cause: Option<String>,
    pub(super) recommendation: String,
    #[serde(default)]
    pub(super) remedy: RuleRemedy,
}

/// What is said in a program's own words names the cause; more than that is not sure.
const fn sure() -> f64 {
    0.9
}

/// What a rule proposes to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RuleRemedy {
    /// Nothing; people read the recommendation.
    #[default]
    None,
    /// To take back the rollout that is to blame, where that is safe.
    RollBack,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WhenFile {
    pub(super) classes: Vec<String>,
    pub(super) kinds: Vec<String>,
    pub(super) container: Option<String>,
    pub(super) image: Option<String>,
    pub(super) exit_codes: Vec<i64>,
    pub(super) reasons: Vec<String>,
    pub(super) log: Option<String>,
    pub(super) event: Option<EventFile>,
    pub(super) changed: Vec<String>,
    /// Lines that `log` matches, and lines that it does not; tried when the file is read.
    pub(super) examples: Vec<String>,
    pub(super) counterexamples: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EventFile {
    pub(super) reasons: Vec<String>,
    pub(super) message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverrideFile {
    pub(super) cause: String,
    #[serde(default)]
    pub(super) disabled: bool,
    #[serde(default)]
    pub(super) recommendation: Option<String>,
    #[serde(default)]
    pub(super) remedy: OverrideRemedy,
    #[serde(default)]
    pub(super) max_confidence: Option<f64>,
}

/// What becomes of a remedy that a rule of ours proposes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OverrideRemedy {
    /// It stays.
    #[default]
    Keep,
    /// It is not proposed.
    Withhold,
}

impl File {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
    }
}
