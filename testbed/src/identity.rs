//! Keys of a testbed, and what its NATS server knows of them.

use std::fs;
use std::path::Path;

use bonesetter_chassis::topology::{self, USERS};
use bonesetter_keys::{KeyDirectory, KeyError};

/// Keys could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Making them failed.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A public key is missing: the set is of another version.
    #[error("cannot read {path}: {source}; remove the folder {folder} and run the command again")]
    Incomplete {
        /// The file.
        path: String,
        /// Where the keys are.
        folder: String,
        /// Why.
        source: std::io::Error,
    },
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
    let keys = keys(state_dir)?;
    let mut public = std::collections::BTreeMap::new();
    for user in USERS {
        let path = keys.nkey_public(user.name);
        let key = fs::read_to_string(&path).map_err(|source| Error::Incomplete {
            path: path.display().to_string(),
            folder: state_dir.join("keys").display().to_string(),
            source,
        })?;
        public.insert(user.name, key.trim().to_owned());
    }
    Ok(topology::authorization(|user| public.get(user.name).cloned().unwrap_or_default()))
}
