//! Prints every diagnosis of a namespace that is kept, then each new one: protobuf, signature verified.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, AckKind, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_keys::{Signature, VerifyingKeys};
use bonesetter_proto::v1::Diagnosed;
use futures::StreamExt as _;
use subscriber::{connect, setting};

/// When to look again at what is not signed: it may be that only the new key is not here yet.
const LATER: Duration = Duration::from_mins(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (tool, namespace) = (
        setting("BONESETTER_TOOL")?,
        setting("BONESETTER_NAMESPACE")?,
    );
    // Reads them again when it meets a key that it does not know.
    let trusted = VerifyingKeys::read(Path::new(&setting("BONESETTER_TRUSTED")?))?;
    // There is one consumer for each tool and namespace. It goes on behind what was acknowledged.
    let consumer: PullConsumer = jetstream::new(connect().await?)
        .get_consumer_from_stream(format!("{tool}_{namespace}"), "EXTERNAL_DIAGNOSED")
        .await?;
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(10)
        .messages()
        .await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let acknowledgement = match verified(&trusted, &message) {
            Ok(diagnosed) => {
                print(&diagnosed);
                AckKind::Ack
            }
            Err(error) => {
                eprintln!("not signed by svc-llm: {}: {error}", message.subject);
                AckKind::Nak(Some(LATER))
            }
        };
        // Only now: what is not acknowledged comes again.
        let acknowledged = message.double_ack_with(acknowledgement).await;
        acknowledged.map_err(anyhow::Error::from_boxed)?;
    }
    Ok(())
}

/// The diagnosis, if svc-llm has signed exactly these bytes for exactly this subject.
fn verified(trusted: &VerifyingKeys, message: &Message) -> anyhow::Result<Diagnosed> {
    let header = |name| {
        let value = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(name));
        value.map_or("", |value| value.as_str())
    };
    let signature = Signature {
        key_id: header("bonesetter-key-id").to_owned(),
        bytes: STANDARD.decode(header("bonesetter-sig"))?,
    };
    let verified = trusted.verify(&message.subject, &message.payload, &signature)?;
    Ok(verified.into_inner())
}

fn print(diagnosed: &Diagnosed) {
    let incident = diagnosed.incident.clone().unwrap_or_default();
    let owner = incident.root_owner.unwrap_or_default();
    let summary = diagnosed
        .diagnosis
        .as_ref()
        .map_or("", |it| it.summary.as_str());
    let workload = format!("{}/{}/{}", owner.namespace, owner.kind, owner.name);
    println!("{} {workload} {summary}", incident.id);
}
