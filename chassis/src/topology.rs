//! Who may do what on the bus, in one table: streams, durable consumers, buckets, users.
//!
//! `bonesetter provision` creates what stands here, the NATS permissions in `deploy/nats` and those
//! of the testbed are generated from it, and services bind to its consumers by constant. One stream
//! per stage with one writer, because JetStream authorises reads by stream and consumer and never by
//! subject; see `docs/decisions/0003-streams-and-permissions.md`.

use std::time::Duration;

use bonesetter_proto::Stage;

mod accounts;
mod external;
mod permissions;
mod users;

pub(crate) use accounts::ANSWERED_WITHIN;
pub use accounts::{MissingPublicKey, authorization_of, authorization_with, variable};
pub use external::{
    COPIES, COPY_DELIVERY, CopySpec, EXTERNAL_ACCOUNT, ExternalError, ExternalUser, IMPORTED_API,
    MAX_NAMESPACES, PIPELINE_ACCOUNT, PULL_EXPIRES, ToolConsumer, external_permissions,
    external_user,
};
pub use permissions::{Permissions, permissions, permissions_with};
pub use users::{Role, USERS, User, user};

const DAY: Duration = Duration::from_hours(24);
const MIB: i64 = 1024 * 1024;

/// The user that writes the ledger.
const LEDGER: &str = "svc-audit";

/// The largest message that any stream accepts: 256 KiB of evidence and what surrounds it.
pub const MAX_MESSAGE_BYTES: i32 = 512 * 1024;

/// One stream; what is not said here is the same for all of them: limits retention, file storage,
/// one replica, no rollup, no message TTL, no schedules, no direct get. A full stream refuses new
/// messages, so that the publisher feels it, unless it [forgets the oldest](Self::forgets_oldest).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its name.
    pub name: &'static str,
    /// The stage whose messages it holds; `None` for the advisories of the server.
    pub stage: Option<Stage>,
    /// How long a message is kept.
    pub max_age: Duration,
    /// Bytes at which it is full.
    pub max_bytes: i64,
    /// Whether messages can be deleted through the API.
    pub deny_delete: bool,
}

/// The advisories that are kept: those that say that a message will not be delivered again.
const ADVISORIES: &str = "$JS.EVENT.ADVISORY.CONSUMER";
/// A message was delivered as often as its consumer allows, and never answered.
const MAX_DELIVERIES: &str = "MAX_DELIVERIES";
/// A message was ended by whoever handled it.
const MSG_TERMINATED: &str = "MSG_TERMINATED";

impl StreamSpec {
    /// One pattern that everything in the stream fits.
    pub fn filter(&self) -> String {
        self.stage
            .map_or_else(|| format!("{ADVISORIES}.>"), Stage::filter)
    }

    /// Whether it makes room by itself when it is full: that of the advisories, whose publisher feels
    /// nothing, and that of the JSON twins, which can be made again from what they are twins of.
    pub const fn forgets_oldest(&self) -> bool {
        matches!(self.stage, None | Some(Stage::DiagnosedJson))
    }

    /// The subjects that it stores. Of the advisories, those about the streams of this table that are
    /// consumed; they end in stream and consumer, and wildcards match whole tokens only.
    pub fn subjects(&self) -> Vec<String> {
        if self.stage.is_some() {
            return vec![self.filter()];
        }
        let is_consumed = |stream: &&StreamSpec| {
            *stream != self && consumers().any(|consumer| consumer.stream == **stream)
        };
        STREAMS
            .iter()
            .filter(is_consumed)
            .flat_map(|stream| {
                [MAX_DELIVERIES, MSG_TERMINATED]
                    .map(|kind| format!("{ADVISORIES}.{kind}.{}.*", stream.name))
            })
            .collect()
    }
}

macro_rules! streams {
    ($($constant:ident = $name:literal, $stage:expr, $days:literal days, $mib:literal MiB, deny_delete: $deny:literal;)*) => {
        $(
            #[doc = concat!("Stream `", $name, "`.")]
            pub const $constant: StreamSpec = StreamSpec {
                name: $name,
                stage: $stage,
                max_age: Duration::from_secs($days * DAY.as_secs()),
                max_bytes: $mib * MIB,
                deny_delete: $deny,
            };
        )*
        /// Every stream.
        pub const STREAMS: &[StreamSpec] = &[$($constant),*];
    };
}

streams! {
    DETECTED = "BONESETTER_DETECTED", Some(Stage::Detected), 30 days, 256 MiB, deny_delete: false;
    ENRICHED = "BONESETTER_ENRICHED", Some(Stage::Enriched), 2 days, 1024 MiB, deny_delete: false;
    REDACTED = "BONESETTER_REDACTED", Some(Stage::Redacted), 30 days, 2048 MiB, deny_delete: false;
    DIAGNOSED = "BONESETTER_DIAGNOSED", Some(Stage::Diagnosed), 90 days, 512 MiB, deny_delete: false;
    ACTED = "BONESETTER_ACTED", Some(Stage::Acted), 90 days, 512 MiB, deny_delete: true;
    NOTIFIED = "BONESETTER_NOTIFIED", Some(Stage::Notified), 90 days, 256 MiB, deny_delete: false;
    AUDIT = "BONESETTER_AUDIT", Some(Stage::Audit), 90 days, 256 MiB, deny_delete: true;
    DLQ = "BONESETTER_DLQ", Some(Stage::Dlq), 90 days, 64 MiB, deny_delete: true;
    REDRIVE = "BONESETTER_REDRIVE", Some(Stage::Redrive), 90 days, 32 MiB, deny_delete: true;
    OVERDUE = "BONESETTER_OVERDUE", Some(Stage::Overdue), 90 days, 64 MiB, deny_delete: false;
    DIAGNOSED_JSON = "BONESETTER_DIAGNOSED_JSON", Some(Stage::DiagnosedJson), 30 days, 256 MiB, deny_delete: false;
    SECURITY = "BONESETTER_SECURITY", Some(Stage::Security), 90 days, 64 MiB, deny_delete: true;
    ADVISORY = "BONESETTER_ADVISORY", None, 90 days, 64 MiB, deny_delete: true;
}

/// A durable pull consumer with explicit acks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// The durable's name.
    pub name: &'static str,
    /// The stream that it reads.
    pub stream: StreamSpec,
    /// The step that it is limited to; `None` reads everything. Never several patterns.
    pub step: Option<&'static str>,
    /// The user that may use it, and nobody else.
    pub user: &'static str,
    /// How many messages one process handles at a time; also how many it pulls ahead at the most.
    pub concurrency: usize,
    /// How long a delivery may stay without a sign of life.
    pub ack_wait: Duration,
    /// Deliveries after which a message is dead; 0 means never.
    pub max_deliver: u32,
    /// How many deliveries may be open over all replicas.
    pub max_ack_pending: i64,
}

impl ConsumerSpec {
    /// The subject that the consumer is filtered by.
    pub fn filter(&self) -> String {
        match (self.stream.stage, self.step) {
            (Some(stage), Some(step)) => stage.step_filter(step),
            _ => self.stream.filter(),
        }
    }
}

macro_rules! consumers {
    ($($constant:ident = $name:literal on $stream:ident $(step $step:literal)?, $user:literal, concurrency $concurrency:literal, ack_wait $wait:literal s, max_deliver $deliver:literal, max_ack_pending $pending:literal;)*) => {
        $(
            #[doc = concat!("Durable `", $name, "`.")]
            pub const $constant: ConsumerSpec = ConsumerSpec {
                name: $name,
                stream: $stream,
                step: consumers!(@step $($step)?),
                user: $user,
                concurrency: $concurrency,
                ack_wait: Duration::from_secs($wait),
                max_deliver: $deliver,
                max_ack_pending: $pending,
            };
        )*
        /// What every stage and sink handles.
        pub const CONSUMERS: &[ConsumerSpec] = &[$($constant),*];
        /// What each of [`CONSUMERS`] is asked to handle again, in the same order.
        pub const REDRIVES: &[ConsumerSpec] = &[$(
            ConsumerSpec {
                name: concat!($name, "-redrive"),
                stream: REDRIVE,
                step: Some($name),
                concurrency: 1,
                max_ack_pending: 8,
                ..$constant
            }
        ),*];
    };
    (@step $step:literal) => { Some($step) };
    (@step) => { None };
}

consumers! {
    // Retries wait at most five minutes each, so a server may be away for hours before anything is given up.
    ENRICHER = "enricher" on DETECTED, "svc-enricher", concurrency 8, ack_wait 30 s, max_deliver 100, max_ack_pending 64;
    REDACTOR = "redactor" on ENRICHED, "svc-redactor", concurrency 4, ack_wait 15 s, max_deliver 20, max_ack_pending 32;
    LLM = "llm" on REDACTED, "svc-llm", concurrency 4, ack_wait 60 s, max_deliver 20, max_ack_pending 32;
    ACTUATOR_DECIDE = "actuator-decide" on DIAGNOSED, "svc-actuator", concurrency 4, ack_wait 30 s, max_deliver 100, max_ack_pending 32;
    ACTUATOR_APPLY = "actuator-apply" on ACTED step "intended", "svc-actuator", concurrency 1, ack_wait 30 s, max_deliver 100, max_ack_pending 8;
    // Looks again until the deadline of the verification; what cannot be verified is published as stuck, never dropped.
    ACTUATOR_VERIFY = "actuator-verify" on ACTED step "applied", "svc-actuator", concurrency 8, ack_wait 30 s, max_deliver 0, max_ack_pending 64;
    PUBLISHER = "publisher" on DIAGNOSED, "svc-notifier-publish", concurrency 4, ack_wait 30 s, max_deliver 100, max_ack_pending 32;
    // Gives up on a receiver by age, and publishes that it did.
    NOTIFIER_ACTED = "notifier-acted" on ACTED, "svc-notifier", concurrency 4, ack_wait 30 s, max_deliver 0, max_ack_pending 512;
    NOTIFIER_RESOLVED = "notifier-resolved" on DETECTED step "resolved", "svc-notifier", concurrency 4, ack_wait 30 s, max_deliver 0, max_ack_pending 512;
    NOTIFIER_OVERDUE = "notifier-overdue" on OVERDUE, "svc-notifier", concurrency 4, ack_wait 30 s, max_deliver 0, max_ack_pending 512;
    // The ledger never gives up: what it has not stored stays in the stream.
    AUDIT_DETECTED = "audit-detected" on DETECTED, "svc-audit", concurrency 16, ack_wait 30 s, max_deliver 0, max_ack_pending 1024;
    AUDIT_REDACTED = "audit-redacted" on REDACTED, "svc-audit", concurrency 16, ack_wait 30 s, max_deliver 0, max_ack_pending 1024;
    AUDIT_DIAGNOSED = "audit-diagnosed" on DIAGNOSED, "svc-audit", concurrency 16, ack_wait 30 s, max_deliver 0, max_ack_pending 1024;
    AUDIT_ACTED = "audit-acted" on ACTED, "svc-audit", concurrency 16, ack_wait 30 s, max_deliver 0, max_ack_pending 1024;
    AUDIT_NOTIFIED = "audit-notified" on NOTIFIED, "svc-audit", concurrency 16, ack_wait 30 s, max_deliver 0, max_ack_pending 1024;
    AUDIT_OVERDUE = "audit-overdue" on OVERDUE, "svc-audit", concurrency 16, ack_wait 30 s, max_deliver 0, max_ack_pending 1024;
    AUDIT_SECURITY = "audit-security" on SECURITY, "svc-audit", concurrency 4, ack_wait 30 s, max_deliver 0, max_ack_pending 256;
    // Second layer of the dead letters; does without the database.
    AUDIT_ADVISORIES = "audit-advisories" on ADVISORY, "svc-audit", concurrency 4, ack_wait 30 s, max_deliver 0, max_ack_pending 256;
}

/// Every durable consumer.
pub fn consumers() -> impl Iterator<Item = &'static ConsumerSpec> {
    CONSUMERS.iter().chain(REDRIVES)
}

/// The consumers by which the ledger records what the stages publish.
pub fn ledger_consumers() -> impl Iterator<Item = &'static ConsumerSpec> {
    let is_ledger =
        |consumer: &&ConsumerSpec| consumer.user == LEDGER && consumer.stream.stage.is_some();
    CONSUMERS.iter().filter(is_ledger)
}

/// The streams that the keeper may purge: those whose messages the ledger records, and the raw one.
/// Dead letters, advisories, decisions about them, and what was archived are never purged.
pub fn kept_streams() -> impl Iterator<Item = &'static StreamSpec> {
    let is_kept = |stream: &&StreamSpec| {
        **stream == ENRICHED || ledger_consumers().any(|consumer| consumer.stream == **stream)
    };
    STREAMS.iter().filter(is_kept)
}

/// What a consumer is asked to handle again.
pub fn redrive_of(consumer: &ConsumerSpec) -> Option<&'static ConsumerSpec> {
    REDRIVES
        .iter()
        .find(|redrive| redrive.step == Some(consumer.name))
}

/// The last token of the subject under which it stands that a dead letter needs nothing more.
pub const DROPPED: &str = "dropped";

/// A KV bucket, used by one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketSpec {
    /// Its name.
    pub name: &'static str,
    /// The user that reads and writes it.
    pub user: &'static str,
    /// What it holds.
    pub description: &'static str,
    /// How long the mark of a deletion stays in the place of what was deleted. Whoever holds a revision that was
    /// deleted is refused with the mark and without it; only who has read for longer that a key has no value
    /// could take one that was there meanwhile for none.
    pub mark_kept: Duration,
}

/// Open and past episodes of every root owner.
pub const EPISODES: BucketSpec = BucketSpec {
    name: "bonesetter-episodes",
    user: "svc-watcher",
    description: "episodes of failure by root owner",
    mark_kept: DAY,
};
/// Sealed inverses of changes.
pub const CHANGES: BucketSpec = BucketSpec {
    name: "bonesetter-changes",
    user: "svc-actuator",
    description: "changes made, with their sealed inverses",
    mark_kept: DAY,
};
/// What was told to whom.
pub const NOTICES: BucketSpec = BucketSpec {
    name: "bonesetter-notices",
    user: "svc-notifier",
    description: "what was told, by incident and channel",
    mark_kept: DAY,
};
/// Every bucket.
pub const BUCKETS: &[BucketSpec] = &[EPISODES, CHANGES, NOTICES];

/// The stream that holds the messages of a stage.
pub fn stream_of(stage: Stage) -> Option<&'static StreamSpec> {
    STREAMS.iter().find(|stream| stream.stage == Some(stage))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let names = |names: Vec<&'static str>| {
            let unique: BTreeSet<_> = names.iter().copied().collect();
            assert_eq!(unique.len(), names.len(), "{names:?}");
        };
        names(STREAMS.iter().map(|stream| stream.name).collect());
        names(consumers().map(|consumer| consumer.name).collect());
        names(BUCKETS.iter().map(|bucket| bucket.name).collect());
        names(COPIES.iter().map(|copy| copy.name).collect());
    }

    #[test]
    fn the_raw_stream_is_read_by_the_redactor_alone_and_forgotten_first() {
        let readers: Vec<_> = CONSUMERS
            .iter()
            .filter(|consumer| consumer.stream == ENRICHED)
            .collect();
        assert_eq!(readers.len(), 1);
        assert_eq!(readers[0].user, "svc-redactor");
        assert!(
            STREAMS
                .iter()
                .all(|stream| stream.max_age >= ENRICHED.max_age)
        );
    }

    #[test]
    fn every_consumer_can_be_asked_to_handle_a_message_again_and_nobody_else_is() {
        for consumer in CONSUMERS {
            let redrive = redrive_of(consumer).unwrap();
            assert_eq!(redrive.user, consumer.user);
            assert_eq!(redrive.stream, REDRIVE);
            assert_eq!(redrive.max_deliver, consumer.max_deliver);
            assert!(redrive.filter().ends_with(&format!(".{}", consumer.name)));
            assert_ne!(consumer.name, DROPPED);
        }
        assert_eq!(REDRIVES.len(), CONSUMERS.len());
    }

    #[test]
    fn advisories_about_every_consumer_are_kept() {
        let subjects = ADVISORY.subjects();
        for consumer in consumers().filter(|consumer| consumer.stream != ADVISORY) {
            for kind in ["MAX_DELIVERIES", "MSG_TERMINATED"] {
                let stream = consumer.stream.name;
                let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.*");
                assert!(subjects.contains(&subject), "{subject}");
            }
        }
        let unique: BTreeSet<_> = subjects.iter().collect();
        assert_eq!(unique.len(), subjects.len());
        assert!(
            !subjects.iter().any(|it| it.contains("ADVISORY.*")),
            "they are about others only"
        );
    }
}
