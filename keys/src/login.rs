//! The nkeys with which users log in to NATS take each other's place in the same three steps as other keys:
//! the server is told of a new one, the user logs in with it, and the server forgets the old one.
//!
//! `nats/USER.pub` holds the public keys that the server admits, one a line, the one in use first. A seed has
//! a file of its own, because other people's clients read it whole: `nats/USER.nk` is in use,
//! `nats/USER.next.nk` takes its place.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use nkeys::KeyPair;
use zeroize::Zeroizing;

use crate::file::KeyError;
use crate::init::{KeyDirectory, write_private};
use crate::rotate::{KeyState, replace};

/// The nkeys of one user of NATS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Login(String);

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0)
    }
}

impl Login {
    /// What its name on the command line begins with; the name of the user follows.
    pub const PREFIX: &str = "nats/";

    /// Those of a user.
    pub fn of(user: &str) -> Self {
        Self(user.to_owned())
    }

    /// Of every user of a set, those of external tools included.
    pub fn all(keys: &KeyDirectory) -> Result<Vec<Self>, KeyError> {
        let folder = keys.nats();
        let failed = |source| KeyError::Read {
            path: folder.clone(),
            source,
        };
        let mut all = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let user = name.to_str().and_then(|name| name.strip_suffix(".pub"));
            all.extend(user.map(Self::of));
        }
        all.sort();
        Ok(all)
    }

    /// Whose.
    pub fn user(&self) -> &str {
        &self.0
    }

    /// The public keys that the server admits, the one in use first.
    pub fn public_keys(&self, keys: &KeyDirectory) -> Result<Vec<String>, KeyError> {
        let path = keys.nkey_public(&self.0);
        let text = read(&path)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let all: Vec<String> = lines.map(str::to_owned).collect();
        if all.is_empty() {
            return Err(KeyError::Empty { path });
        }
        match all
            .iter()
            .find(|key| KeyPair::from_public_key(key).is_err())
        {
            Some(key) => Err(KeyError::NoNkey {
                path,
                line: key.clone(),
            }),
            None => Ok(all),
        }
    }

    /// The keys there are, the one in use first; the id of an nkey is its public half.
    pub fn list(&self, keys: &KeyDirectory) -> Result<Vec<KeyState>, KeyError> {
        let all = self.public_keys(keys)?.into_iter().enumerate();
        let state = |(place, id)| KeyState {
            id,
            is_in_use: place == 0,
        };
        Ok(all.map(state).collect())
    }

    /// Makes an nkey that is known and not in use, and returns its public half. One at a time.
    pub fn make_known(&self, keys: &KeyDirectory) -> Result<String, KeyError> {
        let mut all = self.public_keys(keys)?;
        let pair = KeyPair::new_user();
        let seed = Zeroizing::new(pair.seed().map_err(|_| KeyError::Generate)?);
        write_private(&keys.nkey_next(&self.0), &seed)?;
        all.push(pair.public_key());
        self.write(keys, &all)?;
        Ok(pair.public_key())
    }

    /// Puts the new nkey to use, and returns its public half.
    pub fn promote(&self, keys: &KeyDirectory) -> Result<String, KeyError> {
        let mut all = self.public_keys(keys)?;
        let next = self.next(keys)?.ok_or_else(|| KeyError::NoOther {
            path: keys.nkey_public(&self.0),
        })?;
        all.retain(|key| *key != next);
        all.insert(0, next.clone());
        // Whichever is in use when this is interrupted, the server knows both.
        self.write(keys, &all)?;
        let (from, path) = (keys.nkey_next(&self.0), keys.nkey_seed(&self.0));
        fs::rename(&from, &path).map_err(|source| KeyError::Write { path, source })?;
        Ok(next)
    }

    /// Forgets an nkey that is not in use.
    pub fn retire(&self, keys: &KeyDirectory, id: &str) -> Result<(), KeyError> {
        let mut all = self.public_keys(keys)?;
        let (path, id) = (keys.nkey_public(&self.0), id.to_owned());
        match all.iter().position(|known| *known == id) {
            None => Err(KeyError::NoSuchKey { path, id }),
            Some(0) => Err(KeyError::InUse { path, id }),
            Some(place) => {
                all.remove(place);
                self.write(keys, &all)?;
                if self.next(keys)?.is_some_and(|next| next == id) {
                    let path = keys.nkey_next(&self.0);
                    fs::remove_file(&path).map_err(|source| KeyError::Write { path, source })?;
                }
                Ok(())
            }
        }
    }

    /// The public half of the seed that is to be used next.
    fn next(&self, keys: &KeyDirectory) -> Result<Option<String>, KeyError> {
        let path = keys.nkey_next(&self.0);
        match read(&path) {
            Ok(seed) => match KeyPair::from_seed(seed.trim()) {
                Ok(pair) => Ok(Some(pair.public_key())),
                Err(_) => Err(KeyError::NoSeed { path }),
            },
            Err(KeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn write(&self, keys: &KeyDirectory, all: &[String]) -> Result<(), KeyError> {
        replace(&keys.nkey_public(&self.0), &all.join("\n"))
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let text = fs::read_to_string(path).map(Zeroizing::new);
    text.map_err(|source| KeyError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::init;

    fn fresh() -> (tempfile::TempDir, KeyDirectory, Login) {
        let dir = tempfile::tempdir().unwrap();
        let keys = init(dir.path(), &["svc-llm", "external-siem"]).unwrap();
        (dir, keys, Login::of("svc-llm"))
    }

    fn public_of_seed(keys: &KeyDirectory) -> String {
        let seed = fs::read_to_string(keys.nkey_seed("svc-llm")).unwrap();
        KeyPair::from_seed(&seed).unwrap().public_key()
    }

    #[test]
    fn an_nkey_is_made_known_put_to_use_and_forgotten() {
        let (_dir, keys, login) = fresh();
        let old = public_of_seed(&keys);
        let new = login.make_known(&keys).unwrap();
        assert_eq!(
            login.public_keys(&keys).unwrap(),
            [&old, &new].map(String::clone)
        );
        assert_eq!(public_of_seed(&keys), old);
        let in_use = login.retire(&keys, &old);
        assert!(matches!(in_use, Err(KeyError::InUse { .. })));
        assert_eq!(login.promote(&keys).unwrap(), new);
        assert_eq!(
            login.public_keys(&keys).unwrap(),
            [&new, &old].map(String::clone)
        );
        assert_eq!(public_of_seed(&keys), new);
        assert!(matches!(
            login.promote(&keys),
            Err(KeyError::NoOther { .. })
        ));
        login.retire(&keys, &old).unwrap();
        assert_eq!(login.public_keys(&keys).unwrap(), [new]);
        let gone = login.retire(&keys, &old);
        assert!(matches!(gone, Err(KeyError::NoSuchKey { .. })));
    }

    #[test]
    fn a_new_nkey_is_private_waits_for_its_turn_and_can_be_given_up() {
        let (_dir, keys, login) = fresh();
        let new = login.make_known(&keys).unwrap();
        let next = keys.nkey_next("svc-llm");
        assert_eq!(fs::metadata(&next).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(
            login.make_known(&keys),
            Err(KeyError::Exists { .. })
        ));
        assert_eq!(login.public_keys(&keys).unwrap().len(), 2);
        login.retire(&keys, &new).unwrap();
        assert!(!next.exists());
        login.make_known(&keys).unwrap();
    }

    #[test]
    fn an_interrupted_promotion_is_repeated() {
        let (_dir, keys, login) = fresh();
        let old = public_of_seed(&keys);
        let new = login.make_known(&keys).unwrap();
        login.write(&keys, &[new.clone(), old.clone()]).unwrap();
        assert_eq!(login.promote(&keys).unwrap(), new);
        assert_eq!(login.public_keys(&keys).unwrap(), [new, old]);
    }

    #[test]
    fn every_user_of_a_set_is_listed_and_what_is_no_nkey_is_refused() {
        let (_dir, keys, login) = fresh();
        login.make_known(&keys).unwrap();
        let all = Login::all(&keys).unwrap();
        assert_eq!(all, ["external-siem", "svc-llm"].map(Login::of));
        assert_eq!(all[1].to_string(), "nats/svc-llm");
        fs::write(keys.nkey_public("svc-llm"), "UNKNOWN }").unwrap();
        let refused = login.public_keys(&keys);
        assert!(matches!(refused, Err(KeyError::NoNkey { .. })));
        fs::write(keys.nkey_public("svc-llm"), "\n").unwrap();
        let refused = login.public_keys(&keys);
        assert!(matches!(refused, Err(KeyError::Empty { .. })));
    }
}
