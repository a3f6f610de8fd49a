use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use bonesetter_chassis::topology::DETECTED;
use bonesetter_proto::v1::{
    Acted, Archived, Evidence, EvidenceItem, Redacted, Step as ActedStep, evidence_item::Content,
};
use clap::Args;
use serde_json::{Value, json};

use super::{Format, incidents};
use crate::bus::Connection;
use crate::json::event;
use crate::layout::{FIELD_INDENT, LINE_INDENT, fit};
use crate::ledger::{self, Ledger};
use crate::overview;
use crate::pipe;
use crate::render;
use crate::timeline::{self, Body, Step};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    ledger: Ledger,
    /// The incident's id, or its beginning.
    id: String,
    /// Print all evidence, and where what was removed had been, not only what the diagnosis cites.
    #[arg(long)]
    evidence: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let Some(mut client) = arguments.ledger.connect().await? {
        let found = ledger::get(&mut client, arguments.id).await?;
        ledger::print_one(&found, arguments.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let bus = arguments.connection.connect("operator").await?;
    let id = overview::resolve(&bus, &arguments.id).await?;
    let steps = timeline::incident(&bus, &id).await?;
    anyhow::ensure!(!steps.is_empty(), overview::nothing(&arguments.id));
    match arguments.output {
        Format::Json => {
            let incident = overview::of(&steps);
            let events: Vec<Value> = steps.iter().map(event::of_stream).collect();
            let value = json!({
                "incident": incident.as_ref().map(incidents::as_json),
                "events": events,
            });
            pipe::print(&format!("{}\n", serde_json::to_string_pretty(&value)?))?;
        }
        Format::Table => {
            pipe::print(&text(id.as_str(), &steps, arguments.evidence))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(id: &str, steps: &[Step], all_evidence: bool) -> String {
    let mut text = format!("Incident {id}\n\n");
    let is_detection = |step: &Step| matches!(step.body, Body::Detected(_));
    if !steps.iter().any(is_detection) {
        let days = DETECTED.max_age.as_secs() / 86_400;
        text.push_str(&fit(
            &format!("Its detection is no longer there: the stream keeps it for {days} days at most. What is shown is what is left.\n"),
            LINE_INDENT,
        ));
    }
    for step in steps {
        text.push_str(&fit(&render::line(step), LINE_INDENT));
        let details = match &step.body {
            Body::Diagnosed(diagnosed) => render::diagnosis(diagnosed),
            Body::Redacted(redacted) => removals(redacted, all_evidence),
            Body::Acted(acted) => command(acted),
            Body::Archived(archived) => object(archived),
            _ => String::new(),
        };
        text.push_str(&fit(&details, FIELD_INDENT));
        if let (true, Body::Redacted(redacted)) = (all_evidence, &step.body)
            && let Some(evidence) = &redacted.evidence
        {
            text.push_str(&evidence_text(evidence));
        }
    }
    text
}

/// What a person can do instead; later steps are about the same.
fn command(acted: &Acted) -> String {
    let mut text = String::new();
    let change = acted.change.as_ref();
    if let (Some(change), ActedStep::Proposed | ActedStep::Intended | ActedStep::Refused) =
        (change, acted.step())
    {
        render::field(&mut text, "Command", &change.suggested_command);
    }
    text
}

fn object(archived: &Archived) -> String {
    let mut text = String::new();
    let place = format!("{}/{}", archived.bucket, archived.key);
    render::field(&mut text, "Object", &place);
    text
}

/// What was taken out: how many of each kind, or in which places; and what tries to instruct its reader.
pub(crate) fn removals(redacted: &Redacted, places: bool) -> String {
    let mut text = String::new();
    let (suspicious, removed): (Vec<_>, Vec<_>) = redacted
        .removals
        .iter()
        .partition(|removal| removal.kind == "injection");
    if places {
        for removal in removed {
            let what = format!(
                "{} × {} by {} in {}",
                removal.count, removal.kind, removal.rule, removal.place
            );
            render::field(&mut text, "Removed", &what);
        }
    } else {
        let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
        for removal in removed {
            *kinds.entry(&removal.kind).or_default() += removal.count;
        }
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(kind, count)| format!("{count} × {kind}"))
            .collect();
        render::field(&mut text, "Removed", &kinds.join(", "));
    }
    for removal in suspicious {
        let what = format!("{} at {}", removal.rule, removal.place);
        render::field(&mut text, "Suspicious", &what);
    }
    text
}

fn evidence_text(evidence: &Evidence) -> String {
    let mut text = String::new();
    for line in evidence.items.iter().flat_map(item_lines) {
        let _ = writeln!(text, "    {line}");
    }
    text
}

fn item_lines(item: &EvidenceItem) -> Vec<String> {
    let mut lines = vec![render::clean(&item.id, 200)];
    match &item.content {
        Some(Content::Log(log)) => lines.extend(
            log.lines
                .iter()
                .map(|line| format!("  {}", render::clean(&line.text, 400))),
        ),
        Some(Content::Event(event)) => lines.push(format!(
            "  {} {} ×{}: {}",
            render::clean(&event.r#type, 20),
            render::clean(&event.reason, 60),
            event.count,
            render::clean(&event.message, 400)
        )),
        Some(Content::Change(change)) => {
            lines.push(format!(
                "  revision {} → {}",
                change.from_revision, change.to_revision
            ));
            lines.extend(change.changes.iter().map(|change| {
                format!(
                    "  {}: {} → {}",
                    render::clean(&change.path, 160),
                    render::clean(&change.before, 160),
                    render::clean(&change.after, 160)
                )
            }));
        }
        Some(Content::Node(node)) => lines.extend(node.conditions.iter().map(|condition| {
            format!(
                "  {}={} {}",
                render::clean(&condition.r#type, 60),
                render::clean(&condition.status, 20),
                render::clean(&condition.reason, 60)
            )
        })),
        Some(Content::Note(note)) => lines.push(format!("  {}", render::clean(&note.text, 400))),
        Some(Content::Object(object)) => lines.push(format!(
            "  {} bytes of JSON; see -o json",
            object.json.len()
        )),
        None => {}
    }
    lines
}
