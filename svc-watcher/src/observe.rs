//! What is true of a root owner now, from the index.

use jiff::Timestamp;

use crate::coverage::Coverage;
use crate::detect::{Assessment, Thresholds, assess};
use crate::episode::{Observation, Presence};
use crate::facts::Object;
use crate::index::Index;

/// What is true of a root owner now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The root owner.
    pub owner: Object,
    /// Whether it exists.
    pub presence: Presence,
    /// What fails, and whether all is well.
    pub assessment: Assessment,
}

impl Verdict {
    /// As the state machine of episodes takes it.
    pub fn observation(&self) -> Observation<'_> {
        Observation {
            owner: &self.owner,
            presence: self.presence,
            findings: &self.assessment.findings,
            is_healthy: self.assessment.is_healthy,
        }
    }
}

/// Judges a root owner.
pub fn observe(
    index: &Index,
    coverage: &Coverage,
    owner: &Object,
    now: Timestamp,
    thresholds: &Thresholds,
) -> Verdict {
    let presence = presence(index, coverage, owner);
    let assessment = if matches!(presence, Presence::Absent { .. }) {
        Assessment {
            findings: Vec::new(),
            is_healthy: false,
        }
    } else {
        let family = index.family(&owner.uid);
        assess(&family, &index.kills_of(&family), now, thresholds)
    };
    Verdict {
        owner: owner.clone(),
        presence,
        assessment,
    }
}

fn presence(index: &Index, coverage: &Coverage, owner: &Object) -> Presence {
    if let Some(facts) = index.get(&owner.uid) {
        // What has turned out to have an owner fails there.
        let is_root = index
            .root_of(&owner.uid)
            .is_some_and(|root| root.uid == owner.uid);
        return match (is_root, facts.head().is_leaving) {
            (false, _) => Presence::Absent { is_watched: true },
            (true, true) => Presence::Leaving,
            (true, false) => Presence::Present,
        };
    }
    let is_watched = coverage.is_watched(owner);
    let family = index.family(&owner.uid);
    // What outlives a known owner is being deleted after it. The pods of one that is not watched
    // may just be replaced.
    let counts = |is_leaving: bool| !(is_watched && is_leaving);
    if family
        .members
        .iter()
        .any(|facts| counts(facts.head().is_leaving))
    {
        Presence::Referenced { is_watched }
    } else {
        Presence::Absent { is_watched }
    }
}
