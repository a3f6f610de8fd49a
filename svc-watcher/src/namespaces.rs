//! Which namespaces are watched.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::coverage::Scope;

/// Which namespaces are watched. Exclusion wins; by default all are watched, `kube-system` too,
/// because what fails there fails everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Namespaces {
    /// Watched namespaces; all of them when empty. With a list each namespace is watched by itself,
    /// so that a Role in each suffices and no ClusterRole is needed.
    pub watch: BTreeSet<String>,
    /// Namespaces that are not watched even so.
    pub exclude: BTreeSet<String>,
}

impl Namespaces {
    /// Whether objects of a namespace count.
    pub fn is_watched(&self, namespace: &str) -> bool {
        let is_listed = self.watch.is_empty() || self.watch.contains(namespace);
        is_listed && !self.exclude.contains(namespace)
    }

    /// What has to be watched: single namespaces, or all of them at once.
    pub fn scopes(&self) -> Vec<Scope> {
        if self.watch.is_empty() {
            return vec![None];
        }
        self.watch.difference(&self.exclude).cloned().map(Some).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(watch: &[&str], exclude: &[&str]) -> Namespaces {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Namespaces { watch: set(watch), exclude: set(exclude) }
    }

    #[test]
    fn exclusion_wins() {
        let cases: [(&[&str], &[&str], bool, usize); 5] = [
            (&[], &[], true, 1),
            (&["shop"], &[], true, 1),
            (&["other"], &[], false, 1),
            (&["shop", "other"], &["shop"], false, 1),
            (&[], &["shop"], false, 1),
        ];
        for (watch, exclude, is_watched, scopes) in cases {
            let namespaces = namespaces(watch, exclude);
            assert_eq!(namespaces.is_watched("shop"), is_watched, "{namespaces:?}");
            assert_eq!(namespaces.scopes().len(), scopes, "{namespaces:?}");
        }
        assert_eq!(namespaces(&["a", "b"], &["b"]).scopes(), [Some("a".to_owned())]);
        assert_eq!(namespaces(&[], &["b"]).scopes(), [None]);
    }
}
