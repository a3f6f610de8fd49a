//! Which namespaces are watched.

use std::collections::BTreeSet;

use bonesetter_chassis::config::comma_list;
use serde::{Deserialize, Serialize};

use crate::coverage::Scope;

/// Which namespaces are watched. Exclusion wins; by default all are watched, `kube-system` too,
/// because what fails there fails everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Watched namespaces; all of them when empty. With a list each namespace is watched by itself,
    /// so that a Role in each suffices and no `ClusterRole` is needed.
    #[serde(with = "comma_list")]
    pub watch: Vec<String>,
    /// Namespaces that are not watched even so.
    #[serde(with = "comma_list")]
    pub exclude: Vec<String>,
}

impl Namespaces {
    /// Whether objects of a namespace count.
    pub fn is_watched(&self, namespace: &str) -> bool {
        let has = |names: &[String]| names.iter().any(|name| name == namespace);
        (self.watch.is_empty() || has(&self.watch)) && !has(&self.exclude)
    }

    /// What has to be watched: single namespaces, or all of them at once.
    pub fn scopes(&self) -> Vec<Scope> {
        if self.watch.is_empty() {
            return vec![None];
        }
        let watched: BTreeSet<&String> = self
            .watch
            .iter()
            .filter(|name| self.is_watched(name))
            .collect();
        watched.into_iter().cloned().map(Some).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(watch: &[&str], exclude: &[&str]) -> Namespaces {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Namespaces {
            watch: list(watch),
            exclude: list(exclude),
        }
    }

    #[test]
    fn exclusion_wins() {
        let cases: [(&[&str], &[&str], bool, usize); 5] = [
            (&[], &[], true, 1),
            (&["shop"], &[], true, 1),
            (&["other"], &[], false, 1),
            (&["shop", "other", "other"], &["shop"], false, 1),
            (&[], &["shop"], false, 1),
        ];
        for (watch, exclude, is_watched, scopes) in cases {
            let namespaces = namespaces(watch, exclude);
            assert_eq!(namespaces.is_watched("shop"), is_watched, "{namespaces:?}");
            assert_eq!(namespaces.scopes().len(), scopes, "{namespaces:?}");
        }
        assert_eq!(
            namespaces(&["a", "b"], &["b"]).scopes(),
            [Some("a".to_owned())]
        );
        assert_eq!(namespaces(&[], &["b"]).scopes(), [None]);
    }
}
