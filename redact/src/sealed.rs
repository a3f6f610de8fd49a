use std::fmt;

use bonesetter_keys::Verified;

use crate::session::Session;

/// A value could not be redacted, and must not be passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot redact {what}: {reason}")]
pub struct RedactError {
    /// The part that could not be redacted. Never its content.
    pub what: String,
    /// Why. Never the content.
    pub reason: String,
}

impl RedactError {
    /// An error about a part of a value.
    pub fn new(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            reason: reason.into(),
        }
    }
}

/// A type that knows how to redact each of its parts.
pub trait Redact: Sized {
    /// The same value with every text and object passed through the session.
    fn redact(self, session: &mut Session) -> Result<Self, RedactError>;
}

/// A value that has passed the trust boundary. There are two ways to get one: [`redact`], and a verified
/// signature of a process that has used it.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted<T>(T);

/// Redacts a value in a session.
pub fn redact<T: Redact>(value: T, session: &mut Session) -> Result<Redacted<T>, RedactError> {
    value.redact(session).map(Redacted)
}

impl<T> Redacted<T> {
    /// The value whose signature, by a process that redacts, has been verified.
    pub fn from_verified(verified: Verified<T>) -> Self {
        Self(verified.into_inner())
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The value, out of its wrapper.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redacted").field(&self.0).finish()
    }
}
