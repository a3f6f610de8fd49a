//! The bus: the only place that touches the NATS client and knows its traps.
//!
//! | trap | where it is handled |
//! |---|---|
//! | `headers()` after `message_id()` drops the id | [`publish`], one function builds every message |
//! | a publish that timed out may have been stored | same id and expect-last-subject-sequence 0 on retry |
//! | a missing permission looks like a timeout | [`connection`] reads the server's error events |
//! | what is pulled ahead outlives the ack wait | the runner has no more asked for than will be begun in a moment |
//! | an inbox for every pull | [`feed`] has one for all pulls of a consumer |
//! | a stored message can begin like a word of the server | [`feed`] tells them apart by the reply subject |
//! | a stall of 31 s after a reconnect with two replicas | [`consume`] pulls anew on every connect |
//! | `double_ack` is content with "no responders" | [`consume`] acks by request |
//! | consumer `backoff` replaces the ack wait, a bare nak is immediate | no backoff, every nak has a delay |
//! | `kv.update` and watches need wide permissions | [`kv`] uses compare-and-set and message get only |

mod attributes;
mod bulk;
mod connection;
mod consume;
mod dead_letter;
mod decide;
mod drift;
mod feed;
mod keep;
mod kv;
mod lag;
mod provision;
mod provision_external;
mod publish;
mod read;

pub use attributes::{CLOUDEVENT_JSON, event_source};
pub use bulk::Extent;
pub use connection::{Bus, ConnectError, with_certificates};
pub(crate) use consume::{Pulled, Puller};
pub(crate) use dead_letter::{BuryError, Dead};
pub use dead_letter::{DeadLetters, may_be_same};
pub use decide::{DecideError, decision_subject};
pub use drift::{Drift, drift, drift_external};
pub use keep::{KeepError, StreamState};
pub use kv::{Bucket, Entry, KvError};
pub use lag::{ConsumerState, LagError};
pub use provision::{ProvisionError, Provisioned, provision, provision_small};
pub use provision_external::{ProvisionedExternal, provision_copies, provision_external};
pub(crate) use publish::Producer;
pub use publish::{PublishError, Publisher, Stored};
pub(crate) use read::signature;
pub use read::{ReadError, StoredMessage, StreamReader};

/// Header names that we set ourselves. NATS header names are case-sensitive (ADR-4).
pub mod header {
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// Hex id of the key that signed.
    pub const KEY_ID: &str = "bonesetter-key-id";
    /// Base64 of the signature over subject and payload.
    pub const SIGNATURE: &str = "bonesetter-sig";
    /// Media type of a payload that holds its attributes.
    pub const CONTENT_TYPE: &str = "content-type";
    /// Major version of the message schema.
    pub const SCHEMA: &str = "bonesetter-schema";
    /// The CloudEvents attributes of binary mode.
    pub const CE: [&str; 6] = [
        "ce-specversion",
        "ce-id",
        "ce-source",
        "ce-type",
        "ce-time",
        "ce-datacontenttype",
    ];
}
