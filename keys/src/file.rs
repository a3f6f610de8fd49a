use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Why a key file cannot be used. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error(
        "cannot read key file {path}: {source}; `bonesetter keys init DIR` makes a set of keys"
    )]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write key file {path}: {source}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not `<algorithm>:<base64>`.
    #[error("line {line} of key file {path} is not `{algorithm}:<base64 of {bytes} bytes>`")]
    Format {
        /// Which file.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
        /// What was expected.
        algorithm: &'static str,
        /// Length of the key in bytes.
        bytes: usize,
    },
    /// The file holds no key.
    #[error("key file {path} holds no key")]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The directory holds keys already.
    #[error("{path} exists already; keys are never overwritten, choose another directory")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// There is no such key.
    #[error("{path} holds no key {id:?}; `bonesetter keys list` names those that there are")]
    NoSuchKey {
        /// Which file.
        path: PathBuf,
        /// As it was asked for.
        id: String,
    },
    /// The key is the one in use.
    #[error(
        "key {id:?} of {path} is the one in use; make another one with `bonesetter keys add` and put it to \
         use with `bonesetter keys promote` first"
    )]
    InUse {
        /// Which file.
        path: PathBuf,
        /// As it was asked for.
        id: String,
    },
    /// There is no other key that could take its place.
    #[error("{path} holds one key only; `bonesetter keys add` makes another one")]
    NoOther {
        /// Which file.
        path: PathBuf,
    },
    /// A line is not the public half of an nkey.
    #[error("{path} holds {line:?}, which is not the public key of a user of NATS (U...)")]
    NoNkey {
        /// Which file.
        path: PathBuf,
        /// What stands there.
        line: String,
    },
    /// A file does not hold the private half of an nkey.
    #[error("{path} does not hold the nkey seed of a user of NATS (SU...)")]
    NoSeed {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system gave no randomness, or a key was refused by the library.
    #[error("cannot make a key: the cryptographic library refused it")]
    Generate,
}

pub(crate) type KeyBytes = Zeroizing<[u8; 32]>;

/// Reads every key of a file; blank lines and lines that start with `#` are skipped.
pub(crate) fn read_keys(path: &Path, algorithm: &'static str) -> Result<Vec<KeyBytes>, KeyError> {
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| KeyError::Read {
            path: path.to_owned(),
            source,
        })?;
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = parse_line(line, algorithm).ok_or_else(|| KeyError::Format {
            path: path.to_owned(),
            line: index + 1,
            algorithm,
            bytes: 32,
        })?;
        keys.push(key);
    }
    if keys.is_empty() {
        Err(KeyError::Empty {
            path: path.to_owned(),
        })
    } else {
        Ok(keys)
    }
}

/// When files were last changed, in their order; what cannot be seen has no time.
pub(crate) fn changed(paths: &[PathBuf]) -> Vec<Option<SystemTime>> {
    let time = |path: &PathBuf| fs::metadata(path).ok()?.modified().ok();
    paths.iter().map(time).collect()
}

/// The first 8 bytes of the SHA-256 of what identifies a key, as 16 hex digits.
pub(crate) fn key_id(bytes: &[u8]) -> String {
    hex::encode(&digest::digest(&digest::SHA256, bytes).as_ref()[..8])
}

fn parse_line(line: &str, algorithm: &str) -> Option<KeyBytes> {
    let encoded = line.strip_prefix(algorithm)?.strip_prefix(':')?;
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    decoded.as_slice().try_into().ok().map(Zeroizing::new)
}

pub(crate) fn format_line(algorithm: &str, key: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(format!("{algorithm}:{}\n", STANDARD.encode(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_newest_first_and_comments_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let text = format!(
            "# rotated\n{}\n{}",
            *format_line("hmac-sha256", &[1; 32]),
            *format_line("hmac-sha256", &[2; 32])
        );
        fs::write(&path, text).unwrap();
        let keys = read_keys(&path, "hmac-sha256").unwrap();
        assert_eq!(keys.iter().map(|key| key[0]).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_key_of_another_kind_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let line = format_line("ed25519-public", &[7; 32]);
        fs::write(&path, &*line).unwrap();
        let error = read_keys(&path, "ed25519-seed").unwrap_err();
        assert!(matches!(error, KeyError::Format { line: 1, .. }));
        assert!(!error.to_string().contains("BwcH"), "{error}");
    }

    #[test]
    fn an_empty_file_and_a_missing_file_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        assert!(matches!(read_keys(&path, "x"), Err(KeyError::Read { .. })));
        fs::write(&path, "\n").unwrap();
        assert!(matches!(read_keys(&path, "x"), Err(KeyError::Empty { .. })));
    }
}
