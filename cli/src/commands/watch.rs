use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::Format;
use crate::bus::Connection;
use crate::json::event;
use crate::layout::{LINE_INDENT, fit};
use crate::ledger::{self, Ledger};
use crate::pipe;
use crate::render;
use crate::timeline::{Follower, Step};

/// Between two looks at the streams.
const INTERVAL: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    ledger: Ledger,
    /// Begin with everything that the streams, or the ledger, still hold.
    #[arg(long)]
    from_start: bool,
    /// How to print; JSON is one object a line.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let Some(client) = arguments.ledger.connect().await? {
        return ledger::watch(client, arguments.from_start, arguments.output).await;
    }
    let bus = arguments.connection.connect("operator").await?;
    let mut follower = if arguments.from_start {
        Follower::from_start(&bus)
    } else {
        Follower::from_now(&bus).await?
    };
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            _ = ticks.tick() => {}
        }
        match follower.poll().await {
            Ok(news) => {
                if !news.made_anew.is_empty() {
                    let names = news.made_anew.join(", ");
                    pipe::say_error(&format!(
                        "bonesetter: {names} made anew; what is there is shown from the first message"
                    ));
                }
                for step in news.steps {
                    if !pipe::is_printed(&line(&step, arguments.output))? {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
            }
            Err(error) => pipe::say_error(&format!("bonesetter: {error}; trying again")),
        }
    }
}

fn line(step: &Step, format: Format) -> String {
    match format {
        Format::Json => format!("{}\n", event::of_stream(step)),
        Format::Table => fit(&render::line(step), LINE_INDENT),
    }
}
