//! Keys of a testbed, and what its NATS server knows of them.

use std::path::Path;

use bonesetter_chassis::topology::{MissingPublicKey, USERS, authorization_of};
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

/// The keys of the testbed in a state directory; made at the first call.
pub fn keys(state_dir: &Path) -> Result<KeyDirectory, Error> {
    let folder = state_dir.join("keys");
    if folder.join("trusted").is_dir() {
        return Ok(KeyDirectory::new(folder));
    }
    let users: Vec<&str> = USERS.iter().map(|user| user.name).collect();
    Ok(bonesetter_keys::init(&folder, &users)?)
}

/// The accounts of the NATS server, with the public keys of the testbed's users.
pub fn authorization(state_dir: &Path) -> Result<String, Error> {
    Ok(authorization_of(&keys(state_dir)?)?)
}
