//! `svc-redactor restore`: puts values back in the place of placeholders in a text, for somebody who may read
//! them.
//!
//! Runs where the keys are, inside the boundary, as the service itself; whoever can run it there is authorised
//! to read. No table of values is kept anywhere. What placeholders stand for is the raw evidence of the incident:
//! sealed, kept for two days, and gone then. Redacting it again, with the same key, gives the same placeholders.
//!
//! A signed record of who reads what kinds of values, and why, goes to the ledger first; only when it is stored is
//! anything printed. Secrets are not restored unless `--secrets` asks for them.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, ensure};
use bonesetter_chassis::config::{Common, load};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::{About, Service};
use bonesetter_keys::DigestKey;
use bonesetter_proto::v1::{
    Enriched, Evidence, Incident, Removal, SecurityEvent, SecurityEventKind,
};
use bonesetter_proto::{IncidentId, Stage, Subject};
use bonesetter_redact::{Redactor, is_secret_kind, restore};
use clap::Parser as _;
use tokio_util::sync::CancellationToken;

use crate::command;
use crate::config::Config;
use crate::own_rules;
use crate::run::keys;
use crate::stage::{redact_in, session};

/// A longer text is refused.
const MAX_BYTES: u64 = 4 << 20;

/// Put values back in the place of placeholders in the text on standard input.
#[derive(Debug, clap::Parser)]
#[command(name = "svc-redactor restore")]
struct Arguments {
    /// Configuration file (YAML) of svc-redactor.
    #[arg(long, env = "BONESETTER_CONFIG")]
    config: Option<PathBuf>,
    /// Who reads: a name in lower-case letters, digits, `.`, `-` and `_`. It goes to the ledger.
    #[arg(long, value_parser = reader)]
    reader: String,
    /// Why. It goes into the record.
    #[arg(long)]
    reason: String,
    /// Restore secrets, too, and not only personal data and names.
    #[arg(long)]
    secrets: bool,
    /// The incident's id, all 26 characters.
    incident: String,
}

/// What the ledger takes as a name.
fn reader(text: &str) -> Result<String, String> {
    let is_name = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
    if is_name {
        Ok(text.to_owned())
    } else {
        Err("is made of at most 64 lower-case letters, digits, `.`, `-` and `_`".to_owned())
    }
}

/// The `main` of the mode; the first argument has been looked at.
pub fn main(about: About) -> ExitCode {
    let arguments = Arguments::parse_from(std::env::args_os().skip(1));
    command::main("restore", run(about, &arguments))
}

async fn run(about: About, arguments: &Arguments) -> anyhow::Result<()> {
    let id = IncidentId::new(arguments.incident.as_str())?;
    let mut text = String::new();
    let read = std::io::stdin()
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text);
    read.context("cannot read the text on standard input")?;
    ensure!(
        text.len() as u64 <= MAX_BYTES,
        "the text is longer than {MAX_BYTES} bytes"
    );
    let (common, config): (Common, Config) = load(arguments.config.as_deref())?;
    let service = Service::start(
        about,
        common,
        "restore",
        CancellationToken::new(),
        Readiness::default(),
        Metrics::default(),
    )
    .await?;
    let values = Values::read(&service, &config, &id).await?;
    let wanted = |placeholder: &str| {
        let kind = kind_of(placeholder);
        let value = values.of(placeholder)?;
        (arguments.secrets || !is_secret_kind(kind)).then_some(value)
    };
    let (restored, counts) = restored(&text, wanted);
    record(&service, arguments, &values, counts).await?;
    service.finish().await;
    write!(std::io::stdout(), "{restored}").context("cannot write the text")
}

fn kind_of(placeholder: &str) -> &str {
    let inner = placeholder.trim_start_matches('<');
    inner.split(':').next().unwrap_or_default()
}

/// The text with values, and how many of each kind these are.
fn restored<'a>(
    text: &str,
    value_of: impl Fn(&str) -> Option<&'a str>,
) -> (String, BTreeMap<String, u32>) {
    let mut counts = BTreeMap::new();
    let restored = restore(text, |placeholder| {
        let value = value_of(placeholder)?;
        let kind = kind_of(placeholder).to_owned();
        *counts.entry(kind).or_insert(0) += 1;
        Some(value)
    });
    (restored, counts)
}

/// What the placeholders of an incident stand for.
struct Values {
    by_placeholder: HashMap<String, Option<String>>,
    subject: Subject,
    incident: Option<Incident>,
}

impl Values {
    /// Redacts all raw evidence of the incident again.
    async fn read(service: &Service, config: &Config, id: &IncidentId) -> anyhow::Result<Self> {
        let (seal, digest) = keys(&service.common.keys)?;
        let redactor = own_rules::redactor(config)?;
        let mut values = None;
        for message in command::stored(service.bus.clone(), id).await? {
            let (enriched, raw) = command::opened(&seal, &message)?;
            let values = values.get_or_insert(Self {
                by_placeholder: HashMap::new(),
                subject: message.subject.parse()?,
                incident: enriched.incident.clone(),
            });
            values.add(&redactor, &digest, &enriched, raw).await?;
        }
        values.with_context(|| command::nothing_stored(id))
    }

    async fn add(
        &mut self,
        redactor: &Redactor,
        digest: &DigestKey,
        enriched: &Enriched,
        raw: Evidence,
    ) -> anyhow::Result<()> {
        let mut session = session(redactor, digest, enriched)?;
        session.keep_values();
        let (_, session) = redact_in(session, enriched, raw, &[]).await?;
        for (placeholder, value) in session.values() {
            self.by_placeholder
                .entry(placeholder.to_owned())
                .and_modify(|known| {
                    // Two values that one placeholder stood for at different times are not told apart.
                    if known.as_deref() != Some(value) {
                        *known = None;
                    }
                })
                .or_insert_with(|| Some(value.to_owned()));
        }
        Ok(())
    }

    fn of(&self, placeholder: &str) -> Option<&str> {
        self.by_placeholder.get(placeholder)?.as_deref()
    }
}

/// Stores who reads what before anything is shown.
async fn record(
    service: &Service,
    arguments: &Arguments,
    values: &Values,
    counts: BTreeMap<String, u32>,
) -> anyhow::Result<()> {
    let removal = |(kind, count)| Removal {
        kind,
        rule: "restored".to_owned(),
        place: "text".to_owned(),
        count,
    };
    let event = SecurityEvent {
        incident: values.incident.clone(),
        kind: SecurityEventKind::Restored.into(),
        findings: counts.into_iter().map(removal).collect(),
        reader: arguments.reader.clone(),
        reason: arguments.reason.clone(),
        ..SecurityEvent::default()
    };
    let now = service.clock.now().duration_since(UNIX_EPOCH);
    let step = format!("restored-{}", now.unwrap_or_default().as_nanos());
    let subject = values.subject.at(Stage::Security, step);
    let published = service.publisher()?.publish(&subject, event, "").await;
    published.context("cannot record who reads, so nothing is shown")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_have_names_that_the_ledger_takes() {
        assert_eq!(reader("ada.l-1_x").as_deref(), Ok("ada.l-1_x"));
        for wrong in ["", "Ada", "a b", "a\n", &"a".repeat(65)] {
            assert!(reader(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_restored_is_counted_by_kind() {
        let value_of = |placeholder: &str| (kind_of(placeholder) == "email").then_some("a@b.c");
        let text = "<email:abcdef> <email:abcdef> <ip:abcdef>";
        let (text, counts) = restored(text, value_of);
        assert_eq!(text, "a@b.c a@b.c <ip:abcdef>");
        assert_eq!(counts, BTreeMap::from([("email".to_owned(), 2)]));
    }
}
