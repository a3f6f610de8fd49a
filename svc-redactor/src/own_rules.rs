//! The rules of an installation, added to ours: none of ours can be taken away.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use bonesetter_redact::{Redactor, Rules};

/// What redacts by our rules and those of a file, whose examples must hold.
pub(crate) fn redactor(own: Option<&Path>) -> anyhow::Result<Redactor> {
    let mut rules = Rules::builtin().context("redaction rules")?;
    if let Some(file) = own {
        let cannot_use = || format!("cannot use the redaction rules in {}", file.display());
        let yaml = fs::read_to_string(file).with_context(cannot_use)?;
        let own = Rules::parse(&yaml).with_context(cannot_use)?;
        let count = own.rules.len();
        rules = rules.with_own(own).with_context(cannot_use)?;
        tracing::info!(count, "rules of this installation are in use");
    }
    Redactor::new(rules).context("redaction rules")
}
