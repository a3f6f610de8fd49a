//! Settings.

use std::path::PathBuf;

use bonesetter_chassis::config::{Problems, Settings, comma_list};
use serde::{Deserialize, Serialize};

/// The settings of svc-redactor. They can only withhold more: what is redacted is not for an
/// installation to choose.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Ids of evidence that is withheld, for example `log/*/sidecar/*`; `*` stands for any characters.
    #[serde(with = "comma_list")]
    pub block: Vec<String>,
    /// YAML file with rules of this installation, in the form of `rules.yaml` of bonesetter-redact; they are
    /// added to ours, and their examples must hold. Read when the service starts.
    pub rules_file: Option<PathBuf>,
    /// Whether names of hosts are taken out, too.
    pub host_names: bool,
    /// Whether names of users are taken out, too.
    pub user_names: bool,
}

impl Settings for Config {
    // Blanks are no patterns, and every other text is one.
    fn validate(&self, _problems: &mut Problems) {}
}
