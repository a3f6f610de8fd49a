//! `svc-redactor replay`: redacts the raw evidence of an incident once more, with other rules
//! of an installation.
//!
//! Runs where the key is, inside the boundary. What leaves, on standard output, has gone through the same
//! redaction and the same egress check as everything that the service publishes: one JSON object a line, with the
//! `redacted` message as protobuf in base64, without envelope and unsigned. Its user on the bus can get sealed messages
//! and nothing else, so it publishes nothing. Raw evidence is kept for two days.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_chassis::bus::Bus;
use bonesetter_chassis::config::{Common, NatsSettings, load};
use bonesetter_chassis::topology;
use bonesetter_proto::IncidentId;
use clap::Parser as _;
use prost::Message as _;
use serde_json::json;

use crate::command;
use crate::config::Config;
use crate::own_rules;
use crate::run::keys;
use crate::stage::redact;

/// The user on the bus.
pub const USER: &str = "svc-redactor-replay";

/// Redact the raw evidence of an incident once more, and print the result.
#[derive(Debug, clap::Parser)]
#[command(name = "svc-redactor replay")]
struct Arguments {
    /// Configuration file (YAML) of svc-redactor.
    #[arg(long, env = "BONESETTER_CONFIG")]
    config: Option<PathBuf>,
    /// File with the nkey seed of the user svc-redactor-replay.
    #[arg(long, env = "BONESETTER_REPLAY_NKEY_FILE")]
    nkey_file: PathBuf,
    /// YAML file with rules that are added to ours, in the form of `rules.yaml` of bonesetter-redact, in the
    /// place of those of the configuration.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// The incident's id, all 26 characters.
    incident: String,
}

/// The `main` of the mode; the first argument has been looked at.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse_from(std::env::args_os().skip(1));
    command::main("replay", run(&arguments))
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let id = IncidentId::new(arguments.incident.as_str())?;
    let (common, mut config): (Common, Config) = load(arguments.config.as_deref())?;
    let (seal, digest) = keys(&common.keys)?;
    if arguments.rules.is_some() {
        config.rules_file.clone_from(&arguments.rules);
    }
    let redactor = own_rules::redactor(&config)?;
    let user = topology::user(USER).context("the user is not in the table")?;
    let settings = NatsSettings {
        nkey_file: arguments.nkey_file.clone(),
        ..common.nats
    };
    let bus = Bus::connect(&settings, user).await?;
    let stored = command::stored(bus, &id).await?;
    ensure!(!stored.is_empty(), command::nothing_stored(&id));
    for message in stored {
        let (enriched, raw) = command::opened(&seal, &message)?;
        let (redacted, session) = redact(&redactor, &digest, &enriched, raw, &config.block).await?;
        let bytes = redacted.encode_to_vec();
        session.egress_check(&bytes)?;
        let line = json!({
            "subject": message.subject,
            "sequence": message.sequence,
            "redacted": STANDARD.encode(bytes),
        });
        writeln!(std::io::stdout(), "{line}").context("cannot write the result")?;
    }
    Ok(())
}
