//! What is remembered of a root owner in the KV bucket, so that a restart or a second replica makes
//! the same incident.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_proto::v1::{Detected, FailureClass, ResolvedReason};
use jiff::Timestamp;
use prost::Message as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::facts::Object;

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not the JSON of a record.
    #[error("could not read an episode record; delete its key to start over")]
    Json(#[from] serde_json::Error),
    /// The message of the step that is still to be published is garbled.
    #[error(
        "could not read the unpublished step of an episode record; delete its key to start over"
    )]
    Pending,
}

/// The last episode of a root owner and what has to be known beyond it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The root owner.
    pub owner: Object,
    /// The last episode, open or ended.
    pub episode: Episode,
    /// When an episode of a class was last resolved.
    #[serde(default)]
    pub resolved: BTreeMap<Class, Timestamp>,
    /// The step that has been decided and not yet been published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
}

/// One episode of failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// Counts from 1.
    pub number: u32,
    /// When it was opened.
    pub opened: Timestamp,
    /// Its present class.
    pub class: Class,
    /// Every class that it has had: it goes back to none of them.
    pub classes: BTreeSet<Class>,
    /// As last published.
    pub failing_objects: u32,
    /// Updates so far.
    pub updates: u32,
    /// Reclassifications so far.
    pub reclassifications: u32,
    /// When something was last published about it.
    pub told: Timestamp,
    /// When and how it ended; none while it is open.
    #[serde(default)]
    pub end: Option<End>,
}

/// The end of an episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When it was resolved.
    pub at: Timestamp,
    /// How.
    pub reason: Reason,
}

/// How an episode ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The workload does its work again.
    Recovered,
    /// The root owner has been deleted.
    Gone,
}

impl Reason {
    /// The form that messages carry.
    pub const fn to_proto(self) -> ResolvedReason {
        match self {
            Self::Recovered => ResolvedReason::Recovered,
            Self::Gone => ResolvedReason::Gone,
        }
    }
}

/// A step that is to be published: the same bytes, whoever does it and however often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The last token of its subject.
    pub step: String,
    /// Base64 of the message, without envelope.
    message: String,
}

impl Pending {
    /// A step and its message.
    pub fn new(step: String, message: &Detected) -> Self {
        Self {
            step,
            message: STANDARD.encode(message.encode_to_vec()),
        }
    }

    /// The message.
    pub fn message(&self) -> Result<Detected, RecordError> {
        let bytes = STANDARD
            .decode(&self.message)
            .map_err(|_| RecordError::Pending)?;
        Detected::decode(bytes.as_slice()).map_err(|_| RecordError::Pending)
    }
}

impl Record {
    /// Reads what [`Record::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// The episode, if it is open.
    pub fn open(&self) -> Option<&Episode> {
        Some(&self.episode).filter(|episode| episode.end.is_none())
    }

    /// The record after its pending step has been published.
    #[must_use]
    pub fn published(&self) -> Self {
        Self {
            pending: None,
            ..self.clone()
        }
    }
}

/// A failure class, stored by its name in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class(pub FailureClass);

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str_name())
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        FailureClass::from_str_name(&name)
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("unknown failure class {name:?}")))
    }
}
