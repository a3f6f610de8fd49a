//! Settings.

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
}

impl Settings for Config {
    // Blanks are no patterns, and every other text is one.
    fn validate(&self, _problems: &mut Problems) {}
}
