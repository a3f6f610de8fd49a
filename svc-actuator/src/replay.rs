//! A decision made again, from the record alone.
//!
//! The gates over policy and values are run as they are run live ([`gates::check_policy`],
//! [`gates::check_limits`], and the factor of a memory limit against the object in the evidence, whose
//! template is the one that the remedy is bound to). What only the cluster of that moment could say is
//! taken from the record: whether the object was there and unchanged, who owned its fields, what the
//! dry run did. Where the record does not have it, because those questions were never asked or were
//! asked about another remedy, the decision says so instead of guessing.

use bonesetter_proto::Namespace;
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{self, Diagnosed, Evidence, Remedy, Target};
use serde_json::Value;

use crate::gates::{self, Claim};
use crate::ownership;
use crate::policy::Policy;
use crate::violation::{Name, Violation};

/// What svc-actuator published on a diagnosis, as far as it is stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// The decision.
    pub decision: v1::Decision,
    /// The remedy that it was about.
    pub remedy: Option<Remedy>,
}

impl Recorded {
    /// Whether an earlier diagnosis of the incident had led to a change.
    pub fn was_claimed(&self) -> bool {
        let violations = &self.decision.violations;
        violations
            .iter()
            .any(|violation| violation.name == Name::AlreadyIntended.as_str())
    }
}

/// What a replayed decision comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// There is no remedy.
    Explain,
    /// A gate objects.
    Suggest,
    /// No gate that can be run again objects; ownership probe and dry run were never made.
    ApplyIfTried,
    /// No gate objects, and on record ownership probe and dry run did not either.
    Apply,
}

impl Verdict {
    /// Stable, for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Explain => "explain",
            Self::Suggest => "suggest",
            Self::ApplyIfTried => "apply-if-dry-run-allows",
            Self::Apply => "apply",
        }
    }

    /// Whether a change would have been made, or tried.
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Apply | Self::ApplyIfTried)
    }
}

/// A decision made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// What it comes to.
    pub verdict: Verdict,
    /// Every objection, those on record last.
    pub violations: Vec<v1::Violation>,
    /// What was not run again, or is not known; one line for people each.
    pub notes: Vec<&'static str>,
}

/// The verdict of a decision on record.
pub fn verdict_of(recorded: &Recorded) -> Verdict {
    if recorded.decision.allowed {
        Verdict::Apply
    } else if recorded.remedy.is_some() {
        Verdict::Suggest
    } else {
        Verdict::Explain
    }
}

/// Whether two remedies would do the same to the same object.
pub fn is_same_fix(one: Option<&Remedy>, other: Option<&Remedy>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.fix == other.fix && one.target == other.target,
        _ => false,
    }
}

/// Decides on a diagnosis under a policy. `evidence` is what the diagnosis rests on, where it is still
/// kept; `is_claimed` says that an earlier diagnosis of the incident has led to a change.
pub fn decide(
    policy: &Policy,
    namespace: Option<&Namespace>,
    diagnosed: &Diagnosed,
    evidence: Option<&Evidence>,
    recorded: Option<&Recorded>,
    is_claimed: bool,
) -> Replayed {
    let claim = Claim::of(namespace, diagnosed);
    let mut violations = gates::check_policy(policy, &claim);
    let Some((fix, target)) = claim.fix() else {
        return Replayed {
            verdict: Verdict::Explain,
            violations: violations.into_iter().map(v1::Violation::from).collect(),
            notes: Vec::new(),
        };
    };
    violations.extend(gates::check_limits(&policy.memory, fix));
    if is_claimed {
        let detail = "an earlier diagnosis of this incident has led to a change already";
        violations.push(Violation::new(Name::AlreadyIntended, detail));
    }
    let recorded = recorded.filter(|it| is_same_fix(it.remedy.as_ref(), claim.remedy));
    let object = evidence.and_then(|evidence| object_of(evidence, target));
    let mut notes = Vec::new();
    if let Some(object) = &object {
        let found = gates::check_bounds(&policy.memory, fix, object);
        // Of the rest, what was so at the moment of the decision counts, where it is on record.
        let counts = |it: &Violation| it.name == Name::MemoryAboveFactor || recorded.is_none();
        violations.extend(found.into_iter().filter(counts));
    } else if matches!(fix, v1::remedy::Fix::SetMemory(_)) {
        notes.push("the evidence is not kept any more: the factor of the memory limit is taken from the record");
    }
    let mut violations: Vec<v1::Violation> =
        violations.into_iter().map(v1::Violation::from).collect();
    let Some(recorded) = recorded else {
        notes.push("the cluster was never asked about this remedy: target, owners and dry run are not known");
        return finish(violations, false, notes);
    };
    for violation in &recorded.decision.violations {
        if let Some(kept) = still_objects(policy, violation, object.is_some())
            && !violations.iter().any(|known| known.name == kept.name)
        {
            violations.push(kept);
        }
    }
    let was_tried = recorded.decision.allowed
        || recorded
            .decision
            .violations
            .iter()
            .any(|it| is_of_trial(&it.name));
    notes.push(if was_tried {
        "target, owners, ownership probe and dry run are taken from the record, not run again"
    } else {
        "the target is taken from the record; ownership probe and dry run were never made, because something else objected"
    });
    if recorded.decision.allowed {
        notes.push("who owns the touched fields is not on record where it was allowed: owners.overridable is not judged again");
    }
    finish(violations, was_tried, notes)
}

fn finish(violations: Vec<v1::Violation>, was_tried: bool, notes: Vec<&'static str>) -> Replayed {
    let verdict = match (violations.is_empty(), was_tried) {
        (false, _) => Verdict::Suggest,
        (true, true) => Verdict::Apply,
        (true, false) => Verdict::ApplyIfTried,
    };
    Replayed {
        verdict,
        violations,
        notes,
    }
}

/// A violation on record that would still be one: not those that were judged again already, and owners
/// as the policy judges them now.
fn still_objects(
    policy: &Policy,
    violation: &v1::Violation,
    has_object: bool,
) -> Option<v1::Violation> {
    let rerun = [
        Name::NoRemedy,
        Name::ModeSuggest,
        Name::SystemNamespace,
        Name::NamespaceNotAllowed,
        Name::KindNotApplicable,
        Name::TargetMismatch,
        Name::MemoryAboveMaximum,
        Name::AlreadyIntended,
    ];
    let is = |name: Name| violation.name == name.as_str();
    if rerun.into_iter().any(is) || (has_object && is(Name::MemoryAboveFactor)) {
        return None;
    }
    match ownership::judge_again(&policy.owners, &violation.detail) {
        Some(judged) if is(Name::OwnedByOther) || is(Name::GitopsManaged) => {
            judged.into_iter().next().map(v1::Violation::from)
        }
        _ => Some(violation.clone()),
    }
}

/// Whether a violation of this name comes out of asking the API server to try.
fn is_of_trial(name: &str) -> bool {
    [Name::ApiRefused, Name::DryRunTouchesMore]
        .iter()
        .any(|known| known.as_str() == name)
}

/// The object that a remedy is for, as the evidence shows it.
fn object_of(evidence: &Evidence, target: &Target) -> Option<Value> {
    let wanted = target.object.as_ref()?;
    evidence.items.iter().find_map(|item| {
        let Some(Content::Object(object)) = &item.content else {
            return None;
        };
        let found = object.r#ref.as_ref()?;
        let is_it = found.kind == wanted.kind
            && found.name == wanted.name
            && found.namespace == wanted.namespace;
        is_it
            .then(|| serde_json::from_slice(&object.json).ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests;
