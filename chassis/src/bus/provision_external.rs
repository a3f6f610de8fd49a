use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, External, Info, Republish, RetentionPolicy, Source, StorageType,
};
use serde_json::Value;
use tokio::time::Instant;

use super::Bus;
use super::drift::pages;
use super::provision::{MAX_WAITING, ProvisionError};
use crate::topology::{
    COPIES, COPY_DELIVERY, CopySpec, ExternalUser, IMPORTED_API, MAX_MESSAGE_BYTES, PULL_EXPIRES,
    ToolConsumer,
};

/// Who may.
pub(super) const USER: &str = "provisioner-external";

/// How long a tool may take over a message before it comes again.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// How many a tool may have open.
const MAX_ACK_PENDING: i64 = 1000;

/// The server asks the other account for the consumer at once, and again after some seconds.
const FED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What was looked at in the account for external tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProvisionedExternal {
    /// Copies that are as the table says, and fed.
    pub copies: usize,
    /// Consumers that tools can use.
    pub consumers: usize,
    /// Consumers that were deleted: of no tool, or not as ours are.
    pub deleted: usize,
}

/// Creates or updates the copies for external tools, and the consumers of these tools; deletes the
/// consumers that no tool has any more. The streams that they are copies of must be there. May be repeated
/// at any time: a consumer that is as it should be stays where it is.
pub async fn provision_external(
    bus: &Bus,
    tools: &[ExternalUser],
) -> Result<ProvisionedExternal, ProvisionError> {
    let mut done = provision_copies(bus).await?;
    for copy in COPIES {
        let mut wanted: BTreeMap<String, ToolConsumer> = tools
            .iter()
            .flat_map(ExternalUser::consumers)
            .filter(|consumer| consumer.copy == *copy)
            .map(|consumer| (consumer.name.clone(), consumer))
            .collect();
        done.consumers += wanted.len();
        let list = format!("CONSUMER.LIST.{}", copy.name);
        for there in pages(bus, USER, &list, "consumers").await? {
            let (name, config) = (there["name"].as_str().unwrap_or_default(), &there["config"]);
            let ours = wanted.get(name).is_some_and(|it| is_as_ours(it, config));
            if ours && is_bounded(config) {
                wanted.remove(name);
            } else if !ours {
                delete(bus, copy, name).await?;
                done.deleted += 1;
            }
        }
        for consumer in wanted.values() {
            create(bus, consumer).await?;
        }
    }
    Ok(done)
}

/// As [`provision_external`], without looking at the consumers of tools.
pub async fn provision_copies(bus: &Bus) -> Result<ProvisionedExternal, ProvisionError> {
    for copy in COPIES {
        bus.js
            .create_or_update_stream(config(copy))
            .await
            .map_err(|error| fail(bus, copy, &error.into()))?;
    }
    for copy in COPIES {
        wait_until_fed(bus, copy).await?;
    }
    Ok(ProvisionedExternal {
        copies: COPIES.len(),
        ..ProvisionedExternal::default()
    })
}

fn fail(bus: &Bus, copy: &CopySpec, error: &async_nats::Error) -> ProvisionError {
    refused(bus, format!("copy {}", copy.name), error)
}

fn refused(bus: &Bus, what: String, error: &async_nats::Error) -> ProvisionError {
    ProvisionError::as_user(bus, what, error, USER)
}

/// Whether a consumer of that name pulls what it should; where it is in the stream is the tool's affair.
fn is_as_ours(consumer: &ToolConsumer, found: &Value) -> bool {
    let (pushes_to, filters) = (&found["deliver_subject"], &found["filter_subjects"]);
    found["filter_subject"] == consumer.filter.as_str()
        && found["durable_name"] == consumer.name.as_str()
        && found["ack_policy"] == "explicit"
        && pushes_to.is_null()
        && filters.is_null()
}

/// Whether its pulls are held to what the server remembers; a consumer can be taught that where it is.
fn is_bounded(found: &Value) -> bool {
    found["max_expires"].as_u64().map(Duration::from_nanos) == Some(PULL_EXPIRES)
}

/// The consumer of a tool. What is the server's default is said, so that it can be compared.
pub(super) fn consumer_config(consumer: &ToolConsumer) -> pull::Config {
    pull::Config {
        durable_name: Some(consumer.name.clone()),
        filter_subject: consumer.filter.clone(),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: MAX_ACK_PENDING,
        max_waiting: MAX_WAITING,
        max_expires: PULL_EXPIRES,
        ..pull::Config::default()
    }
}

async fn create(bus: &Bus, consumer: &ToolConsumer) -> Result<(), ProvisionError> {
    let created = bus
        .js
        .create_consumer_on_stream(consumer_config(consumer), consumer.copy.name)
        .await;
    created.map(|_| ()).map_err(|error| {
        let what = format!(
            "consumer {} (nats-server must have the accounts of these tools)",
            consumer.name
        );
        refused(bus, what, &error.into())
    })
}

async fn delete(bus: &Bus, copy: &CopySpec, name: &str) -> Result<(), ProvisionError> {
    let deleted = bus.js.delete_consumer_from_stream(name, copy.name).await;
    deleted
        .map(|_| ())
        .map_err(|error| refused(bus, format!("consumer {name}, deleting it"), &error.into()))
}

/// A copy whose source is not what the accounts export stays empty, and the server says nothing.
async fn wait_until_fed(bus: &Bus, copy: &CopySpec) -> Result<(), ProvisionError> {
    let deadline = Instant::now() + FED_WITHIN;
    loop {
        let info: Info = bus
            .js
            .request(format!("STREAM.INFO.{}", copy.name), &())
            .await
            .map_err(|error| fail(bus, copy, &error.into()))?;
        if info.sources.iter().all(|source| source.active.is_some()) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let reason = format!(
                "nothing comes from {} of the other account; provision that one first, and give \
                 nats-server the accounts that `bonesetter deploy nats` of this version prints",
                copy.of.name
            );
            return Err(ProvisionError::saying(
                format!("copy {}", copy.name),
                reason,
            ));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

pub(super) fn config(copy: &CopySpec) -> Config {
    let source = Source {
        name: copy.of.name.to_owned(),
        filter_subject: Some(copy.filter()),
        external: Some(External {
            api_prefix: IMPORTED_API.to_owned(),
            delivery_prefix: Some(COPY_DELIVERY.to_owned()),
        }),
        ..Source::default()
    };
    Config {
        name: copy.name.to_owned(),
        sources: Some(vec![source]),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        max_age: copy.max_age,
        max_bytes: copy.max_bytes,
        max_message_size: MAX_MESSAGE_BYTES,
        deny_delete: true,
        num_replicas: 1,
        // Tools that only listen get the messages under their own subjects, without a consumer.
        republish: Some(Republish {
            source: copy.filter(),
            destination: copy.filter(),
            headers_only: false,
        }),
        ..Config::default()
    }
}
