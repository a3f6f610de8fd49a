use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use bonesetter_chassis::bus::{Bus, StreamReader};
use bonesetter_keys::VerifyingKeys;
use bonesetter_proto::{IncidentId, Subject};
use clap::Args;

use super::Format;
use crate::bus::Connection;
use crate::pipe;
use crate::replay::record::Record;
use crate::replay::{json, text};
use crate::timeline::readable_streams;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// The incident's id, or its beginning.
    id: String,
    /// Folder with the public keys of the signing services; without it signatures are not checked.
    #[arg(long, env = "BONESETTER_TRUSTED_DIR")]
    trusted_dir: Option<PathBuf>,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let trusted = match &arguments.trusted_dir {
        Some(dir) => Some(
            VerifyingKeys::read(dir)
                .with_context(|| format!("cannot read the keys in {}", dir.display()))?,
        ),
        None => None,
    };
    let bus = arguments.connection.connect("operator").await?;
    let id = resolve(&bus, &arguments.id).await?;
    let record = Record::load(&bus, &id, trusted.as_ref()).await?;
    anyhow::ensure!(!record.entries.is_empty(), nothing(&arguments.id));
    let text = match arguments.output {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&json::whole(&record))?),
        Format::Table => text::whole(&record),
    };
    pipe::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The one incident whose id starts with what was typed. Every stream is asked, because the first
/// messages of an incident age out before the last.
async fn resolve(bus: &Bus, typed: &str) -> anyhow::Result<IncidentId> {
    if let Ok(id) = IncidentId::new(typed) {
        return Ok(id);
    }
    let mut found = std::collections::BTreeSet::new();
    for stream in readable_streams() {
        let Some(stage) = stream.stage else { continue };
        let reader = StreamReader::new(bus.clone(), stream.name);
        for subject in reader.subjects(&stage.filter()).await? {
            if let Ok(subject) = subject.parse::<Subject>()
                && subject.incident.as_str().starts_with(typed)
            {
                found.insert(subject.incident);
            }
        }
    }
    match found.len() {
        0 => anyhow::bail!(nothing(typed)),
        1 => found.pop_first().context("one incident was found"),
        count => anyhow::bail!("{count} incidents start with {typed:?}; type more of the id"),
    }
}

fn nothing(typed: &str) -> String {
    let kept: Vec<String> = readable_streams()
        .filter_map(|stream| {
            let days = stream.max_age.as_secs() / 86_400;
            Some(format!("{} {days} d", stream.stage?))
        })
        .collect();
    format!(
        "nothing is stored of an incident {typed:?}; `bonesetter incidents` lists those that are, and after a while messages age out ({})",
        kept.join(", ")
    )
}
