//! What was read from files, and is read again when something is asked for that was not there.

use std::fmt;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use crate::file::{KeyError, changed};

/// A value that is read from files.
pub(crate) struct Reloading<T> {
    known: RwLock<Known<T>>,
    files: Vec<PathBuf>,
    read: fn(&[PathBuf]) -> Result<T, KeyError>,
}

/// What was read, and when the files had been changed then.
#[derive(Clone)]
struct Known<T> {
    value: T,
    changed: Vec<Option<SystemTime>>,
}

impl<T: fmt::Debug> fmt::Debug for Reloading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.known().value.fmt(f)
    }
}

impl<T: Clone> Clone for Reloading<T> {
    fn clone(&self) -> Self {
        Self {
            known: RwLock::new(self.known().clone()),
            files: self.files.clone(),
            read: self.read,
        }
    }
}

impl<T: Default> Default for Reloading<T> {
    fn default() -> Self {
        Self::fixed(T::default())
    }
}

impl<T> Reloading<T> {
    /// Reads the files.
    pub(crate) fn read(
        files: Vec<PathBuf>,
        read: fn(&[PathBuf]) -> Result<T, KeyError>,
    ) -> Result<Self, KeyError> {
        let changed = changed(&files);
        let value = read(&files)?;
        Ok(Self {
            known: RwLock::new(Known { value, changed }),
            files,
            read,
        })
    }

    /// A value that is in no file.
    pub(crate) fn fixed(value: T) -> Self {
        Self {
            known: RwLock::new(Known {
                value,
                changed: Vec::new(),
            }),
            files: Vec::new(),
            read: |_| Err(KeyError::Generate),
        }
    }

    /// What `look` finds; where it finds nothing and the files have changed since, what it finds in them
    /// as they are now. Files that cannot be read leave what is known.
    pub(crate) fn find<U>(&self, look: impl Fn(&T) -> Option<U>) -> Option<U> {
        let found = look(&self.known().value);
        found.or_else(|| {
            let changed = changed(&self.files);
            if self.known().changed == changed {
                return None;
            }
            let value = (self.read)(&self.files).ok()?;
            let found = look(&value);
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = Known { value, changed };
            found
        })
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        let known = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        &mut known.value
    }

    fn known(&self) -> RwLockReadGuard<'_, Known<T>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}
