use std::collections::BTreeMap;
use std::ffi::OsString;

use serde_json::{Map, Value};

use super::values::yaml;
use super::{Problems, insert_at};

pub(super) const PREFIX: &str = "BONESETTER__";

/// Settings from the environment. What they mean depends on the setting: `123` is a number for a
/// limit and text for a name. So they are text until somebody wants something else.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    texts: BTreeMap<String, String>,
}

impl Overrides {
    /// Takes `BONESETTER__SECTION__KEY`, in any case, as `section.key`.
    pub(super) fn read(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        problems: &mut Problems,
    ) -> Self {
        let mut texts = BTreeMap::new();
        for (name, text) in variables {
            let Some(key) = name.to_str().and_then(key) else {
                continue;
            };
            match text.into_string() {
                Ok(text) => {
                    texts.insert(key, text);
                }
                Err(_) => problems.add(&name.to_string_lossy(), "is not UTF-8"),
            }
        }
        Self { texts }
    }

    /// Sets all of them.
    pub(super) fn set(&self, settings: &mut Map<String, Value>) {
        for (key, text) in &self.texts {
            insert_at(settings, key, Value::from(text.as_str()));
        }
    }

    /// Sets one of them again, as the YAML value that its text stands for; false when there is no
    /// such variable, or it has been set so before, or its text is just a text.
    pub(super) fn set_as_yaml(&mut self, settings: &mut Map<String, Value>, key: &str) -> bool {
        let Some(text) = self.texts.remove(key) else {
            return false;
        };
        match yaml::<Value>(&text) {
            Ok(value) if !value.is_string() => {
                insert_at(settings, key, value);
                true
            }
            _ => false,
        }
    }
}

fn key(name: &str) -> Option<String> {
    let name = name.to_ascii_uppercase();
    let key = name.strip_prefix(PREFIX)?;
    Some(key.split("__").collect::<Vec<_>>().join(".").to_lowercase())
}
