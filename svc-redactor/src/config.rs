//! Settings.

use bonesetter_chassis::config::{Problems, Settings};
use serde::{Deserialize, Serialize};

/// svc-redactor has no settings of its own: what is redacted is not for an installation to choose.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Config {}

impl Settings for Config {
    fn validate(&self, _problems: &mut Problems) {}
}
