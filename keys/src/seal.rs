use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use bonesetter_proto::v1::Sealed;

use crate::file::{KeyBytes, KeyError, changed, key_id, read_keys};

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

/// What was read, and when the file had been changed then.
struct Known {
    keys: Vec<Arc<NamedKey>>,
    changed: Vec<Option<SystemTime>>,
}

/// The keys that raw evidence is sealed with; only svc-enricher and svc-redactor hold them.
///
/// Nonces are random: with 96 bits, 2^32 messages per key keep the chance of a repetition below
/// 2^-32 (NIST SP 800-38D, 8.3), which is far more than one installation writes in a key's life.
pub struct SealingKeys {
    known: RwLock<Known>,
    file: Vec<PathBuf>,
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let ids = known.keys.iter().map(|key| &key.id);
        f.debug_list().entries(ids).finish()
    }
}

impl SealingKeys {
    /// Reads a file of `chacha20-poly1305` lines: the first seals, all of them open. The file is read
    /// again when something was sealed with a key that is not known and the file has changed since.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = vec![path.to_owned()];
        let changed = changed(&file);
        let keys = named(&read_keys(path, ALGORITHM)?)?;
        Ok(Self {
            known: RwLock::new(Known { keys, changed }),
            file,
        })
    }

    /// Seals a plain text for one subject.
    pub fn seal(&self, subject: &str, plain: &[u8]) -> Result<Sealed, KeyError> {
        let first = self.find(|_| true);
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
        let is_it = |key: &NamedKey| key.id == sealed.key_id;
        let key = self.find(is_it).or_else(|| {
            self.read_again();
            self.find(is_it)
        });
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

    fn find(&self, is_it: impl Fn(&NamedKey) -> bool) -> Option<Arc<NamedKey>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.keys.iter().find(|key| is_it(key)).cloned()
    }

    /// A file that cannot be read leaves what is known.
    fn read_again(&self) {
        let changed = changed(&self.file);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.changed == changed {
            return;
        }
        let keys = self.file.first().map(|file| read_keys(file, ALGORITHM));
        if let Some(Ok(keys)) = keys
            && let Ok(keys) = named(&keys)
        {
            *known = Known { keys, changed };
        }
    }
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
            known: RwLock::new(Known {
                keys: named(&bytes).unwrap(),
                changed: Vec::new(),
            }),
            file: Vec::new(),
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
