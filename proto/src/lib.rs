//! The contract of Bonesetter: the messages of every stage and the grammar of their subjects.
//!
//! The types in [`v1`] are generated from `proto/protos` and checked in; the test `generated`
//! regenerates them and fails on a difference (run it with `BLESS=1` to accept one). Besides, the crate
//! holds what all who write and read texts of messages must agree on: pointers, quotes, times, and which
//! characters are not seen. Nothing else belongs into it: no bus, no cryptography, no decisions.

mod message;
mod pointer;
mod quote;
mod subject;
mod time;
mod unseen;
mod values;

#[cfg(feature = "grpc")]
pub mod grpc;
pub mod v1;

pub use message::{Encoding, Event, Message, Writer};
pub use pointer::{pointer_name, pointer_token};
pub use quote::node_lines;
pub use subject::{IncidentId, Namespace, Stage, Subject, SubjectError, escape, unescape};
pub use time::{from_timestamp, to_timestamp};
pub use unseen::{Unseen, is_unprintable};
pub use values::values;

/// The descriptor set of package `bonesetter.v1` with its imports (a serialised
/// `google.protobuf.FileDescriptorSet`), for reflection, and for tools that read messages by name.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor.bin");
