//! Which kinds are watched, where, and whether all that exists there is known.

use std::collections::BTreeMap;

use crate::facts::{Kind, Object};

/// A namespace, or all of them.
pub type Scope = Option<String>;

/// How far one list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// The first list is not complete yet.
    Awaited,
    /// It is, and changes follow.
    Complete,
    /// The API server does not let us.
    Refused,
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

    /// A list is refused. Says whether that is new.
    pub fn refuse(&mut self, kind: Kind, scope: &Scope) -> bool {
        self.lists.insert((kind, scope.clone()), Listing::Refused) != Some(Listing::Refused)
    }

    /// Whether nothing is awaited any more.
    pub fn is_ready(&self) -> bool {
        self.lists
            .values()
            .all(|listing| *listing != Listing::Awaited)
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
                    assert!(coverage.refuse(kind, &scope));
                    assert!(!coverage.refuse(kind, &scope));
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
}
