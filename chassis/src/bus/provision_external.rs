use std::time::Duration;

use async_nats::jetstream::stream::{
    Config, DiscardPolicy, External, Info, Republish, RetentionPolicy, Source, StorageType,
};
use tokio::time::Instant;

use super::Bus;
use super::provision::ProvisionError;
use crate::topology::{COPIES, COPY_DELIVERY, CopySpec, IMPORTED_API, MAX_MESSAGE_BYTES};

/// The server asks the other account for the consumer at once, and again after some seconds.
const FED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Creates or updates the copies in the account of external tools, and returns how many there are
/// when each of them is fed. The streams that they are copies of must be there. May be repeated at
/// any time; nothing is deleted.
pub async fn provision_external(bus: &Bus) -> Result<usize, ProvisionError> {
    for copy in COPIES {
        bus.js
            .create_or_update_stream(config(copy))
            .await
            .map_err(|error| fail(bus, copy, &error.into()))?;
    }
    for copy in COPIES {
        wait_until_fed(bus, copy).await?;
    }
    Ok(COPIES.len())
}

fn fail(bus: &Bus, copy: &CopySpec, error: &async_nats::Error) -> ProvisionError {
    let what = format!("copy {}", copy.name);
    ProvisionError::as_user(bus, what, error, "provisioner-external")
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

fn config(copy: &CopySpec) -> Config {
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
