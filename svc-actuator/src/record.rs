//! What is remembered of a change, besides the messages: one record per incident.
//!
//! The record is written before what it announces, so that a redelivery after a crash says the same
//! again instead of deciding anew: the claim before `intended` is published, the sealed inverse
//! before the write, the outcome before its message.

use bonesetter_keys::{KeyError, OpenError, SealingKeys};
use bonesetter_proto::v1::{self, Acted, Sealed, SignedMessage};
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::edit::Edits;
use crate::health::Watch;

/// Everything about the one change of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Idempotency key of the effect.
    pub effect_key: String,
    /// Subject of the diagnosis that was decided on.
    pub decided_from: String,
    /// What was, or is about to be, published as `intended`.
    pub intended: Draft,
    /// Former and new values of every touched field; there before anything is written.
    pub inverse: Option<SealedEdits>,
    /// There as soon as the write is known to have happened.
    pub applied: Option<Draft>,
    /// The healthy state that is being watched.
    pub watch: Option<Watch>,
    /// `refused`, `verified`, `rolled-back` or `stuck`; nothing happens after it.
    pub ended: Option<Draft>,
}

/// A message that lacks its envelope and the diagnosis that it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft(Box<Acted>);

impl Draft {
    /// Keeps everything but envelope and diagnosis.
    pub fn new(message: Acted) -> Self {
        Self(Box::new(Acted {
            envelope: None,
            diagnosis: None,
            ..message
        }))
    }

    /// The message without envelope and diagnosis.
    pub fn get(&self) -> &Acted {
        &self.0
    }

    /// The message, resting on a diagnosis.
    pub fn resting_on(self, diagnosis: Option<SignedMessage>) -> Acted {
        Acted {
            diagnosis,
            ..*self.0
        }
    }
}

impl Serialize for Draft {
    fn serialize<S: serde::Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(&hex::encode(self.0.encode_to_vec()))
    }
}

impl<'de> Deserialize<'de> for Draft {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let text = String::deserialize(input)?;
        let bytes = hex::decode(text).map_err(D::Error::custom)?;
        Acted::decode(bytes.as_slice())
            .map(|message| Self(Box::new(message)))
            .map_err(D::Error::custom)
    }
}

/// The step as it stands in subjects.
pub const fn step_name(step: v1::Step) -> &'static str {
    match step {
        v1::Step::Unspecified => "unspecified",
        v1::Step::Proposed => "proposed",
        v1::Step::Intended => "intended",
        v1::Step::Applied => "applied",
        v1::Step::Refused => "refused",
        v1::Step::Verified => "verified",
        v1::Step::RolledBack => "rolled-back",
        v1::Step::Stuck => "stuck",
    }
}

/// Edits that only svc-actuator can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedEdits {
    key_id: String,
    nonce: String,
    ciphertext: String,
}

/// Why former values cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The edits have no JSON form.
    #[error("cannot encode former values: {0}")]
    Encode(serde_json::Error),
    /// The library refused.
    #[error("cannot seal former values: {0}")]
    Seal(KeyError),
    /// Not one of our keys, or not our box.
    #[error("cannot open former values: {0}")]
    Open(OpenError),
    /// Opened, but not edits.
    #[error("cannot read former values: the sealed content is malformed")]
    Malformed,
}

impl SealedEdits {
    /// Seals for one effect of one incident.
    pub fn seal(keys: &SealingKeys, place: &Place<'_>, edits: &Edits) -> Result<Self, SealError> {
        let plain = serde_json::to_vec(edits).map_err(SealError::Encode)?;
        let sealed = keys
            .seal(&place.to_string(), &plain)
            .map_err(SealError::Seal)?;
        Ok(Self {
            key_id: sealed.key_id,
            nonce: hex::encode(sealed.nonce),
            ciphertext: hex::encode(sealed.ciphertext),
        })
    }

    /// Opens what was sealed for the same effect of the same incident.
    pub fn open(&self, keys: &SealingKeys, place: &Place<'_>) -> Result<Edits, SealError> {
        let bytes = |text: &str| hex::decode(text).map_err(|_| SealError::Malformed);
        let sealed = Sealed {
            key_id: self.key_id.clone(),
            nonce: bytes(&self.nonce)?,
            ciphertext: bytes(&self.ciphertext)?,
        };
        let plain = keys
            .open(&place.to_string(), &sealed)
            .map_err(SealError::Open)?;
        serde_json::from_slice(&plain).map_err(|_| SealError::Malformed)
    }
}

/// What a box is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The incident.
    pub incident: &'a str,
    /// The effect.
    pub effect_key: &'a str,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "bonesetter-changes/{}/{}",
            self.incident, self.effect_key
        )
    }
}

#[cfg(test)]
mod tests {
    use bonesetter_keys::KeyDirectory;
    use serde_json::json;

    use super::*;
    use crate::edit::pointer;

    fn keys() -> SealingKeys {
        let dir = tempfile::tempdir().unwrap();
        let keys: KeyDirectory = bonesetter_keys::init(dir.path(), &[]).unwrap();
        SealingKeys::read(&keys.inverse()).unwrap()
    }

    fn edits() -> Edits {
        let before = json!({"env": "hunter2"});
        Edits::between(
            &pointer(&["spec"]),
            Some(&before),
            Some(&json!({"env": "x"})),
        )
    }

    #[test]
    fn former_values_are_sealed_for_one_effect() {
        let keys = keys();
        let place = Place {
            incident: "i",
            effect_key: "k",
        };
        let sealed = SealedEdits::seal(&keys, &place, &edits()).unwrap();
        assert!(!serde_json::to_string(&sealed).unwrap().contains("hunter2"));
        assert_eq!(sealed.open(&keys, &place).unwrap(), edits());
        for other in [
            Place {
                incident: "j",
                ..place
            },
            Place {
                effect_key: "l",
                ..place
            },
        ] {
            assert!(matches!(
                sealed.open(&keys, &other),
                Err(SealError::Open(_))
            ));
        }
        assert!(matches!(
            sealed.open(&self::keys(), &place),
            Err(SealError::Open(_))
        ));
    }

    #[test]
    fn a_record_reads_back_and_a_draft_holds_no_envelope() {
        let message = Acted {
            envelope: Some(v1::Envelope::default()),
            step: v1::Step::Intended.into(),
            diagnosis: Some(SignedMessage::default()),
            ..Acted::default()
        };
        let record = Record {
            effect_key: "k".to_owned(),
            decided_from: "s".to_owned(),
            intended: Draft::new(message),
            inverse: None,
            applied: None,
            watch: Some(Watch {
                since_millis: 1,
                fingerprint: "f".to_owned(),
            }),
            ended: None,
        };
        let text = serde_json::to_vec(&record).unwrap();
        let again: Record = serde_json::from_slice(&text).unwrap();
        assert_eq!(again, record);
        assert_eq!(again.intended.get().envelope, None);
        assert_eq!(again.intended.get().diagnosis, None);
    }

    #[test]
    fn what_is_not_a_record_is_an_error() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"effect_key":"k","decided_from":"s","intended":"zz"}"#,
        ] {
            assert!(serde_json::from_str::<Record>(text).is_err(), "{text}");
        }
    }
}
