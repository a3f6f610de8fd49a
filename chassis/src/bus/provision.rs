use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use super::Bus;
use crate::topology::{
    BUCKETS, BucketSpec, ConsumerSpec, MAX_MESSAGE_BYTES, STREAMS, StreamSpec, consumers,
};

/// JetStream's own window for message ids; the unique subject protects beyond it.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// Pulls that may be open on one consumer over all replicas.
pub(super) const MAX_WAITING: i64 = 512;

/// Who may.
pub(super) const USER: &str = "provisioner";

/// What could not be created or changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot provision {what}: {reason}")]
pub struct ProvisionError {
    what: String,
    reason: String,
}

impl ProvisionError {
    /// A refusal comes as an event of its own, and as a timeout here.
    pub(super) fn new(bus: &Bus, what: String, error: &async_nats::Error) -> Self {
        Self::as_user(bus, what, error, USER)
    }

    pub(super) fn as_user(bus: &Bus, what: String, error: &async_nats::Error, user: &str) -> Self {
        // Where the answer cannot be listened for it is another user's inbox.
        let refusal = bus
            .violations
            .take_of("$JS.API.")
            .or_else(|| bus.violations.take_of("_INBOX_"));
        let reason = match refusal {
            Some(refusal) => format!("{refusal}; this takes the nkey of the user {user:?}"),
            None => error.to_string(),
        };
        Self { what, reason }
    }

    pub(super) const fn saying(what: String, reason: String) -> Self {
        Self { what, reason }
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// Streams that are as the table says.
    pub streams: usize,
    /// Durable consumers that are as the table says.
    pub consumers: usize,
    /// Buckets that are as the table says.
    pub buckets: usize,
}

/// Creates or updates everything in the topology. May be repeated at any time; nothing is deleted.
pub async fn provision(bus: &Bus) -> Result<Provisioned, ProvisionError> {
    provision_small(bus, i64::MAX).await
}

/// As [`provision`], but no stream may grow beyond so many bytes: for a machine with a small disk, and
/// for tests of what happens when streams are full.
pub async fn provision_small(bus: &Bus, max_bytes: i64) -> Result<Provisioned, ProvisionError> {
    for stream in STREAMS {
        let stream = &StreamSpec {
            max_bytes: stream.max_bytes.min(max_bytes),
            ..*stream
        };
        bus.js
            .create_or_update_stream(stream_config(stream))
            .await
            .map_err(|error| {
                ProvisionError::new(bus, format!("stream {}", stream.name), &error.into())
            })?;
    }
    let mut paused = Vec::new();
    for consumer in consumers() {
        if create_consumer(bus, consumer).await? {
            paused.push(consumer);
        }
    }
    for bucket in BUCKETS {
        create_bucket(bus, bucket).await?;
    }
    check_paused(&paused)?;
    Ok(Provisioned {
        streams: STREAMS.len(),
        consumers: consumers().count(),
        buckets: BUCKETS.len(),
    })
}

/// Returns whether somebody has paused it, which an update leaves so: who pulls from it is told that there is
/// nothing.
async fn create_consumer(bus: &Bus, consumer: &ConsumerSpec) -> Result<bool, ProvisionError> {
    let (name, stream) = (consumer.name, consumer.stream.name);
    let created = bus
        .js
        .create_consumer_on_stream(consumer_config(consumer), stream)
        .await
        .map_err(|error| {
            let what = format!("consumer {name} of {stream}");
            ProvisionError::new(bus, what, &error.into())
        })?;
    Ok(created.cached_info().paused)
}

/// Everything else is as it should be.
fn check_paused(paused: &[&ConsumerSpec]) -> Result<(), ProvisionError> {
    let Some(first) = paused.first() else {
        return Ok(());
    };
    let names: Vec<&str> = paused.iter().map(|consumer| consumer.name).collect();
    let what = format!("consumers {}", names.join(", "));
    let reason = format!(
        "somebody has paused them, and no right of ours ends that; who may do everything in the account does, \
         with `nats consumer resume {} {}`",
        first.stream.name, first.name
    );
    Err(ProvisionError::saying(what, reason))
}

async fn create_bucket(bus: &Bus, bucket: &BucketSpec) -> Result<(), ProvisionError> {
    bus.js
        .create_or_update_stream(bucket_config(bucket))
        .await
        .map(|_| ())
        .map_err(|error| ProvisionError::new(bus, format!("bucket {}", bucket.name), &error.into()))
}

pub(super) fn stream_config(stream: &StreamSpec) -> Config {
    Config {
        name: stream.name.to_owned(),
        subjects: stream.subjects(),
        retention: RetentionPolicy::Limits,
        discard: if stream.forgets_oldest() {
            DiscardPolicy::Old
        } else {
            DiscardPolicy::New
        },
        storage: StorageType::File,
        max_age: stream.max_age,
        max_bytes: stream.max_bytes,
        max_message_size: MAX_MESSAGE_BYTES,
        duplicate_window: DUPLICATE_WINDOW,
        deny_delete: stream.deny_delete,
        num_replicas: 1,
        ..Config::default()
    }
}

/// The stream by which the server keeps a bucket.
/// Source: ADR-8, "JetStream based Key-Value Stores"; for marks that go by themselves ADR-48, "Key-Value TTL".
pub(super) fn bucket_config(bucket: &BucketSpec) -> Config {
    Config {
        name: format!("KV_{}", bucket.name),
        description: Some(bucket.description.to_owned()),
        subjects: vec![format!("$KV.{}.>", bucket.name)],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        max_messages_per_subject: 1,
        duplicate_window: DUPLICATE_WINDOW,
        deny_delete: true,
        allow_rollup: true,
        allow_direct: true,
        allow_message_ttl: true,
        num_replicas: 1,
        ..Config::default()
    }
}

pub(super) fn consumer_config(consumer: &ConsumerSpec) -> pull::Config {
    pull::Config {
        durable_name: Some(consumer.name.to_owned()),
        filter_subject: consumer.filter(),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: consumer.ack_wait,
        // One more than the runner allows, so that it is the runner that buries the message.
        max_deliver: match consumer.max_deliver {
            0 => -1,
            limit => i64::from(limit) + 1,
        },
        max_ack_pending: consumer.max_ack_pending,
        // The server's default, said so that it can be compared.
        max_waiting: MAX_WAITING,
        ..pull::Config::default()
    }
}
