//! What the source lets those know who hold its shards: whether something is under way, and whether it
//! gets anywhere.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Gate, OwnedMutexGuard};
use tokio::time::Instant;

/// One, shared by both; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    gate: Arc<Gate<()>>,
    progress: Arc<Mutex<Option<Instant>>>,
}

impl Work {
    /// Something is under way until what is returned is dropped.
    pub(crate) async fn begin(&self) -> OwnedMutexGuard<()> {
        self.gate.clone().lock_owned().await
    }

    /// Waits until all that was under way is done; what begins afterwards sees what was said before.
    pub(crate) async fn rest(&self) {
        drop(self.begin().await);
    }

    /// The bus has done what it was asked for, or nothing was asked of it.
    pub(crate) fn note_progress(&self) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When that was last; never, before anything has been read.
    pub(crate) fn last_progress(&self) -> Option<Instant> {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
