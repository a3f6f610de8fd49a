use std::process::ExitCode;
use std::time::SystemTime;

use bonesetter_chassis::clock::{Clock, rfc3339};
use bonesetter_proto::Namespace;
use bonesetter_proto::v1::{Awaited, Step as ActedStep};
use clap::Args;
use comfy_table::Table;
use serde_json::{Value, json};

use super::Format;
use crate::bus::Connection;
use crate::layout;
use crate::ledger::{self, Ledger};
use crate::overview::{Overview, overviews};
use crate::pipe;
use crate::render;

/// Stands behind the state of an incident whose detection is no longer there.
const MARK: &str = "*";
const NOTE: &str =
    "* its detection is no longer there, nor whether it was resolved; what came of it is\n";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    ledger: Ledger,
    /// Only those that are not resolved; without those of which that is not known any more.
    #[arg(long)]
    open: bool,
    /// Only those of this namespace.
    #[arg(long, short)]
    namespace: Option<String>,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let Some(mut client) = arguments.ledger.connect().await? {
        let namespace = arguments.namespace.unwrap_or_default();
        let list = ledger::list(&mut client, namespace, arguments.open).await?;
        ledger::print_list(&list, arguments.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let bus = arguments.connection.connect("operator").await?;
    let mut overviews = overviews(&bus).await?;
    overviews.retain(|overview| {
        let namespace = overview
            .subject
            .namespace
            .as_ref()
            .map_or("", |name| name.as_str());
        arguments
            .namespace
            .as_ref()
            .is_none_or(|wanted| wanted == namespace)
            && !(arguments.open && overview.is_resolved() != Some(false))
    });
    match arguments.output {
        Format::Json => {
            let list: Vec<Value> = overviews.iter().map(as_json).collect();
            pipe::print(&format!("{}\n", serde_json::to_string_pretty(&list)?))?;
        }
        Format::Table if overviews.is_empty() => {
            pipe::print("no incidents\n")?;
        }
        Format::Table => {
            let table = table(&overviews, Clock::system().now());
            let is_past = |overview: &Overview| overview.phase.is_none();
            let note = if overviews.iter().any(is_past) {
                NOTE
            } else {
                ""
            };
            pipe::print(&format!("{table}\n{note}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(overviews: &[Overview], now: SystemTime) -> Table {
    let mut table = layout::table(
        ["ID", "WORKLOAD", "CLASS", "STATE", "AGE", "DIAGNOSIS"],
        &[0, 1, 2, 3],
    );
    for overview in overviews {
        let age = now.duration_since(overview.opened_at).unwrap_or_default();
        table.add_row([
            overview.subject.incident.as_str().chars().take(8).collect(),
            render::workload(overview.incident.as_ref()),
            render::class(overview.failure_class).to_owned(),
            marked(overview),
            render::age(age),
            summary(overview),
        ]);
    }
    table
}

fn summary(overview: &Overview) -> String {
    overview
        .diagnosed
        .as_ref()
        .map_or_else(|| not_diagnosed(overview), render::summary)
}

fn not_diagnosed(overview: &Overview) -> String {
    let awaited = overview
        .overdue
        .as_ref()
        .map_or(Awaited::Diagnosis, |(_, overdue)| overdue.awaited());
    render::awaited(awaited).to_owned()
}

fn marked(overview: &Overview) -> String {
    let mark = overview.phase.map_or(MARK, |_| "");
    format!("{}{mark}", state(overview))
}

/// Where the incident stands, in a word.
fn state(overview: &Overview) -> &'static str {
    if overview.is_resolved() == Some(true) {
        return "resolved";
    }
    if overview.overdue.is_some() {
        return "overdue";
    }
    match overview
        .acted
        .as_ref()
        .map(bonesetter_proto::v1::Acted::step)
    {
        Some(ActedStep::Intended | ActedStep::Applied) => "mending",
        Some(ActedStep::Verified) => "mended",
        Some(ActedStep::RolledBack) => "taken back",
        Some(ActedStep::Stuck | ActedStep::Refused) => "needs a person",
        Some(ActedStep::Proposed) if has_remedy(overview) => "suggested",
        Some(ActedStep::Proposed) => "explained",
        Some(ActedStep::Unspecified) | None => "open",
    }
}

fn has_remedy(overview: &Overview) -> bool {
    let change = overview
        .acted
        .as_ref()
        .and_then(|acted| acted.change.as_ref());
    change.is_some_and(|change| change.remedy.is_some())
}

/// The stable name of the cause; empty where there is none.
fn cause(overview: &Overview) -> &str {
    let diagnosed = overview.diagnosed.as_ref();
    let diagnosis = diagnosed.and_then(|diagnosed| diagnosed.diagnosis.as_ref());
    diagnosis.map_or("", |diagnosis| &diagnosis.cause)
}

/// The same fields as the ledger's, which knows no texts; the streams count no events.
pub(super) fn as_json(overview: &Overview) -> Value {
    let owner = overview
        .incident
        .as_ref()
        .and_then(|incident| incident.root_owner.as_ref());
    json!({
        "id": overview.subject.incident.as_str(),
        "cluster": overview.subject.cluster,
        "namespace": overview.subject.namespace.as_ref().map(Namespace::as_str),
        "kind": overview.subject.kind,
        "name": owner.map(|owner| &owner.name),
        "class": render::class(overview.failure_class),
        "state": state(overview),
        "resolved": overview.is_resolved(),
        "opened_at": rfc3339(overview.opened_at),
        "last_at": rfc3339(overview.last_at),
        "resolved_at": (overview.is_resolved() == Some(true)).then(|| rfc3339(overview.last_at)),
        "overdue": overview.overdue.is_some(),
        "awaited": overview.overdue.as_ref().map(|(_, it)| render::awaited(it.awaited())),
        "cause": cause(overview),
        "summary": summary(overview),
        "events": null,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::UNIX_EPOCH;

    use bonesetter_proto::v1::{FailureClass, IncidentSummary};

    use super::*;

    #[test]
    fn programs_read_the_same_fields_from_the_streams_and_from_the_ledger() {
        let subject = "bonesetter.v1.detected.c.shop.Deployment.aaaaaaaaaaaaaaaaaaaaaaaaaa.open";
        let overview = Overview {
            subject: subject.parse().unwrap(),
            incident: None,
            failure_class: FailureClass::Unspecified,
            phase: None,
            opened_at: UNIX_EPOCH,
            last_at: UNIX_EPOCH,
            diagnosed: None,
            acted: None,
            overdue: None,
        };
        let fields = |value: Value| -> BTreeSet<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let of_ledger = ledger::as_json(&IncidentSummary::default());
        assert_eq!(fields(as_json(&overview)), fields(of_ledger));
    }
}
