use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use bonesetter_chassis::bus::{
    Drift, Provisioned, ProvisionedExternal, drift, drift_external, provision, provision_copies,
    provision_external,
};
use bonesetter_chassis::topology::ExternalUser;
use clap::Args;
use serde_json::{Value, json};

use super::Format;
use crate::bus::Connection;
use crate::layout;
use crate::pipe;
use crate::render::clean;

/// There is drift.
const DRIFT: u8 = 2;
const MAX_VALUE: usize = 200;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// File with the nkey seed of `provisioner-external`: provision the copies for external tools too.
    #[arg(long, env = "BONESETTER_EXTERNAL_NKEY_FILE")]
    external_nkey_file: Option<PathBuf>,
    /// List of external tools, as `bonesetter deploy nats` has it: make their consumers, and delete those
    /// that no tool has any more. Without it consumers stay as they are.
    #[arg(long, value_name = "FILE", requires = "external_nkey_file")]
    external: Option<PathBuf>,
    /// Change nothing; print what is missing, differs, or is there and should not be.
    ///
    /// Exits 2 when there is drift, 0 when there is none, 1 on error. The account of external tools is
    /// compared with --external-nkey-file, and with --external the consumers of the tools too.
    #[arg(long)]
    diff: bool,
    /// How to print what was done, or the difference.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments {
        connection,
        external_nkey_file,
        external: list,
        diff,
        output,
    } = arguments;
    let tools = list.map(|list| ExternalUser::read(&list)).transpose()?;
    let bus = connection.connect("provisioner").await?;
    let outside = match external_nkey_file {
        Some(file) => {
            let connection = connection.with_nkey_file(file);
            Some(connection.connect("provisioner-external").await?)
        }
        None => None,
    };
    if diff {
        let mut found = drift(&bus).await?;
        if let Some(outside) = outside {
            found.extend(drift_external(&outside, tools.as_deref()).await?);
        }
        return print(&found, output);
    }
    let done = provision(&bus).await?;
    let external = match (outside, tools) {
        (Some(outside), Some(tools)) => Some(provision_external(&outside, &tools).await?),
        (Some(outside), None) => Some(provision_copies(&outside).await?),
        (None, _) => None,
    };
    pipe::print(&match output {
        Format::Json => {
            let done = serde_json::to_string_pretty(&as_json(done, external))?;
            format!("{done}\n")
        }
        Format::Table => text(done, external),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text(done: Provisioned, external: Option<ProvisionedExternal>) -> String {
    let mut text = format!(
        "provisioned {} streams, {} consumers, {} buckets\n",
        done.streams, done.consumers, done.buckets
    );
    if let Some(ProvisionedExternal {
        copies,
        consumers,
        deleted,
    }) = external
    {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "provisioned {copies} copies for external tools, which are fed, and {consumers} consumers; \
             deleted {deleted} consumers"
        );
    }
    text
}

/// The fields are described in `docs/output.md`.
fn as_json(done: Provisioned, external: Option<ProvisionedExternal>) -> Value {
    json!({
        "streams": done.streams,
        "consumers": done.consumers,
        "buckets": done.buckets,
        "external": external.map(|done| json!({
            "copies": done.copies,
            "consumers": done.consumers,
            "deleted": done.deleted,
        })),
    })
}

fn print(drift: &[Drift], format: Format) -> anyhow::Result<ExitCode> {
    match format {
        Format::Json => pipe::print(&format!("{}\n", serde_json::to_string_pretty(drift)?))?,
        Format::Table if drift.is_empty() => {
            pipe::print("no drift: streams, consumers and buckets are as they should be\n")?;
        }
        Format::Table => pipe::print(&format!("{}\n", table(drift)))?,
    }
    Ok(if drift.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DRIFT)
    })
}

fn table(drift: &[Drift]) -> comfy_table::Table {
    let mut table = layout::table(["DRIFT", "WHAT", "FIELD", "WANTED", "FOUND"], &[0, 1, 2]);
    for one in drift {
        let none = String::new();
        table.add_row(match one {
            Drift::Missing { what } => [
                "missing".to_owned(),
                what.clone(),
                none.clone(),
                none.clone(),
                none,
            ],
            Drift::Unknown { what } => [
                "unknown".to_owned(),
                clean(what, MAX_VALUE),
                none.clone(),
                none.clone(),
                none,
            ],
            Drift::Differs {
                what,
                field,
                wanted,
                found,
            } => [
                "differs".to_owned(),
                what.clone(),
                clean(field, MAX_VALUE),
                value(field, wanted),
                value(field, found),
            ],
        });
    }
    table
}

/// Fields that the server writes in nanoseconds.
const DURATIONS: [&str; 4] = [
    "max_age",
    "duplicate_window",
    "ack_wait",
    "inactive_threshold",
];

fn value(field: &str, value: &Value) -> String {
    match (value, value.as_u64()) {
        (Value::Null, _) => "(default)".to_owned(),
        (_, Some(nanos)) if DURATIONS.contains(&field) => {
            format!("{:?}", std::time::Duration::from_nanos(nanos))
        }
        _ => clean(&value.to_string(), MAX_VALUE),
    }
}
