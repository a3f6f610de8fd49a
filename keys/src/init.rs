use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use bonesetter_proto::Writer;
use nkeys::KeyPair;
use zeroize::Zeroizing;

use crate::file::{KeyError, format_line};
use crate::{SigningKey, digest, seal, sign};

/// Where the keys of an installation are. One directory per holder in production; one in the testbed.
#[derive(Debug, Clone)]
pub struct KeyDirectory(PathBuf);

impl KeyDirectory {
    /// A directory that [`init`] filled.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Private signing key of a service.
    pub fn signing(&self, writer: Writer) -> PathBuf {
        self.0
            .join("signing")
            .join(format!("{}.key", writer.service()))
    }

    /// Public key of a signing service.
    pub fn verifying(&self, writer: Writer) -> PathBuf {
        self.trusted().join(format!("{}.pub", writer.service()))
    }

    /// Directory with the public keys of all signing services.
    pub fn trusted(&self) -> PathBuf {
        self.0.join("trusted")
    }

    /// Seals raw evidence: enricher and redactor only.
    pub fn evidence(&self) -> PathBuf {
        self.0.join("evidence.key")
    }

    /// Keys digests over raw data: enricher, redactor and actuator.
    pub fn digest(&self) -> PathBuf {
        self.0.join("digest.key")
    }

    /// Seals the former values that a change is taken back to: actuator only.
    pub fn inverse(&self) -> PathBuf {
        self.0.join("inverse.key")
    }

    /// Signs webhook deliveries: notifier and the receiver.
    pub fn webhook(&self) -> PathBuf {
        self.0.join("webhook.key")
    }

    /// NATS nkey seed of a user.
    pub fn nkey_seed(&self, user: &str) -> PathBuf {
        self.nats().join(format!("{user}.nk"))
    }

    /// NATS nkey seed that takes the place of a user's.
    pub(crate) fn nkey_next(&self, user: &str) -> PathBuf {
        self.nats().join(format!("{user}.next.nk"))
    }

    /// NATS nkey public keys of a user, one a line, the one in use first.
    pub fn nkey_public(&self, user: &str) -> PathBuf {
        self.nats().join(format!("{user}.pub"))
    }

    pub(crate) fn nats(&self) -> PathBuf {
        self.0.join("nats")
    }

    /// Every file of a set.
    fn all(&self, nats_users: &[&str]) -> Vec<PathBuf> {
        let mut all = vec![
            self.evidence(),
            self.inverse(),
            self.digest(),
            self.webhook(),
        ];
        for writer in Writer::ALL {
            all.push(self.signing(writer));
            all.push(self.verifying(writer));
        }
        for user in nats_users {
            all.extend([self.nkey_seed(user), self.nkey_public(user)]);
        }
        all
    }
}

/// Makes every key of an installation. Existing files are never overwritten.
pub fn init(dir: &Path, nats_users: &[&str]) -> Result<KeyDirectory, KeyError> {
    let keys = KeyDirectory::new(dir);
    if let Some(path) = keys.all(nats_users).into_iter().find(|path| path.exists()) {
        return Err(KeyError::Exists { path });
    }
    for writer in Writer::ALL {
        write_signing(&keys, writer)?;
    }
    for path in [keys.evidence(), keys.inverse()] {
        write_private(&path, &format_line(seal::ALGORITHM, random()?.as_slice()))?;
    }
    for path in [keys.digest(), keys.webhook()] {
        write_private(&path, &format_line(digest::ALGORITHM, random()?.as_slice()))?;
    }
    for user in nats_users {
        write_nkey(&keys, user)?;
    }
    Ok(keys)
}

/// Makes the nkeys of users, and the signing keys of services, of whom a set knows nothing; touches
/// nothing that is there.
pub fn complete(keys: &KeyDirectory, nats_users: &[&str]) -> Result<(), KeyError> {
    for user in nats_users {
        // A seed that its holder took away leaves the public key behind: that user is known.
        if !keys.nkey_seed(user).exists() && !keys.nkey_public(user).exists() {
            write_nkey(keys, user)?;
        }
    }
    for writer in Writer::ALL {
        if !keys.signing(writer).exists() && !keys.verifying(writer).exists() {
            write_signing(keys, writer)?;
        }
    }
    Ok(())
}

fn write_signing(keys: &KeyDirectory, writer: Writer) -> Result<(), KeyError> {
    let seed = random()?;
    let key = SigningKey::from_seed(&seed)?;
    let line = format_line(sign::SEED, seed.as_slice());
    write_private(&keys.signing(writer), &line)?;
    let line = format_line(sign::PUBLIC, key.public_key());
    write_new(&keys.verifying(writer), &line, 0o644)
}

fn write_nkey(keys: &KeyDirectory, user: &str) -> Result<(), KeyError> {
    let pair = KeyPair::new_user();
    let seed = Zeroizing::new(pair.seed().map_err(|_| KeyError::Generate)?);
    write_private(&keys.nkey_seed(user), &seed)?;
    write_new(&keys.nkey_public(user), &pair.public_key(), 0o644)
}

pub(crate) fn random() -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Generate)?;
    Ok(bytes)
}

pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), KeyError> {
    write_new(path, text, 0o600)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
    let failed = |source| KeyError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    if path.exists() {
        return Err(KeyError::Exists {
            path: path.to_owned(),
        });
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{DigestKey, SealingKeys, VerifyingKeys};

    #[test]
    fn every_key_of_a_fresh_set_can_be_read_and_private_ones_only_by_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let keys = init(dir.path(), &["svc-watcher"]).unwrap();
        VerifyingKeys::read(&keys.trusted()).unwrap();
        SealingKeys::read(&keys.evidence()).unwrap();
        SealingKeys::read(&keys.inverse()).unwrap();
        DigestKey::read(&keys.digest()).unwrap();
        DigestKey::read(&keys.webhook()).unwrap();
        for writer in Writer::ALL {
            SigningKey::read(&keys.signing(writer)).unwrap();
            let mode = fs::metadata(keys.signing(writer))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let seed = fs::read_to_string(keys.nkey_seed("svc-watcher")).unwrap();
        let public = fs::read_to_string(keys.nkey_public("svc-watcher")).unwrap();
        assert_eq!(KeyPair::from_seed(&seed).unwrap().public_key(), public);
    }

    #[test]
    fn users_that_a_set_lacks_are_added_and_nothing_else_changes() {
        let dir = tempfile::tempdir().unwrap();
        let keys = init(dir.path(), &["old", "taken-away"]).unwrap();
        fs::remove_file(keys.nkey_seed("taken-away")).unwrap();
        let read = |path| fs::read_to_string(path).unwrap();
        let before = read(keys.nkey_seed("old"));
        complete(&keys, &["old", "taken-away", "new"]).unwrap();
        let seed = read(keys.nkey_seed("new"));
        let public = KeyPair::from_seed(&seed).unwrap().public_key();
        assert_eq!(public, read(keys.nkey_public("new")));
        assert_eq!(before, read(keys.nkey_seed("old")));
        assert!(!keys.nkey_seed("taken-away").exists());
        complete(&keys, &["new"]).unwrap();
        assert_eq!(seed, read(keys.nkey_seed("new")));
    }

    #[test]
    fn signing_services_that_a_set_lacks_are_added_and_nothing_else_changes() {
        let dir = tempfile::tempdir().unwrap();
        let keys = init(dir.path(), &[]).unwrap();
        let read = |path| fs::read_to_string(path).unwrap();
        let before = read(keys.verifying(Writer::Llm));
        // Of one service nothing is there, of another the private key is with its holder.
        fs::remove_file(keys.signing(Writer::Publisher)).unwrap();
        fs::remove_file(keys.verifying(Writer::Publisher)).unwrap();
        fs::remove_file(keys.signing(Writer::Llm)).unwrap();
        complete(&keys, &[]).unwrap();
        VerifyingKeys::read(&keys.trusted()).unwrap();
        SigningKey::read(&keys.signing(Writer::Publisher)).unwrap();
        assert_eq!(before, read(keys.verifying(Writer::Llm)));
        assert!(!keys.signing(Writer::Llm).exists());
    }

    #[test]
    fn nothing_is_written_where_one_key_of_the_set_is_already() {
        let dir = tempfile::tempdir().unwrap();
        let present = KeyDirectory::new(dir.path()).nkey_public("svc-audit");
        fs::create_dir_all(present.parent().unwrap()).unwrap();
        fs::write(&present, "").unwrap();
        let error = init(dir.path(), &["svc-audit"]).unwrap_err();
        assert!(matches!(error, KeyError::Exists { path } if path == present));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn keys_are_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path(), &[]).unwrap();
        assert!(matches!(
            init(dir.path(), &[]),
            Err(KeyError::Exists { .. })
        ));
    }
}
