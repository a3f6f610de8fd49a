//! The rules of an installation, added to ours: none of ours can be taken away.

use std::fs;

use anyhow::Context as _;
use bonesetter_redact::{Options, Redactor, Rules};

use crate::config::Config;

/// What redacts by our rules and those of an installation, whose examples must hold.
pub(crate) fn redactor(config: &Config) -> anyhow::Result<Redactor> {
    let mut rules = Rules::builtin().context("redaction rules")?;
    if let Some(file) = &config.rules_file {
        let cannot_use = || format!("cannot use the redaction rules in {}", file.display());
        let yaml = fs::read_to_string(file).with_context(cannot_use)?;
        let own = Rules::parse(&yaml).with_context(cannot_use)?;
        let count = own.rules.len();
        rules = rules.with_own(own).with_context(cannot_use)?;
        tracing::info!(count, "rules of this installation are in use");
    }
    let options = Options {
        host_names: config.host_names,
        user_names: config.user_names,
        ..Options::default()
    };
    Redactor::new(rules.with_options(options)).context("redaction rules")
}
