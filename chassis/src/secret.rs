//! Secrets come from files only, and are read again at every use, so that a rotated one is taken.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// A secret is larger than this only by mistake.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a secret cannot be read. Never holds the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read secret file {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is empty or far too large.
    #[error("secret file {path} holds {bytes} bytes; expected one secret of at most {MAX_BYTES}")]
    Size {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// The file is not touched until [`Self::read`].
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The content without surrounding white space.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let failed = |source| SecretError::Read {
            path: self.0.clone(),
            source,
        };
        let bytes = fs::metadata(&self.0).map_err(failed)?.len();
        if bytes == 0 || bytes > MAX_BYTES {
            return Err(SecretError::Size {
                path: self.0.clone(),
                bytes,
            });
        }
        let text = fs::read_to_string(&self.0).map_err(failed)?;
        if text.trim().is_empty() {
            return Err(SecretError::Size {
                path: self.0.clone(),
                bytes: 0,
            });
        }
        Ok(SecretString::from(text.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_rotated_secret_is_read_anew_and_never_printed() {
        let dir = tempfile::tempdir().unwrap();
        let file = SecretFile::new(dir.path().join("s"));
        assert!(matches!(file.read(), Err(SecretError::Read { .. })));
        fs::write(file.path(), "").unwrap();
        assert!(matches!(
            file.read(),
            Err(SecretError::Size { bytes: 0, .. })
        ));
        fs::write(file.path(), "first\n").unwrap();
        assert_eq!(file.read().unwrap().expose_secret(), "first");
        fs::write(file.path(), "second\n").unwrap();
        let secret = file.read().unwrap();
        assert_eq!(secret.expose_secret(), "second");
        assert!(!format!("{secret:?}").contains("second"));
    }
}
