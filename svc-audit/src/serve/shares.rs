//! What there is for all callers, and the part of it that one of them may have.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Reader;

/// One caller may have this part of all.
const PARTS: usize = 4;

/// How many there are, and who may have how many.
#[derive(Debug)]
pub(crate) struct Shares {
    all: Arc<Semaphore>,
    /// By the name of the caller.
    own: BTreeMap<String, Arc<Semaphore>>,
    /// Of all together that the settings do not know.
    strangers: Arc<Semaphore>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share(#[expect(dead_code, reason = "held")] [OwnedSemaphorePermit; 2]);

/// Why none is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The caller has its part.
    ByCaller,
    /// All have what there is.
    ByAll,
}

impl Shares {
    /// Of so many, for these callers.
    pub(crate) fn new(all: usize, readers: &[Reader]) -> Self {
        let part = || Arc::new(Semaphore::new(all.div_ceil(PARTS)));
        let own = |reader: &Reader| (reader.name.clone(), part());
        Self {
            all: Arc::new(Semaphore::new(all)),
            own: readers.iter().map(own).collect(),
            strangers: part(),
        }
    }

    /// Takes one.
    pub(crate) fn take(&self, caller: &str) -> Result<Share, Taken> {
        let own = self.own.get(caller).unwrap_or(&self.strangers);
        let own = own.clone().try_acquire_owned();
        let all = self.all.clone().try_acquire_owned();
        match (own, all) {
            (Ok(own), Ok(all)) => Ok(Share([own, all])),
            (Err(_), _) => Err(Taken::ByCaller),
            (Ok(_), Err(_)) => Err(Taken::ByAll),
        }
    }

    /// Whether nobody can take one now.
    pub(crate) fn are_taken(&self) -> bool {
        self.all.available_permits() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_takes_a_part_and_all_callers_no_more_than_all() {
        let readers = ["a", "b", "c", "d", "e"].map(|name| Reader {
            name: name.to_owned(),
            namespaces: Vec::new(),
        });
        let shares = Shares::new(7, &readers);
        let mut taken: Vec<_> = ["a", "a", "b", "b", "x", "y"]
            .map(|name| shares.take(name).unwrap())
            .into();
        assert_eq!(shares.take("a").unwrap_err(), Taken::ByCaller);
        assert_eq!(shares.take("z").unwrap_err(), Taken::ByCaller);
        assert!(!shares.are_taken());
        taken.push(shares.take("d").unwrap());
        assert!(shares.are_taken());
        assert_eq!(shares.take("e").unwrap_err(), Taken::ByAll);
        taken.remove(0);
        shares.take("e").unwrap();
        shares.take("a").unwrap();
    }
}
