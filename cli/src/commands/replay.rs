use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bonesetter_chassis::bus::Bus;
use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::config::duration;
use bonesetter_keys::VerifyingKeys;
use clap::Args;
use serde_json::{Value, json};

use super::Format;
use crate::bus::Connection;
use crate::overview::{nothing, resolve};
use crate::pipe;
use crate::replay::record::Record;
use crate::replay::single::{self, Replayed};
use crate::replay::summary::{self, Frame};
use crate::replay::with::{Changes, With};
use crate::replay::words::{BOLD, YELLOW};
use crate::replay::{beside, history, redaction, text};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// The incident's id, or its beginning.
    #[arg(required_unless_present = "since", conflicts_with = "since")]
    id: Option<String>,
    /// Every incident since so long ago, for example 30d; needs --with.
    #[arg(long, value_parser = duration::parse, requires = "with")]
    since: Option<Duration>,
    /// Run stages again, and show what differs: rules=DIR (see docs/rules.md), provider=NAME of
    /// --providers, policy=FILE (the settings of svc-actuator), redaction=FILE (rules that `svc-redactor
    /// replay` adds to ours, while the raw evidence is kept). May be repeated. Publishes nothing.
    #[arg(long, value_name = "KEY=VALUE")]
    with: Vec<With>,
    /// YAML file with endpoints by name, `providers: {NAME: {base_url: ..., model: ...}}`; the keys of an
    /// endpoint are those of `openai` in the settings of svc-llm.
    #[arg(long, env = "BONESETTER_PROVIDERS")]
    providers: Option<PathBuf>,
    /// How to run svc-redactor where its key is; `replay --rules FILE ID` is added. Its settings come from
    /// its own environment and file, and only redacted output of it is read.
    #[arg(long, env = "BONESETTER_REDACTOR", default_value = "svc-redactor")]
    redactor: String,
    /// Folder with the public keys of the signing services. Without it signatures are not checked, and
    /// nothing can be run again.
    #[arg(long, env = "BONESETTER_TRUSTED_DIR")]
    trusted_dir: Option<PathBuf>,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let trusted = match &arguments.trusted_dir {
        Some(dir) => {
            Some(Arc::new(VerifyingKeys::read(dir).with_context(|| {
                format!("cannot read the keys in {}", dir.display())
            })?))
        }
        None => None,
    };
    let changes = Changes::read(&arguments.with, arguments.providers.as_deref())?;
    ensure!(
        changes.is_empty() || trusted.is_some(),
        "--with needs --trusted-dir: only what is proven to be signed is run again"
    );
    let bus = arguments.connection.connect("operator").await?;
    let text = match (&arguments.id, arguments.since, trusted) {
        (_, Some(since), Some(trusted)) => {
            ensure!(
                !changes.asks_a_model(),
                "--since asks no model: history is thousands of prompts; name an incident, or use rules= and policy="
            );
            ensure!(
                changes.redaction.is_none(),
                "--since does not redact again: raw evidence is kept for two days; name an incident"
            );
            over_history(&bus, since, &trusted, changes, arguments.output).await?
        }
        (Some(typed), _, trusted) => {
            let id = resolve(&bus, typed).await?;
            let record = Record::load(&bus, &id, trusted.as_deref()).await?;
            ensure!(!record.entries.is_empty(), nothing(typed));
            match trusted.filter(|_| !changes.is_empty()) {
                Some(trusted) => {
                    let redacted = match &changes.redaction {
                        Some(file) => redaction::run(&arguments.redactor, file, &id)?,
                        None => Vec::new(),
                    };
                    let replayed = single::replay(&record, &trusted, &changes, &redacted).await?;
                    again(&record, &replayed, &changes, arguments.output)?
                }
                None => rebuilt(&record, arguments.output)?,
            }
        }
        _ => anyhow::bail!("name an incident, or say since when"),
    };
    pipe::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn rebuilt(record: &Record, output: Format) -> anyhow::Result<String> {
    Ok(match output {
        Format::Json => pretty(&crate::replay::json::whole(record))?,
        Format::Table => text::whole(record),
    })
}

/// One incident, its stages run again.
fn again(
    record: &Record,
    replayed: &Replayed,
    changes: &Changes,
    output: Format,
) -> anyhow::Result<String> {
    ensure!(
        !replayed.steps.is_empty(),
        "nothing can be run again: the inputs of the stages have aged out, or no trusted signature proves them ({} messages)",
        replayed.unproven
    );
    match output {
        Format::Json => pretty(&json!({
            "id": record.id.as_str(),
            "with": changes.labels,
            "unproven": replayed.unproven,
            "steps": replayed.steps.iter().map(beside::json).collect::<Vec<Value>>(),
        })),
        Format::Table => Ok(side_by_side(record, replayed, changes)),
    }
}

fn side_by_side(record: &Record, replayed: &Replayed, changes: &Changes) -> String {
    let mut shown = format!("{BOLD}Incident {}{BOLD:#}", record.id);
    for step in &replayed.steps {
        let differs: Vec<&str> = step
            .differences()
            .into_iter()
            .map(crate::replay::rerun::Difference::as_str)
            .collect();
        let differs = if differs.is_empty() {
            "no difference".to_owned()
        } else {
            format!("differs in {}", differs.join(", "))
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            shown,
            "\n\n{}, {}: {YELLOW}{differs}{YELLOW:#}",
            step.workload, step.subject.step
        );
        shown.push_str(&beside::text(step, &changes.labels));
    }
    if replayed.unproven > 0 {
        let _ = writeln!(
            shown,
            "\n{YELLOW}{} messages were left out: no trusted signature proves where they came from{YELLOW:#}",
            replayed.unproven
        );
    }
    shown
}

async fn over_history(
    bus: &Bus,
    since: Duration,
    trusted: &Arc<VerifyingKeys>,
    changes: Changes,
    output: Format,
) -> anyhow::Result<String> {
    let started = Instant::now();
    let since = Clock::system()
        .now()
        .checked_sub(since)
        .context("--since reaches too far back")?;
    let changes = Arc::new(changes);
    let history = history::replay(bus, since, trusted, &changes).await?;
    let frame = Frame {
        since,
        labels: &changes.labels,
        took: started.elapsed(),
    };
    match output {
        Format::Json => pretty(&summary::json(&history, &frame)),
        Format::Table => Ok(summary::text(&history, &frame)),
    }
}

fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}
