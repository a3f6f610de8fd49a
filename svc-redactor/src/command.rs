//! What the commands beside the service have in common: they read the raw evidence of an incident again.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use bonesetter_chassis::bus::{Bus, StoredMessage, StreamReader};
use bonesetter_chassis::errors::chain;
use bonesetter_chassis::topology::ENRICHED;
use bonesetter_keys::SealingKeys;
use bonesetter_proto::v1::{Enriched, Evidence};
use bonesetter_proto::{IncidentId, Message as _, Stage};
use prost::Message as _;

use crate::run::quiet_panics;
use crate::stage::open;

/// The `main` of a command.
pub(crate) fn main(name: &str, command: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    quiet_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(error).context("cannot start"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere left to say that this failed.
            let _ = writeln!(std::io::stderr(), "svc-redactor {name}: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The raw evidence of an incident as it is stored.
pub(crate) async fn stored(bus: Bus, id: &IncidentId) -> anyhow::Result<Vec<StoredMessage>> {
    let reader = StreamReader::new(bus, ENRICHED.name);
    Ok(reader.all(&Stage::Enriched.incident_filter(id)).await?)
}

/// What is said where there is none.
pub(crate) fn nothing_stored(id: &IncidentId) -> String {
    format!("no raw evidence of {id} is stored; it is kept for two days")
}

/// A stored message, and what was sealed in it.
pub(crate) fn opened(
    seal: &SealingKeys,
    message: &StoredMessage,
) -> anyhow::Result<(Enriched, Evidence)> {
    let enriched =
        Enriched::decode(message.payload.clone()).context("a stored message cannot be read")?;
    let envelope = enriched.envelope();
    ensure!(
        envelope.is_some_and(|envelope| envelope.subject == message.subject),
        "a stored message names another subject than its own"
    );
    let raw = open(seal, &message.subject, &enriched)?;
    Ok((enriched, raw))
}
