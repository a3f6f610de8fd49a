//! What is to be different: `--with rules=DIR`, `provider=NAME`, `policy=FILE`, `redaction=FILE`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use bonesetter_chassis::config::{Problems, Settings, load_own};
use serde::{Deserialize, Serialize};
use svc_actuator::policy::Policy;
use svc_llm::Diagnosers;
use svc_llm::config::{Config, OpenAiSettings, Provider};

/// One `--with`, as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum With {
    Rules(PathBuf),
    Provider(String),
    Policy(PathBuf),
    Redaction(String),
}

impl FromStr for With {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = "expected rules=DIR, provider=NAME, policy=FILE or redaction=FILE";
        match text.split_once('=') {
            Some((_, "")) | None => Err(known.to_owned()),
            Some(("rules", dir)) => Ok(Self::Rules(dir.into())),
            Some(("provider", name)) => Ok(Self::Provider(name.to_owned())),
            Some(("policy", file)) => Ok(Self::Policy(file.into())),
            Some(("redaction", file)) => Ok(Self::Redaction(file.to_owned())),
            Some(_) => Err(known.to_owned()),
        }
    }
}

/// What stages are re-run with; what is not named is as it was recorded.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Diagnose anew.
    pub(crate) diagnosers: Option<Diagnosers>,
    /// Decide anew.
    pub(crate) policy: Option<Policy>,
    /// Redact anew, with rules of this file: as svc-redactor sees it, which may run elsewhere.
    pub(crate) redaction: Option<String>,
    /// As it was typed, for headings.
    pub(crate) labels: Vec<String>,
}

/// The file that `--providers` names: endpoints by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Providers {
    providers: BTreeMap<String, OpenAiSettings>,
}

impl Settings for Providers {
    fn validate(&self, problems: &mut Problems) {
        for (name, openai) in &self.providers {
            let config = Config {
                provider: Provider::OpenAi,
                openai: openai.clone(),
                rules_dir: None,
            };
            let mut found = Problems::default();
            config.validate(&mut found);
            for line in found.lines() {
                problems.add(&format!("providers.{name}"), line);
            }
        }
    }
}

impl Changes {
    /// Reads the rules, the policy and the endpoint that are named.
    pub(crate) fn read(with: &[With], providers: Option<&Path>) -> anyhow::Result<Self> {
        let mut changes = Self::default();
        let mut config = None::<Config>;
        for with in with {
            match with {
                With::Rules(dir) => {
                    changes.labels.push(format!("rules={}", dir.display()));
                    let config = config.get_or_insert_default();
                    ensure!(
                        config.rules_dir.replace(dir.clone()).is_none(),
                        "--with rules= was given twice"
                    );
                }
                With::Provider(name) => {
                    changes.labels.push(format!("provider={name}"));
                    let config = config.get_or_insert_default();
                    ensure!(
                        config.provider == Provider::Rules,
                        "--with provider= was given twice"
                    );
                    config.provider = Provider::OpenAi;
                    config.openai = endpoint(name, providers)?;
                }
                With::Policy(file) => {
                    changes.labels.push(format!("policy={}", file.display()));
                    let settings: svc_actuator::Config = load_own(file)
                        .with_context(|| format!("the policy in {}", file.display()))?;
                    let twice = changes.policy.replace(settings.policy());
                    ensure!(twice.is_none(), "--with policy= was given twice");
                }
                With::Redaction(file) => {
                    changes.labels.push(format!("redaction={file}"));
                    let twice = changes.redaction.replace(file.clone());
                    ensure!(twice.is_none(), "--with redaction= was given twice");
                }
            }
        }
        if let Some(config) = config {
            changes.diagnosers = Some(Diagnosers::new(&config)?);
        }
        Ok(changes)
    }

    /// Whether diagnosing costs requests to somebody.
    pub(crate) const fn asks_a_model(&self) -> bool {
        matches!(self.diagnosers, Some(Diagnosers::OpenAi(..)))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

fn endpoint(name: &str, providers: Option<&Path>) -> anyhow::Result<OpenAiSettings> {
    let file = providers.context(
        "--with provider= needs --providers FILE, which holds `providers: {NAME: {base_url: ..., model: ...}}`",
    )?;
    let read: Providers =
        load_own(file).with_context(|| format!("the providers in {}", file.display()))?;
    let mut all = read.providers;
    let Some(found) = all.remove(name) else {
        let known: Vec<String> = all.into_keys().collect();
        bail!(
            "{} knows no provider {name:?}; it knows: {}",
            file.display(),
            known.join(", ")
        );
    };
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_different_is_named_by_a_key() {
        assert_eq!("rules=d".parse(), Ok(With::Rules("d".into())));
        assert_eq!("policy=a=b".parse(), Ok(With::Policy("a=b".into())));
        assert_eq!(
            "provider=local".parse(),
            Ok(With::Provider("local".to_owned()))
        );
        for text in ["", "rules", "rules=", "model=x", "=x"] {
            assert!(
                text.parse::<With>().unwrap_err().contains("expected"),
                "{text}"
            );
        }
    }

    #[test]
    fn policies_and_endpoints_are_checked_before_anything_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file.yaml");
        let read = |text: &str, with: With| {
            std::fs::write(&file, text).unwrap();
            let read = Changes::read(&[with], Some(&file));
            read.map(|_| ()).map_err(|error| format!("{error:#}"))
        };
        let policy = || With::Policy(file.clone());
        assert_eq!(read("mode: auto\ncluster: demo\n", policy()), Ok(()));
        for (text, expected) in [
            ("mode: on\n", "mode"),
            ("colour: red\n", "colour: unknown setting"),
            ("auto_apply_namespaces: kube-system\n", "system namespace"),
        ] {
            let error = read(text, policy()).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let local = "providers: {local: {base_url: 'http://127.0.0.1:1/v1', model: m}}\n";
        let provider = |name: &str| With::Provider(name.to_owned());
        assert_eq!(read(local, provider("local")), Ok(()));
        assert!(
            read(local, provider("other"))
                .unwrap_err()
                .contains("it knows: local")
        );
        let wrong = "providers: {local: {base_url: 'http://127.0.0.1:1/v1'}}\n";
        assert!(
            read(wrong, provider("local"))
                .unwrap_err()
                .contains("openai.model: is required")
        );
        let none = Changes::read(&[provider("local")], None).unwrap_err();
        assert!(none.to_string().contains("--providers"));
    }
}
