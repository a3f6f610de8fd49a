//! Keys: signatures over what may trigger an effect, sealing of raw evidence, keyed digests.
//!
//! One file per purpose, one key per line, the newest first: writers use the first line, readers
//! accept every line, so that a key rotates by putting a new line on top. Every line names its
//! algorithm, so that a key in the wrong place is an error and not a wrong result.
//! All cryptography is `aws-lc-rs`, which is also what TLS uses.

mod digest;
mod file;
mod init;
mod login;
mod reload;
mod rotate;
mod seal;
mod sign;
mod webhook;

pub use digest::{DigestKey, base32, content_hash, incident_id};
pub use file::KeyError;
pub use init::{KeyDirectory, complete, init};
pub use login::Login;
pub use rotate::{KeyState, Rotating};
pub use seal::{OpenError, SealingKeys};
pub use sign::{Signature, SigningKey, Verified, VerifyError, VerifyingKeys};
pub use webhook::{WebhookError, WebhookKeys};
