use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use bonesetter_proto::{Message, Writer};

use crate::file::{KeyError, key_id, read_keys};
use crate::reload::Reloading;

pub(crate) const SEED: &str = "ed25519-seed";
pub(crate) const PUBLIC: &str = "ed25519-public";
/// Keeps our signatures from meaning anything in another protocol that uses the same key.
const DOMAIN: &[u8] = b"bonesetter.v1.signature\0";

/// A detached Ed25519 signature and the id of the key that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// 16 hex digits: the first 8 bytes of the SHA-256 of the public key.
    pub key_id: String,
    /// 64 bytes.
    pub bytes: Vec<u8>,
}

/// The private key of one writing service.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    key_id: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads the first key of a file of `ed25519-seed` lines.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let keys = read_keys(path, SEED)?;
        let first = keys.first().ok_or_else(|| KeyError::Empty {
            path: path.to_owned(),
        })?;
        Self::from_seed(first)
    }

    /// The key of a 32-byte seed (RFC 8032).
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Generate)?;
        let key_id = key_id(pair.public_key().as_ref());
        Ok(Self { pair, key_id })
    }

    /// The public half, 32 bytes.
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// Signs a payload for one subject; the signature is worth nothing under another.
    pub fn sign(&self, subject: &str, payload: &[u8]) -> Signature {
        let bytes = self
            .pair
            .sign(&signed_bytes(subject, payload))
            .as_ref()
            .to_vec();
        Signature {
            key_id: self.key_id.clone(),
            bytes,
        }
    }
}

/// Why a message is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The message type is one that nobody signs.
    #[error("messages of this type are not signed")]
    NotSigned,
    /// The key is not one that the expected writer may use.
    #[error("key {key_id:?} is not a key of {writer}")]
    UnknownKey {
        /// As the message claims.
        key_id: String,
        /// Who should have signed.
        writer: &'static str,
    },
    /// The signature does not fit subject and payload.
    #[error("the signature of {writer} does not fit subject and payload")]
    Mismatch {
        /// Who should have signed.
        writer: &'static str,
    },
    /// Signed, but not a message of the expected type.
    #[error("the signed payload is not a message of the expected type")]
    Undecodable,
    /// Signed under another subject than the one that it names inside.
    #[error("the message names another subject than the one it was published under")]
    SubjectDiffers,
}

/// A message whose signature has been checked. There is no other way to make one.
#[derive(Debug, Clone)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The message.
    pub const fn get(&self) -> &T {
        &self.0
    }
}

/// By writer and key id.
type Trusted = HashMap<(&'static str, String), Vec<u8>>;

/// The public keys that each writer may use.
#[derive(Debug, Clone, Default)]
pub struct VerifyingKeys {
    keys: Reloading<Trusted>,
}

impl VerifyingKeys {
    /// Reads `<dir>/<service>.pub` of every signing service; all of them must be there. They are read
    /// again when something was signed with a key that is not known and a file has changed since.
    pub fn read(dir: &Path) -> Result<Self, KeyError> {
        let file = |writer: Writer| dir.join(format!("{}.pub", writer.service()));
        let files = Writer::ALL.map(file).to_vec();
        let keys = Reloading::read(files, read)?;
        Ok(Self { keys })
    }

    /// Accepts a public key (32 bytes) of a writer.
    pub fn trust(&mut self, writer: Writer, public_key: &[u8]) {
        trust(self.keys.get_mut(), writer, public_key);
    }

    /// Decodes a message, if the writer of its type has signed exactly these bytes for this subject.
    pub fn verify<T: Message>(
        &self,
        subject: &str,
        payload: &[u8],
        signature: &Signature,
    ) -> Result<Verified<T>, VerifyError> {
        let writer = T::SIGNED_BY.ok_or(VerifyError::NotSigned)?;
        self.verify_bytes(writer, subject, payload, signature)?;
        let message = T::decode(payload).map_err(|_| VerifyError::Undecodable)?;
        if message
            .envelope()
            .is_none_or(|envelope| envelope.subject != subject)
        {
            return Err(VerifyError::SubjectDiffers);
        }
        Ok(Verified(message))
    }

    /// Whether that writer has signed exactly these bytes for this subject, whatever they are.
    pub fn verify_bytes(
        &self,
        writer: Writer,
        subject: &str,
        payload: &[u8],
        signature: &Signature,
    ) -> Result<(), VerifyError> {
        let writer = writer.service();
        let name = (writer, signature.key_id.clone());
        let key = self.keys.find(|keys| keys.get(&name).cloned());
        let key = key.ok_or_else(|| VerifyError::UnknownKey {
            key_id: signature.key_id.clone(),
            writer,
        })?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&signed_bytes(subject, payload), &signature.bytes)
            .map_err(|_| VerifyError::Mismatch { writer })
    }
}

/// What stands for subject and payload. Ed25519 reads what it signs twice, with a slower hash than this
/// one; the payload is read once.
fn signed_bytes(subject: &str, payload: &[u8]) -> Vec<u8> {
    let hash = digest::digest(&digest::SHA256, payload);
    let mut bytes = Vec::with_capacity(DOMAIN.len() + 8 + subject.len() + hash.as_ref().len());
    bytes.extend_from_slice(DOMAIN);
    bytes.extend_from_slice(&(subject.len() as u64).to_be_bytes());
    bytes.extend_from_slice(subject.as_bytes());
    bytes.extend_from_slice(hash.as_ref());
    bytes
}

/// Reads the files of all writers, in their order.
fn read(files: &[PathBuf]) -> Result<Trusted, KeyError> {
    let mut keys = Trusted::new();
    for (writer, path) in Writer::ALL.into_iter().zip(files) {
        for key in read_keys(path, PUBLIC)? {
            trust(&mut keys, writer, key.as_slice());
        }
    }
    Ok(keys)
}

fn trust(keys: &mut Trusted, writer: Writer, public_key: &[u8]) {
    keys.insert((writer.service(), key_id(public_key)), public_key.to_vec());
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::{Enriched, Envelope, Redacted};
    use prost::Message as _;

    use super::*;

    const SUBJECT: &str = "bonesetter.v1.redacted.c.n.Deployment.i.open";

    fn signed() -> (VerifyingKeys, Vec<u8>, Signature) {
        let key = SigningKey::from_seed(&[9; 32]).unwrap();
        let mut trusted = VerifyingKeys::default();
        trusted.trust(Writer::Redactor, key.public_key());
        let envelope = Envelope {
            subject: SUBJECT.to_owned(),
            ..Envelope::default()
        };
        let payload = Redacted {
            envelope: Some(envelope),
            ..Redacted::default()
        }
        .encode_to_vec();
        let signature = key.sign(SUBJECT, &payload);
        (trusted, payload, signature)
    }

    #[test]
    fn what_was_signed_is_believed() {
        let (trusted, payload, signature) = signed();
        let message = trusted
            .verify::<Redacted>(SUBJECT, &payload, &signature)
            .unwrap();
        assert_eq!(message.into_inner().envelope.unwrap().subject, SUBJECT);
    }

    /// Made by another implementation (libsodium) from what docs/subjects.md says.
    #[test]
    fn signatures_are_those_that_subscribers_verify() {
        let signature = SigningKey::from_seed(&[9; 32])
            .unwrap()
            .sign(SUBJECT, b"what was found");
        assert_eq!(signature.key_id, "dbc298251c51321b");
        assert_eq!(
            hex::encode(signature.bytes),
            "0bc1611c7c7113880275ed05e5b1a6b60483c109add9769648db00c3fbafffda\
             c817f75d7f7a25af6371108a0e3c35c8fb4415a3f2a45aa974078b3f4f13e501"
        );
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        let (trusted, payload, signature) = signed();
        for index in 0..payload.len() {
            let mut altered = payload.clone();
            altered[index] ^= 1;
            assert!(
                trusted
                    .verify::<Redacted>(SUBJECT, &altered, &signature)
                    .is_err(),
                "{index}"
            );
        }
        for index in 0..signature.bytes.len() {
            let mut altered = signature.clone();
            altered.bytes[index] ^= 1;
            assert!(
                trusted
                    .verify::<Redacted>(SUBJECT, &payload, &altered)
                    .is_err(),
                "{index}"
            );
        }
    }

    #[test]
    fn a_signature_is_worth_nothing_under_another_subject_writer_or_type() {
        let (trusted, payload, signature) = signed();
        let other = SUBJECT.replace("open", "update-1");
        assert_eq!(
            trusted
                .verify::<Redacted>(&other, &payload, &signature)
                .unwrap_err(),
            VerifyError::Mismatch {
                writer: "svc-redactor"
            }
        );
        assert!(matches!(
            trusted
                .verify::<bonesetter_proto::v1::Diagnosed>(SUBJECT, &payload, &signature)
                .unwrap_err(),
            VerifyError::UnknownKey {
                writer: "svc-llm",
                ..
            }
        ));
        assert_eq!(
            trusted
                .verify::<Enriched>(SUBJECT, &payload, &signature)
                .unwrap_err(),
            VerifyError::NotSigned
        );
    }

    #[test]
    fn a_message_that_names_another_subject_inside_is_refused() {
        let key = SigningKey::from_seed(&[9; 32]).unwrap();
        let (trusted, payload, _) = signed();
        let other = SUBJECT.replace("open", "update-1");
        let signature = key.sign(&other, &payload);
        assert_eq!(
            trusted
                .verify::<Redacted>(&other, &payload, &signature)
                .unwrap_err(),
            VerifyError::SubjectDiffers
        );
    }
}
