use std::fmt;
use std::path::Path;

use aws_lc_rs::{digest, hmac};

use crate::file::{KeyError, read_keys};

pub(crate) const ALGORITHM: &str = "hmac-sha256";
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The key of digests over raw data. Plain hashes would let short secrets be guessed from them.
#[derive(Clone)]
pub struct DigestKey {
    key: hmac::Key,
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey")
    }
}

impl DigestKey {
    /// Reads the first key of a file of `hmac-sha256` lines.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let keys = read_keys(path, ALGORITHM)?;
        let first = keys.first().ok_or_else(|| KeyError::Empty {
            path: path.to_owned(),
        })?;
        Ok(Self::from_bytes(first))
    }

    /// The key of 32 bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, bytes),
        }
    }

    /// HMAC-SHA-256 of a purpose and some data, as 64 hex digits. Different purposes never collide.
    pub fn digest(&self, purpose: &str, data: &[u8]) -> String {
        hex::encode(self.bytes(purpose, data))
    }

    /// A key of its own for one purpose, for example the pseudonyms of one incident.
    pub fn derive(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        self.bytes(purpose, data)
    }

    fn bytes(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(purpose.len() as u64).to_be_bytes());
        context.update(purpose.as_bytes());
        context.update(data);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        bytes
    }
}

/// SHA-256 of data that is not raw, as 64 hex digits.
pub fn content_hash(data: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, data))
}

/// The id of an incident: 130 bits of SHA-256 over cluster, uid of the root owner and episode, in base32.
pub fn incident_id(cluster: &str, root_owner_uid: &str, episode: u32) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [cluster.as_bytes(), root_owner_uid.as_bytes()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.update(&episode.to_be_bytes());
    base32(context.finish().as_ref(), 26)
}

/// The first characters of RFC 4648 base32 in lower case, without padding.
pub fn base32(bytes: &[u8], characters: usize) -> String {
    let bit = |index: usize| {
        bytes
            .get(index / 8)
            .map_or(0, |byte| usize::from(byte >> (7 - index % 8) & 1))
    };
    let character = |position: usize| {
        let value = (0..5).fold(0, |value, offset| value << 1 | bit(position * 5 + offset));
        char::from(BASE32[value])
    };
    (0..characters).map(character).collect()
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::IncidentId;

    use super::*;

    #[test]
    fn incident_ids_are_stable_and_differ_by_every_part() {
        let id = incident_id("c", "uid", 1);
        assert!(IncidentId::new(id.clone()).is_ok(), "{id}");
        assert_eq!(id, incident_id("c", "uid", 1));
        for other in [
            incident_id("d", "uid", 1),
            incident_id("c", "uie", 1),
            incident_id("c", "uid", 2),
            incident_id("cu", "id", 1),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn base32_is_that_of_rfc_4648() {
        assert_eq!(base32(b"foobar", 10), "mzxw6ytboi");
    }

    #[test]
    fn digests_depend_on_key_purpose_and_data() {
        let key = DigestKey::from_bytes(&[1; 32]);
        let digest = key.digest("a", b"b");
        assert_eq!(digest.len(), 64);
        assert_ne!(digest, key.digest("ab", b""));
        assert_ne!(digest, DigestKey::from_bytes(&[2; 32]).digest("a", b"b"));
    }
}
