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
use bonesetter_chassis::bus::{Bus, StreamReader};
use bonesetter_chassis::config::{Common, KeySettings, NatsSettings, load};
use bonesetter_chassis::errors::chain;
use bonesetter_chassis::topology::{self, ENRICHED};
use bonesetter_keys::{DigestKey, SealingKeys};
use bonesetter_proto::v1::Enriched;
use bonesetter_proto::{IncidentId, Message as _, Stage};
use clap::Parser as _;
use prost::Message as _;
use serde_json::json;

use crate::block;
use crate::config::Config;
use crate::own_rules;
use crate::run::quiet_panics;
use crate::stage::{open, redact};

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
    quiet_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(&arguments)),
        Err(error) => Err(error).context("cannot start"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere left to say that this failed.
            let _ = writeln!(std::io::stderr(), "svc-redactor replay: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let id = IncidentId::new(arguments.incident.as_str())?;
    let (common, config): (Common, Config) = load(arguments.config.as_deref())?;
    let evidence = KeySettings::require("evidence_file", common.keys.evidence_file.as_ref())?;
    let digest = KeySettings::require("digest_file", common.keys.digest_file.as_ref())?;
    let seal = SealingKeys::read(evidence).context("keys.evidence_file")?;
    let digest = DigestKey::read(digest).context("keys.digest_file")?;
    let own = arguments.rules.as_ref().or(config.rules_file.as_ref());
    let redactor = own_rules::redactor(own.map(PathBuf::as_path))?;
    let user = topology::user(USER).context("the user is not in the table")?;
    let settings = NatsSettings {
        nkey_file: arguments.nkey_file.clone(),
        ..common.nats
    };
    let bus = Bus::connect(&settings, user).await?;
    let reader = StreamReader::new(bus, ENRICHED.name);
    let stored = reader.all(&Stage::Enriched.incident_filter(&id)).await?;
    ensure!(
        !stored.is_empty(),
        "no raw evidence of {id} is stored; it is kept for two days"
    );
    for message in stored {
        let enriched =
            Enriched::decode(message.payload.clone()).context("a stored message cannot be read")?;
        let is_its_own = enriched
            .envelope()
            .is_some_and(|envelope| envelope.subject == message.subject);
        ensure!(
            is_its_own,
            "a stored message names another subject than its own"
        );
        let mut raw = open(&seal, &message.subject, &enriched)?;
        block::withhold(&mut raw, &config.block);
        let (redacted, session) = redact(&redactor, &digest, &enriched, raw).await?;
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
