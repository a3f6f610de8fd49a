//! Keys take each other's place in three steps, so that at no time somebody meets a key that it does
//! not know: a new one is made known to all who read, then put to use by the one who writes, and the
//! old one is forgotten when nothing is left that was made with it.
//!
//! A file holds one key a line; the first is the one in use.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bonesetter_proto::Writer;

use crate::file::{KeyBytes, KeyError, format_line, key_id, read_keys};
use crate::init::{KeyDirectory, random};
use crate::{SigningKey, digest, seal, sign};

/// A key that can be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotating {
    /// Seals raw evidence.
    Evidence,
    /// Seals former values.
    Inverse,
    /// Signs deliveries to the webhook.
    Webhook,
    /// Signs the messages of a service.
    Signing(Writer),
}

/// A key of a file, by its id: 16 hex digits, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// Its id.
    pub id: String,
    /// Whether it is the one in use; others are known only.
    pub is_in_use: bool,
}

impl Rotating {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Evidence, Self::Inverse, Self::Webhook];
        all.extend(Writer::ALL.map(Self::Signing));
        all
    }

    /// Its name on the command line: `evidence`, `inverse`, `webhook`, or the service that signs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Inverse => "inverse",
            Self::Webhook => "webhook",
            Self::Signing(writer) => writer.service(),
        }
    }

    /// The file of the one who writes with it.
    pub fn file(self, keys: &KeyDirectory) -> PathBuf {
        match self {
            Self::Evidence => keys.evidence(),
            Self::Inverse => keys.inverse(),
            Self::Webhook => keys.webhook(),
            Self::Signing(writer) => keys.signing(writer),
        }
    }

    const fn algorithm(self) -> &'static str {
        match self {
            Self::Evidence | Self::Inverse => seal::ALGORITHM,
            Self::Webhook => digest::ALGORITHM,
            Self::Signing(_) => sign::SEED,
        }
    }

    fn id(self, key: &KeyBytes) -> Result<String, KeyError> {
        Ok(match self {
            Self::Signing(_) => key_id(SigningKey::from_seed(key)?.public_key()),
            _ => key_id(key.as_slice()),
        })
    }

    fn read(self, keys: &KeyDirectory) -> Result<Vec<(String, KeyBytes)>, KeyError> {
        read_keys(&self.file(keys), self.algorithm())?
            .into_iter()
            .map(|key| Ok((self.id(&key)?, key)))
            .collect()
    }

    /// Writes the keys; what is trusted of them first, so that nothing is ever in use and not trusted.
    fn write(self, keys: &KeyDirectory, all: &[(String, KeyBytes)]) -> Result<(), KeyError> {
        if let Self::Signing(writer) = self {
            let mut text = String::new();
            for (_, seed) in all {
                let key = SigningKey::from_seed(seed)?;
                text.push_str(&format_line(sign::PUBLIC, key.public_key()));
            }
            replace(&keys.verifying(writer), &text)?;
        }
        let mut text = zeroize::Zeroizing::new(String::new());
        for (_, key) in all {
            text.push_str(&format_line(self.algorithm(), key.as_slice()));
        }
        replace(&self.file(keys), &text)
    }

    /// The keys there are, the one in use first.
    pub fn list(self, keys: &KeyDirectory) -> Result<Vec<KeyState>, KeyError> {
        let states = self.read(keys)?.into_iter().enumerate();
        let state = |(place, (id, _)): (usize, (String, KeyBytes))| KeyState {
            id,
            is_in_use: place == 0,
        };
        Ok(states.map(state).collect())
    }

    /// Makes a key that is known and not in use, and returns its id.
    pub fn make_known(self, keys: &KeyDirectory) -> Result<String, KeyError> {
        let mut all = self.read(keys)?;
        let key = random()?;
        let id = self.id(&key)?;
        all.insert(1, (id.clone(), key));
        self.write(keys, &all)?;
        Ok(id)
    }

    /// Puts the newest key that is not in use to use, and returns its id.
    pub fn promote(self, keys: &KeyDirectory) -> Result<String, KeyError> {
        let mut all = self.read(keys)?;
        if all.len() < 2 {
            return Err(KeyError::NoOther {
                path: self.file(keys),
            });
        }
        all.swap(0, 1);
        self.write(keys, &all)?;
        Ok(all.swap_remove(0).0)
    }

    /// Forgets a key that is not in use.
    pub fn retire(self, keys: &KeyDirectory, id: &str) -> Result<(), KeyError> {
        let mut all = self.read(keys)?;
        let (path, id) = (self.file(keys), id.to_owned());
        match all.iter().position(|(known, _)| *known == id) {
            None => Err(KeyError::NoSuchKey { path, id }),
            Some(0) => Err(KeyError::InUse { path, id }),
            Some(place) => {
                all.remove(place);
                self.write(keys, &all)
            }
        }
    }
}

/// Writes a file anew, with the mode that it has; a crash leaves the old one or the new one.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), KeyError> {
    let failed = |source| KeyError::Write {
        path: path.to_owned(),
        source,
    };
    let mode = fs::metadata(path).map_err(failed)?.mode() & 0o777;
    let part = path.with_extension("part");
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&part)
        .map_err(failed)?;
    io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&part, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::{Envelope, Redacted};
    use prost::Message as _;

    use super::*;
    use crate::{SealingKeys, VerifyError, VerifyingKeys, init};

    const SUBJECT: &str = "s";

    fn fresh() -> (tempfile::TempDir, KeyDirectory) {
        let dir = tempfile::tempdir().unwrap();
        let keys = init(dir.path(), &[]).unwrap();
        (dir, keys)
    }

    fn ids(what: Rotating, keys: &KeyDirectory) -> Vec<String> {
        let list = what.list(keys).unwrap();
        assert!(list[0].is_in_use && list[1..].iter().all(|key| !key.is_in_use));
        list.into_iter().map(|key| key.id).collect()
    }

    #[test]
    fn every_key_is_made_known_put_to_use_and_forgotten() {
        let (_dir, keys) = fresh();
        for what in Rotating::all() {
            let old = ids(what, &keys).remove(0);
            let new = what.make_known(&keys).unwrap();
            assert_eq!(ids(what, &keys), [old.clone(), new.clone()]);
            assert!(matches!(
                what.retire(&keys, &old),
                Err(KeyError::InUse { .. })
            ));
            assert_eq!(what.promote(&keys).unwrap(), new);
            assert_eq!(ids(what, &keys), [new.clone(), old.clone()]);
            what.retire(&keys, &old).unwrap();
            assert_eq!(ids(what, &keys), [new]);
            assert!(matches!(what.promote(&keys), Err(KeyError::NoOther { .. })));
            let gone = what.retire(&keys, &old);
            assert!(matches!(gone, Err(KeyError::NoSuchKey { .. })));
        }
    }

    #[test]
    fn of_several_new_keys_the_newest_is_put_to_use() {
        let (_dir, keys) = fresh();
        Rotating::Evidence.make_known(&keys).unwrap();
        let newest = Rotating::Evidence.make_known(&keys).unwrap();
        assert_eq!(Rotating::Evidence.promote(&keys).unwrap(), newest);
        assert_eq!(ids(Rotating::Evidence, &keys).len(), 3);
    }

    #[test]
    fn private_files_stay_private() {
        let (_dir, keys) = fresh();
        for what in Rotating::all() {
            what.make_known(&keys).unwrap();
            let mode = fs::metadata(what.file(&keys)).unwrap().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", what.name());
        }
    }

    #[test]
    fn who_reads_takes_a_new_sealing_key_without_being_started_again() {
        let (_dir, keys) = fresh();
        let reader = SealingKeys::read(&keys.evidence()).unwrap();
        let old = SealingKeys::read(&keys.evidence()).unwrap();
        let before = old.seal(SUBJECT, b"before").unwrap();
        Rotating::Evidence.make_known(&keys).unwrap();
        Rotating::Evidence.promote(&keys).unwrap();
        let writer = SealingKeys::read(&keys.evidence()).unwrap();
        let after = writer.seal(SUBJECT, b"after").unwrap();
        assert_ne!(before.key_id, after.key_id);
        assert_eq!(reader.open(SUBJECT, &after).unwrap(), b"after");
        assert_eq!(reader.open(SUBJECT, &before).unwrap(), b"before");
    }

    #[test]
    fn who_verifies_takes_a_new_signing_key_without_being_started_again() {
        let (_dir, keys) = fresh();
        let reader = VerifyingKeys::read(&keys.trusted()).unwrap();
        let what = Rotating::Signing(Writer::Redactor);
        let payload = Redacted {
            envelope: Some(Envelope {
                subject: SUBJECT.to_owned(),
                ..Envelope::default()
            }),
            ..Redacted::default()
        }
        .encode_to_vec();
        let sign = || {
            let key = SigningKey::read(&keys.signing(Writer::Redactor)).unwrap();
            key.sign(SUBJECT, &payload)
        };
        let old = sign();
        what.make_known(&keys).unwrap();
        what.promote(&keys).unwrap();
        let new = sign();
        assert_ne!(old.key_id, new.key_id);
        for signature in [&new, &old] {
            let verified = reader.verify::<Redacted>(SUBJECT, &payload, signature);
            assert!(verified.is_ok(), "{verified:?}");
        }
        what.retire(&keys, &old.key_id).unwrap();
        let later = VerifyingKeys::read(&keys.trusted()).unwrap();
        let verified = later.verify::<Redacted>(SUBJECT, &payload, &old);
        assert!(matches!(verified, Err(VerifyError::UnknownKey { .. })));
        let broken = fs::write(keys.trusted().join("svc-redactor.pub"), "no key");
        broken.unwrap();
        assert!(reader.verify::<Redacted>(SUBJECT, &payload, &new).is_ok());
    }
}
