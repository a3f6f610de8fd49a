//! Publishes what is no message of ours, with the credentials of those who may publish there: what a
//! service with a defect, or one that was taken over, could do.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::ConnectOptions;
use bonesetter_chassis::config::NatsSettings;
use bonesetter_proto::v1::{Detected, Envelope};
use bonesetter_proto::{IncidentId, Namespace, Stage, Subject};
use prost::Message as _;
use rand::Rng;

use bonesetter_demo::environment::CLUSTER;
use bonesetter_demo::scenario::SUGGEST_NAMESPACE;

use crate::fault::Garbage;

const TIMEOUT: Duration = Duration::from_secs(3);
/// Letters of an incident's id.
const ID_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
const ID_LENGTH: usize = 26;

/// Who publishes to a stage.
pub const fn writer(stage: Stage) -> &'static str {
    match stage {
        Stage::Detected => "svc-watcher",
        Stage::Enriched => "svc-enricher",
        Stage::Redacted => "svc-redactor",
        Stage::Diagnosed => "svc-llm",
        Stage::Acted | Stage::Approval | Stage::Dlq => "svc-actuator",
        Stage::Notified => "svc-notifier",
        Stage::Audit => "svc-audit-export",
        Stage::Overdue => "svc-audit-sweep",
        Stage::Redrive => "redriver",
        Stage::DiagnosedJson => "svc-notifier-publish",
    }
}

/// A step that consumers of the stage handle.
const fn step(stage: Stage) -> &'static str {
    match stage {
        Stage::Acted => "intended",
        Stage::Redrive => "enricher",
        _ => "open",
    }
}

/// A subject of an incident that there is not.
pub fn subject(stage: Stage, random: &mut impl Rng) -> anyhow::Result<Subject> {
    let id: String = (0..ID_LENGTH)
        .map(|_| char::from(ID_ALPHABET[random.random_range(0..ID_ALPHABET.len())]))
        .collect();
    Ok(Subject {
        stage,
        cluster: CLUSTER.to_owned(),
        namespace: Some(Namespace::new(SUGGEST_NAMESPACE)?),
        kind: "Deployment".to_owned(),
        incident: IncidentId::new(id)?,
        step: step(stage).to_owned(),
    })
}

/// The bytes.
pub fn payload(garbage: Garbage, subject: &Subject, random: &mut impl Rng) -> Vec<u8> {
    // Every message begins with its envelope, so these are the beginning of any of them.
    let message = |subject: String| {
        let envelope = Envelope {
            subject,
            producer: "svc-soak".to_owned(),
            ..Envelope::default()
        };
        Detected {
            envelope: Some(envelope),
            ..Detected::default()
        }
        .encode_to_vec()
    };
    match garbage {
        Garbage::Noise => (0..256).map(|_| random.random()).collect(),
        Garbage::Empty => Vec::new(),
        Garbage::Truncated => {
            let mut bytes = message(subject.to_string());
            bytes.truncate(bytes.len() / 2);
            bytes
        }
        Garbage::Moved => message(subject.to_string().replace(".v1.", ".v0.")),
        Garbage::Hollow => message(subject.to_string()),
    }
}

/// Publishes once, and waits until it is stored. Whether it was is seen in the stream: an answer can
/// be lost.
pub async fn publish(
    settings: &NatsSettings,
    subject: &Subject,
    payload: Vec<u8>,
) -> anyhow::Result<()> {
    let seed = tokio::fs::read_to_string(&settings.nkey_file).await?;
    let user = writer(subject.stage);
    let mut options = ConnectOptions::with_nkey(seed.trim().to_owned())
        .custom_inbox_prefix(format!("_INBOX_{user}"))
        .connection_timeout(TIMEOUT)
        .require_tls(true);
    if let Some(authority) = &settings.tls.ca_file {
        options = options.add_root_certificates(authority.clone());
    }
    if let (Some(certificate), Some(key)) = (&settings.tls.certificate_file, &settings.tls.key_file)
    {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    let client = options.connect(&settings.url).await?;
    let mut stream = async_nats::jetstream::new(client.clone());
    stream.set_timeout(TIMEOUT);
    let sent = stream.publish(subject.to_string(), payload.into()).await?;
    let stored = tokio::time::timeout(TIMEOUT, sent).await;
    client.drain().await?;
    stored.context("no answer in time")??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bonesetter_chassis::topology::{permissions, user};
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::fault::GARBAGE_STAGES;

    #[test]
    fn every_writer_may_publish_there() {
        let mut random = StdRng::seed_from_u64(1);
        for stage in GARBAGE_STAGES {
            let writer = user(writer(stage)).unwrap();
            let subject = subject(stage, &mut random).unwrap().to_string();
            let allowed = permissions(writer).publish;
            let fits = |pattern: &String| {
                let mut parts = subject.split('.');
                pattern.split('.').all(|token| {
                    token == ">"
                        || parts
                            .next()
                            .is_some_and(|part| token == "*" || token == part)
                })
            };
            assert!(allowed.iter().any(fits), "{subject}: {allowed:?}");
        }
    }

    #[test]
    fn only_the_hollow_one_is_a_message_under_its_subject() {
        let mut random = StdRng::seed_from_u64(1);
        let subject = subject(Stage::Detected, &mut random).unwrap();
        for garbage in Garbage::ALL {
            let bytes = payload(garbage, &subject, &mut random);
            let own = Detected::decode(&*bytes)
                .ok()
                .and_then(|message| message.envelope)
                .is_some_and(|envelope| envelope.subject == subject.to_string());
            assert_eq!(own, garbage == Garbage::Hollow, "{garbage}");
        }
    }
}
