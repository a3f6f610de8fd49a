use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;

use crate::digest::ALGORITHM;
use crate::file::{KeyError, read_keys};

/// The keys that bind a webhook delivery to its sender: `t=<unix seconds>,v1=<hex>`, where `v1` is
/// HMAC-SHA-256 over the decimal timestamp, a full stop and the body. Nothing of ours is mixed in, so
/// that a receiver needs no more than its own standard library.
pub struct WebhookKeys {
    keys: Vec<hmac::Key>,
}

impl fmt::Debug for WebhookKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookKeys")
            .field("keys", &self.keys.len())
            .finish()
    }
}

/// Why a delivery is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Not of the form `t=<unix seconds>,v1=<hex>`.
    #[error("the signature header is not `t=<unix seconds>,v1=<hex>`")]
    Header,
    /// Signed too long ago, or in the future: a repetition of an old delivery, or clocks differ.
    #[error("the delivery was signed outside the tolerated time")]
    Time,
    /// No key of ours made it.
    #[error("the signature does not fit timestamp and body")]
    Mismatch,
}

impl WebhookKeys {
    /// Reads every key of a file of `hmac-sha256` lines, the newest first.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let keys = read_keys(path, ALGORITHM)?;
        Ok(Self {
            keys: keys
                .iter()
                .map(|key| hmac::Key::new(hmac::HMAC_SHA256, &**key))
                .collect(),
        })
    }

    /// One key of 32 bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self {
            keys: vec![hmac::Key::new(hmac::HMAC_SHA256, bytes)],
        }
    }

    /// The value of the `Bonesetter-Signature` header, made with the newest key.
    pub fn sign(&self, at: SystemTime, body: &[u8]) -> String {
        let seconds = seconds(at);
        let mac = self.keys.first().map(|key| mac(key, seconds, body));
        format!(
            "t={seconds},v1={}",
            mac.map(hex::encode).unwrap_or_default()
        )
    }

    /// Checks a header against any of the keys, in constant time.
    pub fn verify(
        &self,
        header: &str,
        body: &[u8],
        now: SystemTime,
        tolerance: Duration,
    ) -> Result<(), WebhookError> {
        let (time, mac) = header.split_once(',').ok_or(WebhookError::Header)?;
        let time = time
            .strip_prefix("t=")
            .and_then(|time| time.parse::<u64>().ok());
        let mac = mac
            .strip_prefix("v1=")
            .and_then(|mac| hex::decode(mac).ok());
        let (Some(time), Some(mac)) = (time, mac) else {
            return Err(WebhookError::Header);
        };
        if seconds(now).abs_diff(time) > tolerance.as_secs() {
            return Err(WebhookError::Time);
        }
        let signed = signed_bytes(time, body);
        let fits = |key: &hmac::Key| hmac::verify(key, &signed, &mac).is_ok();
        if self.keys.iter().any(fits) {
            Ok(())
        } else {
            Err(WebhookError::Mismatch)
        }
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn signed_bytes(seconds: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{seconds}.").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn mac(key: &hmac::Key, seconds: u64, body: &[u8]) -> Vec<u8> {
    hmac::sign(key, &signed_bytes(seconds, body))
        .as_ref()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_mins(5);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn any_hmac_implementation_gives_the_same_signature() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0101...01
        let header = WebhookKeys::from_bytes(&[1; 32]).sign(at(1_700_000_000), br#"{"a":1}"#);
        assert_eq!(
            header,
            "t=1700000000,v1=50b81abff5fbf09d5b1a160aa5dd1e132eda884ca74bf9cce40184cb8896224d"
        );
    }

    #[test]
    fn what_was_signed_is_believed_for_a_while_and_nothing_else_is() {
        let keys = WebhookKeys::from_bytes(&[1; 32]);
        let header = keys.sign(at(1000), b"body");
        let check = |header: &str, body: &[u8], now| keys.verify(header, body, at(now), TOLERANCE);
        assert_eq!(check(&header, b"body", 1300), Ok(()));
        assert_eq!(check(&header, b"body", 1301), Err(WebhookError::Time));
        assert_eq!(check(&header, b"body", 699), Err(WebhookError::Time));
        assert_eq!(check(&header, b"bodY", 1000), Err(WebhookError::Mismatch));
        assert_eq!(
            check(&header.replace("t=1000", "t=1001"), b"body", 1000),
            Err(WebhookError::Mismatch)
        );
        for malformed in ["", "t=1000", "t=x,v1=00", "t=1000,v1=zz", "v1=00,t=1000"] {
            assert_eq!(
                check(malformed, b"body", 1000),
                Err(WebhookError::Header),
                "{malformed}"
            );
        }
    }

    #[test]
    fn a_receiver_accepts_the_old_key_while_it_rotates() {
        let old = WebhookKeys::from_bytes(&[1; 32]);
        let both = WebhookKeys {
            keys: vec![
                hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]),
                hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]),
            ],
        };
        assert_eq!(
            both.verify(&old.sign(at(1), b"b"), b"b", at(1), TOLERANCE),
            Ok(())
        );
        assert_eq!(
            old.verify(&both.sign(at(1), b"b"), b"b", at(1), TOLERANCE),
            Err(WebhookError::Mismatch)
        );
    }
}
