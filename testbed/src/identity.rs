//! Keys of a testbed, and what its NATS server knows of them.

use std::path::Path;

use bonesetter_chassis::topology::{ExternalUser, MissingPublicKey, USERS, authorization_of};
use bonesetter_keys::{KeyDirectory, KeyError};

/// Keys could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Making them failed.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The set is of another version.
    #[error("{0}; remove the folder of the keys and run the command again")]
    Incomplete(#[from] MissingPublicKey),
}

/// The keys of the testbed in a state directory; made at the first call. A set that is older than
/// one of the users gets that user's nkey.
pub fn keys(state_dir: &Path) -> Result<KeyDirectory, Error> {
    let folder = state_dir.join("keys");
    let users: Vec<&str> = USERS.iter().map(|user| user.name).collect();
    if !folder.join("trusted").is_dir() {
        return Ok(bonesetter_keys::init(&folder, &users)?);
    }
    let keys = KeyDirectory::new(folder);
    bonesetter_keys::complete(&keys, &users)?;
    Ok(keys)
}

/// The accounts of the NATS server, with the public keys of the testbed's users.
pub fn authorization(state_dir: &Path) -> Result<String, Error> {
    authorization_with(state_dir, &[])
}

/// As [`authorization`], with external tools; makes nkeys for those that have none.
pub fn authorization_with(state_dir: &Path, tools: &[ExternalUser]) -> Result<String, Error> {
    let keys = keys(state_dir)?;
    let users: Vec<String> = tools.iter().map(ExternalUser::user).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    bonesetter_keys::complete(&keys, &users)?;
    Ok(authorization_of(&keys, tools)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_set_that_is_older_than_a_user_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        let user = USERS[0].name;
        let made = keys(dir.path()).unwrap();
        let other = fs::read_to_string(made.nkey_seed(USERS[1].name)).unwrap();
        fs::remove_file(made.nkey_seed(user)).unwrap();
        fs::remove_file(made.nkey_public(user)).unwrap();
        let text = authorization(dir.path()).unwrap();
        let public = fs::read_to_string(made.nkey_public(user)).unwrap();
        assert!(text.contains(public.trim()), "{text}");
        assert_eq!(
            fs::read_to_string(made.nkey_seed(USERS[1].name)).unwrap(),
            other
        );
    }
}
