//! What the examples share: the connection.

use std::process::exit;
use std::{env, fs};

use anyhow::Context as _;
use async_nats::{Client, ConnectOptions, Event};

/// A setting out of the environment.
pub fn setting(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("{name} is not set"))
}

/// Logs in with certificate, nkey and the one inbox prefix that the tool may use.
pub async fn connect() -> anyhow::Result<Client> {
    let seed = fs::read_to_string(setting("NATS_NKEY")?).context("cannot read NATS_NKEY")?;
    let client = ConnectOptions::with_nkey(seed.trim().to_owned())
        .require_tls(true)
        .add_root_certificates(setting("NATS_CA")?.into())
        .add_client_certificate(setting("NATS_CERT")?.into(), setting("NATS_KEY")?.into())
        .custom_inbox_prefix(format!("_INBOX_external-{}", setting("BONESETTER_TOOL")?))
        .event_callback(on_event)
        .connect(setting("NATS_URL")?)
        .await?;
    Ok(client)
}

/// The server says what a user may not do here, and nowhere else: the call itself just waits.
async fn on_event(event: Event) {
    eprintln!("nats: {event}");
    if event.to_string().to_lowercase().contains("violation") {
        exit(1);
    }
}
