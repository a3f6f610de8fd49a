//! Which kinds are watched, where, and whether all that exists there is known.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::facts::{Kind, Object};

/// A namespace, or all of them.
pub type Scope = Option<String>;

/// How long a list has to be refused until that is believed. An API server that has just been started
/// refuses everything until it has read the roles, and what is refused would seem to be gone.
const PATIENCE: Duration = Duration::from_secs(15);

/// How far one list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// The first list is not complete yet.
    Awaited,
    /// It is, and changes follow.
    Complete,
    /// The API server has not let us since then, which may pass.
    Doubtful(Instant),
    /// The API server does not let us.
    Refused,
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing yet: it may pass.
    Doubted,
    /// It has lasted, and is to be told.
    Believed,
    /// It is known.
    Known,
}

/// Which lists are complete, and which are refused.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    lists: BTreeMap<(Kind, Scope), Listing>,
}

impl Coverage {
    /// Every kind in every scope, none of them listed yet.
    pub fn of(scopes: &[Scope]) -> Self {
        let all = Kind::ALL
            .iter()
            .flat_map(|kind| scopes.iter().map(|scope| (*kind, scope.clone())));
        Self {
            lists: all.map(|list| (list, Listing::Awaited)).collect(),
        }
    }

    /// A list is complete.
    pub fn complete(&mut self, kind: Kind, scope: &Scope) {
        self.lists.insert((kind, scope.clone()), Listing::Complete);
    }

    /// A list is refused, and that is believed at once.
    pub fn refuse(&mut self, kind: Kind, scope: &Scope) {
        self.lists.insert((kind, scope.clone()), Listing::Refused);
    }

    /// A list was refused just now, and is asked for again. Until that is believed, or passes, the list
    /// is awaited.
    pub fn refused_at(&mut self, now: Instant, kind: Kind, scope: &Scope) -> Refusal {
        let list = self.lists.entry((kind, scope.clone()));
        let listing = list.or_insert(Listing::Awaited);
        match *listing {
            Listing::Refused => return Refusal::Known,
            Listing::Doubtful(since) if now.duration_since(since) >= PATIENCE => {
                *listing = Listing::Refused;
                return Refusal::Believed;
            }
            Listing::Doubtful(_) => {}
            Listing::Awaited | Listing::Complete => *listing = Listing::Doubtful(now),
        }
        Refusal::Doubted
    }

    /// Whether nothing is awaited any more.
    pub fn is_ready(&self) -> bool {
        self.lists
            .values()
            .all(|listing| matches!(listing, Listing::Complete | Listing::Refused))
    }

    /// Whether an object like this would be known if it existed.
    pub fn is_watched(&self, object: &Object) -> bool {
        let scopes = [None, Some(object.namespace.clone())];
        Kind::of(object).is_some_and(|kind| {
            scopes.into_iter().any(|scope| {
                self.lists
                    .get(&(kind, scope))
                    .is_some_and(|it| *it == Listing::Complete)
            })
        })
    }

    /// What is refused, for example `ReplicaSet` or `ReplicaSet in shop`.
    pub fn refused(&self) -> Vec<String> {
        let refused = self
            .lists
            .iter()
            .filter(|(_, listing)| **listing == Listing::Refused);
        refused
            .map(|((kind, scope), _)| match scope {
                Some(namespace) => format!("{} in {namespace}", kind.as_str()),
                None => kind.as_str().to_owned(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_kind_is_named_and_the_rest_is_ready_without_it() {
        let mut coverage = Coverage::of(&[Some("a".to_owned()), Some("b".to_owned())]);
        for kind in Kind::ALL {
            for namespace in ["a", "b"] {
                assert!(!coverage.is_ready());
                let scope = Some(namespace.to_owned());
                if kind == Kind::Job && namespace == "b" {
                    coverage.refuse(kind, &scope);
                } else {
                    coverage.complete(kind, &scope);
                }
            }
        }
        assert!(coverage.is_ready());
        assert_eq!(coverage.refused(), ["Job in b"]);
        let job = |namespace: &str| Object {
            api_version: "batch/v1".to_owned(),
            kind: "Job".to_owned(),
            namespace: namespace.to_owned(),
            ..Object::default()
        };
        assert!(coverage.is_watched(&job("a")));
        assert!(!coverage.is_watched(&job("b")));
        assert!(!coverage.is_watched(&job("c")));
    }

    #[test]
    fn a_refusal_is_believed_when_it_lasts_and_forgotten_when_it_passes() {
        let all = [None];
        let mut coverage = Coverage::of(&all);
        for kind in Kind::ALL {
            coverage.complete(kind, &None);
        }
        let start = Instant::now();
        let after = |coverage: &mut Coverage, seconds| {
            let now = start + Duration::from_secs(seconds);
            coverage.refused_at(now, Kind::Job, &None)
        };
        assert_eq!(after(&mut coverage, 0), Refusal::Doubted);
        assert!(!coverage.is_ready() && coverage.refused().is_empty());
        assert_eq!(after(&mut coverage, 14), Refusal::Doubted);
        coverage.complete(Kind::Job, &None);
        assert!(coverage.is_ready());
        assert_eq!(after(&mut coverage, 20), Refusal::Doubted);
        assert_eq!(after(&mut coverage, 34), Refusal::Doubted);
        assert_eq!(after(&mut coverage, 35), Refusal::Believed);
        assert!(coverage.is_ready());
        assert_eq!(coverage.refused(), ["Job"]);
        assert_eq!(after(&mut coverage, 36), Refusal::Known);
        coverage.complete(Kind::Job, &None);
        assert!(coverage.is_ready() && coverage.refused().is_empty());
    }
}
