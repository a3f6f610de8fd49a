//! Why a change is not made: a stable name and one line for people, never a value of the cluster.

use bonesetter_proto::v1;

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Stable names; tools may rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Name {
            $($(#[$doc])* $variant,)*
        }

        impl Name {
            /// Every name.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it is published.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

names! {
    /// The diagnosis has no remedy.
    NoRemedy = "no-remedy",
    /// The mode is suggest.
    ModeSuggest = "mode-suggest",
    /// A system namespace; never changed, whatever is configured.
    SystemNamespace = "system-namespace",
    /// Not among the namespaces in which changes may be made.
    NamespaceNotAllowed = "namespace-not-allowed",
    /// A kind that is suggested for, never changed.
    KindNotApplicable = "kind-not-applicable",
    /// The remedy names another object than the one that was diagnosed.
    TargetMismatch = "target-mismatch",
    /// The object is gone.
    TargetMissing = "target-missing",
    /// An object of the same name, but another one.
    TargetReplaced = "target-replaced",
    /// The pod template is not the one that was diagnosed.
    TargetChanged = "target-changed",
    /// The API server does not let us look.
    TargetUnreadable = "target-unreadable",
    /// A paused rollout would not roll the change out.
    RolloutPaused = "rollout-paused",
    /// Nothing runs, so nothing could be verified.
    ScaledToZero = "scaled-to-zero",
    /// The template has no such container.
    ContainerMissing = "container-missing",
    /// There is no limit that a factor could be taken of.
    MemoryUnlimited = "memory-unlimited",
    /// Lower than what is there.
    MemoryLowered = "memory-lowered",
    /// More than the allowed multiple of what is there.
    MemoryAboveFactor = "memory-above-factor",
    /// More than the allowed maximum.
    MemoryAboveMaximum = "memory-above-maximum",
    /// The request would exceed the limit.
    RequestAboveLimit = "request-above-limit",
    /// The revision to roll back to is not kept any more.
    RevisionMissing = "revision-missing",
    /// A value that stands for one that was redacted.
    Placeholder = "placeholder",
    /// Nothing would change.
    NoEffect = "no-effect",
    /// A GitOps tool would take the change back, or should make it.
    GitopsManaged = "gitops-managed",
    /// A manager that may not be overridden owns a touched field, or nobody knows who does.
    OwnedByOther = "owned-by-other",
    /// Another object controls this one and would take the change back.
    ControlledByOther = "controlled-by-other",
    /// The API server or an admission policy refused the change.
    ApiRefused = "api-refused",
    /// The dry run changed more than what was asked for.
    DryRunTouchesMore = "dry-run-touches-more",
    /// One change was already intended for this incident.
    AlreadyIntended = "already-intended",
    /// What would be written now is not what was intended.
    IntentDiffers = "intent-differs",
    /// Our own record of the intent is gone.
    RecordMissing = "record-missing",
    /// Somebody else changed a touched field after us.
    ChangedSince = "changed-since",
}

impl Name {
    /// Whether a person may sensibly do by hand what we do not: the change itself was found sound,
    /// or could not be looked at, and only we may not make it.
    pub const fn leaves_a_suggestion(self) -> bool {
        matches!(
            self,
            Self::ModeSuggest
                | Self::SystemNamespace
                | Self::NamespaceNotAllowed
                | Self::TargetUnreadable
                | Self::ScaledToZero
                | Self::OwnedByOther
                | Self::ApiRefused
                | Self::AlreadyIntended
        )
    }
}

/// Why, in one line: what every gate says, without names.
pub fn reason(violations: &[Violation]) -> String {
    let details: Vec<_> = violations.iter().map(|it| it.detail.as_str()).collect();
    details.join("; ")
}

/// One reason against a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which gate.
    pub name: Name,
    /// One line for people.
    pub detail: String,
}

impl Violation {
    /// A violation of one gate.
    pub fn new(name: Name, detail: impl Into<String>) -> Self {
        Self {
            name,
            detail: detail.into(),
        }
    }
}

impl From<Violation> for v1::Violation {
    fn from(violation: Violation) -> Self {
        Self {
            name: violation.name.as_str().to_owned(),
            detail: violation.detail,
        }
    }
}
