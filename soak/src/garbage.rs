//! Publishes what is no message of ours, with the credentials of those who may publish there: what a
//! service with a defect, or one that was taken over, could do.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::ConnectOptions;
use bonesetter_chassis::bus::with_certificates;
use bonesetter_chassis::config::NatsSettings;
use bonesetter_chassis::topology::{STREAMS, USERS, User, permissions};
use bonesetter_keys::base32;
use bonesetter_proto::v1::{Detected, Envelope};
use bonesetter_proto::{IncidentId, Namespace, Stage, Subject};
use prost::Message as _;
use rand::Rng;

use bonesetter_demo::environment::CLUSTER;
use bonesetter_demo::scenario::SUGGEST_NAMESPACE;

use crate::fault::Garbage;

const TIMEOUT: Duration = Duration::from_secs(3);
/// Letters of an incident's id.
const ID_LENGTH: usize = 26;

/// Who may publish everything of a stage; nobody where many write, each under a token of its own.
pub fn writer(stage: Stage) -> Option<&'static User> {
    let is_it = |user: &&User| permissions(user).publish.contains(&stage.filter());
    USERS.iter().find(is_it)
}

/// The stages that garbage is published to: all that have a stream and a writer.
pub fn stages() -> impl Iterator<Item = Stage> {
    let stages = STREAMS.iter().filter_map(|stream| stream.stage);
    stages.filter(|stage| writer(*stage).is_some())
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
    let id = base32(&random.random::<[u8; 17]>(), ID_LENGTH);
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

/// Publishes once as a user, and waits until it is stored. Whether it was is seen in the stream: an
/// answer can be lost.
pub async fn publish(
    settings: &NatsSettings,
    user: &User,
    subject: &Subject,
    payload: Vec<u8>,
) -> anyhow::Result<()> {
    let seed = tokio::fs::read_to_string(&settings.nkey_file).await?;
    let options = ConnectOptions::with_nkey(seed.trim().to_owned())
        .custom_inbox_prefix(user.inbox_prefix())
        .connection_timeout(TIMEOUT);
    let options = with_certificates(options, &settings.tls)?;
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
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn every_stage_with_a_stream_has_a_writer_but_that_of_dead_letters() {
        let stages: Vec<Stage> = stages().collect();
        let streams = STREAMS.iter().filter_map(|stream| stream.stage);
        let expected: Vec<Stage> = streams.filter(|stage| *stage != Stage::Dlq).collect();
        assert_eq!(stages, expected);
        for (stage, name) in [
            (Stage::Detected, "svc-watcher"),
            (Stage::Acted, "svc-actuator"),
            (Stage::Audit, "svc-audit-export"),
            (Stage::Overdue, "svc-audit-sweep"),
            (Stage::Redrive, "redriver"),
        ] {
            assert_eq!(writer(stage).unwrap().name, name);
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
