//! What may be changed where: the settings that decide, checked.

use std::collections::BTreeSet;

use bonesetter_proto::{Namespace, v1};

/// Namespaces of the system itself; nothing in them is ever changed.
const SYSTEM_PREFIX: &str = "kube-";

/// Managers of GitOps tools and Helm's operators: what they own is changed in Git, never live.
const GITOPS_MANAGERS: [&str; 6] = [
    "argocd*",
    "argo-cd*",
    "flux*",
    "kustomize-controller",
    "helm-controller",
    "fleet*",
];

/// The field manager of all our writes.
pub const FIELD_MANAGER: &str = "bonesetter";

/// Whether changes are made or only suggested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is changed; people are shown what would help.
    #[default]
    #[serde(alias = "manual")]
    Suggest,
    /// What every gate allows is changed.
    Auto,
}

impl From<Mode> for v1::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Suggest => Self::Suggest,
            Mode::Auto => Self::Auto,
        }
    }
}

/// How far a memory limit may be raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBounds {
    /// At most this multiple of the present value.
    pub max_factor: u32,
    /// Never more than this, in bytes.
    pub max_bytes: u64,
}

/// What may be done with fields that a manager owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Override {
    /// Ours, or one of those that may be overridden.
    Allowed,
    /// A GitOps tool; no setting allows it.
    Gitops,
    /// Anybody else, known or not.
    Refused,
}

/// Managers whose fields may be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// Names; a trailing `*` matches any rest.
    pub overridable: Vec<String>,
}

impl Owners {
    /// What may be done with fields of this manager.
    pub fn judge(&self, manager: &str) -> Override {
        if is_gitops(manager) {
            return Override::Gitops;
        }
        let is_ours = manager == FIELD_MANAGER;
        if is_ours
            || self
                .overridable
                .iter()
                .any(|pattern| matches(pattern, manager))
        {
            Override::Allowed
        } else {
            Override::Refused
        }
    }

    /// Whether a configured pattern is one that could never take effect.
    pub fn is_never_overridable(pattern: &str) -> bool {
        pattern == "*"
            || GITOPS_MANAGERS.iter().any(|never| {
                let lower = pattern.to_lowercase();
                let name = lower.trim_end_matches('*');
                matches(never, name)
            })
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// Everything that the gates compare with.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Suggest or auto.
    pub mode: Mode,
    /// Namespaces in which changes may be made; empty means none.
    pub auto_apply_namespaces: BTreeSet<Namespace>,
    /// Bounds of memory limits.
    pub memory: MemoryBounds,
    /// Managers that may be overridden.
    pub owners: Owners,
}

/// Whether a field manager is a GitOps tool.
pub fn is_gitops(manager: &str) -> bool {
    let lower = manager.to_lowercase();
    GITOPS_MANAGERS
        .iter()
        .any(|pattern| matches(pattern, &lower))
}

/// Whether this is a namespace of the system itself.
pub fn is_system(namespace: &Namespace) -> bool {
    namespace.as_str().starts_with(SYSTEM_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_managers_are_refused_and_gitops_ones_cannot_be_allowed() {
        let owners = Owners {
            overridable: ["kubectl*", "helm", "argocd-controller", "flux*"]
                .map(str::to_owned)
                .into(),
        };
        let cases = [
            ("kubectl", Override::Allowed),
            ("kubectl-client-side-apply", Override::Allowed),
            ("bonesetter", Override::Allowed),
            ("helm", Override::Allowed),
            ("argocd-controller", Override::Gitops),
            ("argocd-application-controller", Override::Gitops),
            ("flux-client-side-apply", Override::Gitops),
            ("kustomize-controller", Override::Gitops),
            ("helm-controller", Override::Gitops),
            ("Helm", Override::Refused),
            ("bonesetter2", Override::Refused),
            ("before-first-apply", Override::Refused),
            ("Mozilla", Override::Refused),
            ("", Override::Refused),
        ];
        for (manager, expected) in cases {
            assert_eq!(owners.judge(manager), expected, "{manager}");
        }
        assert_eq!(Owners::default().judge("helm"), Override::Refused);
        assert_eq!(Owners::default().judge("kubectl"), Override::Refused);
    }

    #[test]
    fn patterns_that_allow_everything_or_a_gitops_tool_are_known() {
        for pattern in [
            "*",
            "argocd*",
            "ArgoCD-controller",
            "helm-controller",
            "flux",
        ] {
            assert!(Owners::is_never_overridable(pattern), "{pattern}");
        }
        for pattern in ["kubectl*", "helm", "kustomize"] {
            assert!(!Owners::is_never_overridable(pattern), "{pattern}");
        }
    }
}
