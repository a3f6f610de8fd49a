//! How what the ledger answers looks.

use std::fmt::Write as _;

use bonesetter_chassis::clock::{Clock, rfc3339};
use bonesetter_proto::from_timestamp;
use bonesetter_proto::v1::{
    GetIncidentResponse, Incident, IncidentEvent, IncidentState, IncidentSummary, ObjectRef,
};
use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::commands::Format;
use crate::json::event;
use crate::layout::{self, LINE_INDENT, fit};
use crate::pipe;
use crate::render;

/// Letters of an id in a table.
const SHORT: usize = 8;

pub(crate) fn print_list(list: &[IncidentSummary], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => {
            let list: Vec<Value> = list.iter().map(as_json).collect();
            pipe::print(&format!("{}\n", serde_json::to_string_pretty(&list)?))?;
        }
        Format::Table if list.is_empty() => pipe::print("no incidents\n")?,
        Format::Table => {
            let mut table = layout::table(
                ["ID", "WORKLOAD", "CLASS", "STATE", "AGE", "CAUSE"],
                &[0, 1, 2, 3],
            );
            let now = Clock::system().now();
            for incident in list {
                let opened = incident.opened_at.as_ref().and_then(from_timestamp);
                let age = opened.and_then(|opened| now.duration_since(opened).ok());
                table.add_row([
                    incident.id.chars().take(SHORT).collect(),
                    workload(incident),
                    render::class(incident.failure_class()).to_owned(),
                    state(incident).to_owned(),
                    age.map(render::age).unwrap_or_default(),
                    cause(incident),
                ]);
            }
            pipe::print(&format!("{table}\n"))?;
        }
    }
    Ok(())
}

pub(crate) fn print_one(found: &GetIncidentResponse, format: Format) -> anyhow::Result<()> {
    let incident = found.incident.clone().unwrap_or_default();
    if matches!(format, Format::Json) {
        let events: Vec<Value> = found.events.iter().map(event::of_ledger).collect();
        let value = json!({"incident": as_json(&incident), "events": events});
        pipe::print(&format!("{}\n", serde_json::to_string_pretty(&value)?))?;
        return Ok(());
    }
    let mut text = format!(
        "Incident {}\n{}, {}, {}",
        render::clean(&incident.id, 64),
        workload(&incident),
        render::class(incident.failure_class()),
        state(&incident)
    );
    if !incident.cause.is_empty() {
        let _ = write!(text, ", {}", cause(&incident));
    }
    text.push_str("\n\n");
    for event in &found.events {
        text.push_str(&line(event, Format::Table));
    }
    pipe::print(&text)?;
    Ok(())
}

/// One line per event.
pub(super) fn line(event: &IncidentEvent, format: Format) -> String {
    match format {
        Format::Json => format!("{}\n", event::of_ledger(event)),
        Format::Table => fit(&words(event), LINE_INDENT),
    }
}

fn words(event: &IncidentEvent) -> String {
    let at = event.stored_at.as_ref().and_then(from_timestamp);
    let mut text = format!(
        "{:>9}  {}  {}  {:<22} {}",
        event.sequence,
        at.map(rfc3339).unwrap_or_default(),
        render::clean(&event.incident_id, SHORT),
        render::clean(&event.event_type, 40),
        render::clean(&event.writer, 64),
    );
    if !event.conclusion.is_empty() {
        let _ = write!(text, "  {}", render::clean(&event.conclusion, 64));
    }
    if !event.failure_reason.is_empty() {
        let _ = write!(text, "  ({})", render::clean(&event.failure_reason, 512));
    }
    text.push('\n');
    text
}

fn workload(incident: &IncidentSummary) -> String {
    render::workload(Some(&Incident {
        root_owner: Some(ObjectRef {
            kind: incident.kind.clone(),
            namespace: incident.namespace.clone(),
            name: incident.name.clone(),
            ..ObjectRef::default()
        }),
        ..Incident::default()
    }))
}

fn cause(incident: &IncidentSummary) -> String {
    render::clean(&incident.cause, 64)
}

/// As the listing of the streams says it.
fn state(incident: &IncidentSummary) -> &'static str {
    match incident.state() {
        IncidentState::Resolved => "resolved",
        _ if incident.overdue => "overdue",
        IncidentState::Unspecified => "unknown",
        IncidentState::Open => "open",
        IncidentState::Proposed => "explained",
        IncidentState::Mending => "mending",
        IncidentState::Mended => "mended",
        IncidentState::RolledBack => "taken back",
        IncidentState::NeedsPerson => "needs a person",
    }
}

fn time(at: Option<&Timestamp>) -> Option<String> {
    at.and_then(from_timestamp).map(rfc3339)
}

/// The same fields as of the streams' listing; texts are not in the ledger.
pub(crate) fn as_json(incident: &IncidentSummary) -> Value {
    json!({
        "id": incident.id,
        "cluster": incident.cluster,
        "namespace": (!incident.namespace.is_empty()).then_some(&incident.namespace),
        "kind": incident.kind,
        "name": incident.name,
        "class": render::class(incident.failure_class()),
        "state": state(incident),
        "resolved": incident.state() == IncidentState::Resolved,
        "overdue": incident.overdue,
        "awaited": null,
        "opened_at": time(incident.opened_at.as_ref()),
        "last_at": time(incident.last_at.as_ref()),
        "resolved_at": time(incident.resolved_at.as_ref()),
        "cause": incident.cause,
        "summary": null,
        "events": incident.events,
    })
}
