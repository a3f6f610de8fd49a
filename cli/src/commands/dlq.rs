use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Context as _;
use bonesetter_chassis::bus::{Bus, decision_subject};
use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::errors::chain;
use bonesetter_proto::v1::{Envelope, Redrive, RedriveAction};
use bonesetter_proto::{IncidentId, to_timestamp};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Format;
use crate::bus::Connection;
use crate::layout::{FIELD_INDENT, fit};
use crate::letters::{self, Entry, State};
use crate::pipe;
use crate::render::clean;

use print::{as_json, outcome, outcome_json, table, text};

mod print;

const MAX_NAME: usize = 64;
const MAX_CAUSE: usize = 300;
const MAX_REFUSAL: usize = 600;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what a consumer could not handle, the last to die first.
    List(List),
    /// Show one: the message that it refers to, why it died, and what was decided.
    Show(Show),
    /// Have the consumer handle the message again. Takes the nkey of `redriver`.
    ///
    /// Nothing is published again: the service fetches the message from its stream and handles it as
    /// if it had been delivered. What was done already is not done twice.
    Redrive(Decide),
    /// Leave the message; its dead letter is kept and no longer open. Takes the nkey of `redriver`.
    Drop(Decide),
}

/// Which.
#[derive(Debug, Args)]
struct Filter {
    /// Only those of this consumer.
    #[arg(long)]
    consumer: Option<String>,
    /// Only those that died for this reason.
    #[arg(long)]
    reason: Option<String>,
    /// Only those of this incident; the beginning of its id will do.
    #[arg(long)]
    incident: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    filter: Filter,
    /// Only those in this state; without it those that are open.
    #[arg(long, value_enum, conflicts_with = "all")]
    state: Option<State>,
    /// Those that are redriven or dropped too.
    #[arg(long)]
    all: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    connection: Connection,
    /// Its number, as `list` prints it.
    letter: u64,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Decide {
    #[command(flatten)]
    connection: Connection,
    /// Their numbers, as `list` prints them.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    letters: Vec<u64>,
    /// All that are open and fit the filter, which must say something.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    /// Why; kept with the decision.
    #[arg(long, default_value = "")]
    note: String,
    /// Also what was decided before and has not come back.
    #[arg(long)]
    again: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

impl Filter {
    const fn is_empty(&self) -> bool {
        self.consumer.is_none() && self.reason.is_none() && self.incident.is_none()
    }

    fn fits(&self, entry: &Entry) -> bool {
        let Some(newest) = entry.newest() else {
            return false;
        };
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        let is_incident = self.incident.as_ref().is_none_or(|wanted| {
            let incident = entry.incident();
            incident.is_some_and(|subject| subject.incident.as_str().starts_with(wanted))
        });
        is(&self.consumer, &newest.message.consumer)
            && is(&self.reason, &newest.message.reason)
            && is_incident
    }
}

pub(crate) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(arguments) => list(arguments).await,
        Command::Show(arguments) => show(arguments).await,
        Command::Redrive(arguments) => decide(arguments, RedriveAction::Handle).await,
        Command::Drop(arguments) => decide(arguments, RedriveAction::Drop).await,
    }
}

async fn list(arguments: List) -> anyhow::Result<ExitCode> {
    let bus = arguments.connection.connect("operator").await?;
    let (mut entries, _) = letters::read(&bus).await?;
    let state = arguments.state.unwrap_or(State::Open);
    entries
        .retain(|entry| arguments.filter.fits(entry) && (arguments.all || entry.state() == state));
    match arguments.output {
        Format::Json => {
            let list: Vec<Value> = entries.iter().map(as_json).collect();
            pipe::print(&format!("{}\n", serde_json::to_string_pretty(&list)?))?;
        }
        Format::Table if entries.is_empty() => {
            let which = if arguments.all { "" } else { state.as_str() };
            pipe::print(
                format!("no {which} dead letters\n")
                    .replace("  ", " ")
                    .as_str(),
            )?;
        }
        Format::Table => pipe::print(&table(&entries, Clock::system().now()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The entry that has a letter of that number.
fn find(entries: &[Entry], number: u64) -> anyhow::Result<&Entry> {
    let has = |entry: &&Entry| entry.letters.iter().any(|letter| letter.sequence == number);
    entries.iter().find(has).with_context(|| {
        format!("there is no dead letter {number}; `bonesetter dlq list --all` lists them")
    })
}

async fn show(arguments: Show) -> anyhow::Result<ExitCode> {
    let bus = arguments.connection.connect("operator").await?;
    let (entries, _) = letters::read(&bus).await?;
    let entry = find(&entries, arguments.letter)?;
    let is_there = entry.is_there(&bus).await?;
    match arguments.output {
        Format::Json => {
            let mut value = as_json(entry);
            value["message_is_there"] = json!(is_there);
            pipe::print(&format!("{}\n", serde_json::to_string_pretty(&value)?))?;
        }
        Format::Table => pipe::print(&fit(&text(entry, is_there), FIELD_INDENT))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn decide(arguments: Decide, action: RedriveAction) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        !arguments.all || !arguments.filter.is_empty(),
        "--all needs --consumer, --reason or --incident"
    );
    let bus = arguments.connection.connect("redriver").await?;
    let (entries, mut newest) = letters::read(&bus).await?;
    let mut chosen: Vec<&Entry> = if arguments.all {
        let is_meant = |entry: &&Entry| {
            arguments.filter.fits(entry) && (arguments.again || entry.state() == State::Open)
        };
        entries.iter().rev().filter(is_meant).collect()
    } else {
        let numbers = arguments.letters.iter();
        numbers
            .map(|number| find(&entries, *number))
            .collect::<Result<_, _>>()?
    };
    // Several letters may be of one entry, which is decided about once.
    let mut numbers = BTreeSet::new();
    chosen.retain(|entry| numbers.insert(entry.number()));
    if chosen.is_empty() && arguments.output == Format::Table {
        pipe::print("no open dead letters fit the filter\n")?;
    }
    let mut outcomes = Vec::new();
    let mut refusals = Vec::new();
    for entry in &chosen {
        let decided = one(&bus, entry, action, &arguments, &mut newest).await;
        match (arguments.output, &decided) {
            (Format::Json, _) => outcomes.push(outcome_json(entry, action, &decided)),
            (Format::Table, Ok(_)) => pipe::print(&outcome(entry, action))?,
            (Format::Table, Err(_)) => {}
        }
        refusals.extend(decided.err());
    }
    if arguments.output == Format::Json {
        pipe::print(&format!("{}\n", serde_json::to_string_pretty(&outcomes)?))?;
    }
    refused(chosen.len(), refusals)
}

/// How it ends when some of so many decisions were refused.
fn refused(of: usize, mut refusals: Vec<anyhow::Error>) -> anyhow::Result<ExitCode> {
    if of == 1
        && let Some(error) = refusals.pop()
    {
        return Err(error);
    }
    for error in &refusals {
        let text = clean(&chain(error), MAX_REFUSAL);
        pipe::say_error(&format!("bonesetter: {text}"));
    }
    anyhow::ensure!(
        refusals.is_empty(),
        "{} of {of} were refused",
        refusals.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// Decides about one; returns the place of the decision in its stream.
async fn one(
    bus: &Bus,
    entry: &Entry,
    action: RedriveAction,
    arguments: &Decide,
    newest: &mut BTreeMap<IncidentId, u64>,
) -> anyhow::Result<u64> {
    let number = entry.number();
    let letter = &entry.newest().context("an entry without a letter")?.message;
    let state = entry.state();
    anyhow::ensure!(
        state == State::Open || arguments.again,
        "dead letter {number} is {} already and has not come back; --again decides once more",
        state.as_str()
    );
    if action == RedriveAction::Handle {
        anyhow::ensure!(
            entry.consumer().is_some(),
            "dead letter {number} is of {:?}, which cannot be asked to handle a message again; \
             `bonesetter dlq drop {number}` leaves it",
            letter.consumer
        );
        anyhow::ensure!(
            entry.is_there(bus).await? != Some(false),
            "message {} is no longer in {}; `bonesetter dlq drop {number}` leaves it",
            letter.sequence,
            letter.stream
        );
    }
    let about = entry
        .about()
        .context("the dead letter has no subject of ours")?;
    let subject = decision_subject(&about, action, &letter.consumer);
    let decision = Redrive {
        envelope: Some(Envelope {
            caused_by: entry
                .newest()
                .map(|it| it.subject.clone())
                .unwrap_or_default(),
            ..Envelope::default()
        }),
        stream: letter.stream.clone(),
        sequence: letter.sequence,
        consumer: letter.consumer.clone(),
        letter: number,
        action: action.into(),
        note: arguments.note.clone(),
        stored_at: entry.stored_at.map(to_timestamp),
    };
    let last = newest.get(&subject.incident).copied().unwrap_or(0);
    let stored = bus
        .decide(&Clock::system(), &subject, decision, last)
        .await
        .with_context(|| format!("dead letter {number}"))?;
    newest.insert(subject.incident, stored);
    Ok(stored)
}
