use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use bonesetter_proto::v1::Sealed;

use crate::file::{KeyBytes, KeyError, key_id, read_keys};
use crate::reload::Reloading;

pub(crate) const ALGORITHM: &str = "chacha20-poly1305";

/// Why a box cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sealed with a key that is not in the file.
    #[error("sealed with key {0:?}, which is not among ours")]
    UnknownKey(String),
    /// Altered, or sealed for another subject.
    #[error("the seal is broken: the content was altered or belongs to another subject")]
    Broken,
}

struct NamedKey {
    id: String,
    key: LessSafeKey,
}

/// The keys that raw evidence is sealed with; only svc-enricher and svc-redactor hold them.
///
/// Nonces are random: with 96 bits, 2^32 messages per key keep the chance of a repetition below
/// 2^-32 (NIST SP 800-38D, 8.3), which is far more than one installation writes in a key's life.
pub struct SealingKeys {
    keys: Reloading<Vec<Arc<NamedKey>>>,
}

impl fmt::Debug for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys.fmt(f)
    }
}

impl SealingKeys {
    /// Reads a file of `chacha20-poly1305` lines: the first seals, all of them open. The file is read
    /// again when something was sealed with a key that is not known and the file has changed since.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let keys = Reloading::read(vec![path.to_owned()], read)?;
        Ok(Self { keys })
    }

    /// Seals a plain text for one subject.
    pub fn seal(&self, subject: &str, plain: &[u8]) -> Result<Sealed, KeyError> {
        let first = self.keys.find(|keys| keys.first().cloned());
        let key = first.ok_or(KeyError::Generate)?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| KeyError::Generate)?;
        let mut ciphertext = plain.to_vec();
        key.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(subject.as_bytes()),
                &mut ciphertext,
            )
            .map_err(|_| KeyError::Generate)?;
        Ok(Sealed {
            key_id: key.id.clone(),
            nonce: nonce.to_vec(),
            ciphertext,
        })
    }

    /// Opens what was sealed for this subject.
    pub fn open(&self, subject: &str, sealed: &Sealed) -> Result<Vec<u8>, OpenError> {
        let is_it = |key: &&Arc<NamedKey>| key.id == sealed.key_id;
        let key = self.keys.find(|keys| keys.iter().find(is_it).cloned());
        let key = key.ok_or_else(|| OpenError::UnknownKey(sealed.key_id.clone()))?;
        let nonce =
            Nonce::try_assume_unique_for_key(&sealed.nonce).map_err(|_| OpenError::Broken)?;
        let mut bytes = sealed.ciphertext.clone();
        let plain = key
            .key
            .open_in_place(nonce, Aad::from(subject.as_bytes()), &mut bytes)
            .map_err(|_| OpenError::Broken)?
            .len();
        bytes.truncate(plain);
        Ok(bytes)
    }
}

fn read(files: &[PathBuf]) -> Result<Vec<Arc<NamedKey>>, KeyError> {
    let mut keys = Vec::new();
    for file in files {
        keys.extend(named(&read_keys(file, ALGORITHM)?)?);
    }
    Ok(keys)
}

fn named(keys: &[KeyBytes]) -> Result<Vec<Arc<NamedKey>>, KeyError> {
    let named = |bytes: &KeyBytes| {
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes.as_slice())
            .map_err(|_| KeyError::Generate)?;
        Ok(Arc::new(NamedKey {
            id: key_id(bytes.as_slice()),
            key: LessSafeKey::new(key),
        }))
    };
    keys.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn keys(seeds: &[u8]) -> SealingKeys {
        let bytes: Vec<KeyBytes> = seeds
            .iter()
            .map(|seed| Zeroizing::new([*seed; 32]))
            .collect();
        SealingKeys {
            keys: Reloading::fixed(named(&bytes).unwrap()),
        }
    }

    #[test]
    fn a_rotated_key_still_opens_what_it_sealed() {
        let sealed = keys(&[1]).seal("s", b"evidence").unwrap();
        assert_eq!(keys(&[2, 1]).open("s", &sealed).unwrap(), b"evidence");
    }

    #[test]
    fn nobody_else_opens_it_and_it_opens_nowhere_else() {
        let sealed = keys(&[1]).seal("s", b"evidence").unwrap();
        assert!(matches!(
            keys(&[2]).open("s", &sealed),
            Err(OpenError::UnknownKey(_))
        ));
        assert_eq!(keys(&[1]).open("t", &sealed), Err(OpenError::Broken));
        let mut altered = sealed.clone();
        altered.ciphertext[0] ^= 1;
        assert_eq!(keys(&[1]).open("s", &altered), Err(OpenError::Broken));
        let short = Sealed {
            nonce: vec![1],
            ..sealed
        };
        assert_eq!(keys(&[1]).open("s", &short), Err(OpenError::Broken));
    }

    #[test]
    fn two_seals_of_one_text_differ() {
        let keys = keys(&[1]);
        assert_ne!(keys.seal("s", b"x").unwrap(), keys.seal("s", b"x").unwrap());
    }
}
