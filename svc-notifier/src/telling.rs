//! What this process is telling just now.
//!
//! Where NATS is away for longer than the ack wait while a notice is posted, its message is delivered
//! again before the result can be written down. The claim in the record keeps other processes from
//! posting for a while only; this one knows better.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The notices that are being told, by idempotency key.
#[derive(Debug, Default)]
pub(crate) struct Telling(Mutex<HashSet<String>>);

/// One notice that is being told, until this is dropped.
#[derive(Debug)]
pub(crate) struct Begun<'a> {
    telling: &'a Telling,
    key: String,
}

impl Telling {
    /// Begins to tell a notice; `None` while it is being told.
    pub(crate) fn begin(&self, key: String) -> Option<Begun<'_>> {
        let is_new = self.change(|keys| keys.insert(key.clone()));
        is_new.then(|| Begun { telling: self, key })
    }

    fn change(&self, change: impl FnOnce(&mut HashSet<String>) -> bool) -> bool {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.telling.change(|keys| keys.remove(&self.key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_told_once_at_a_time() {
        let telling = Telling::default();
        let first = telling.begin("a".to_owned());
        assert!(first.is_some());
        assert!(telling.begin("a".to_owned()).is_none());
        assert!(telling.begin("b".to_owned()).is_some());
        drop(first);
        assert!(telling.begin("a".to_owned()).is_some());
    }
}
