//! The gates, in order. Each finds its violations; a change is made only when none finds any.
//!
//! The gates that only read run always, so that a suggestion says everything that stands in the way;
//! the two that ask the API server to try (the ownership probe and the dry run, see [`crate::plan`])
//! run only when nothing else objects, because they need the right to patch.

use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{ObjectRef, Remedy, SetMemory, Target};
use bonesetter_proto::{Namespace, v1};
use serde_json::Value;

use crate::edit::Edits;
use crate::placeholder;
use crate::policy::{MemoryBounds, Mode, Policy, is_system};
use crate::quantity::format_bytes;
use crate::render::{container, memory};
use crate::violation::{Name, Violation};

/// The only kind whose objects are changed.
pub const APPLICABLE_KIND: &str = "Deployment";
const API_VERSION: &str = "apps/v1";

/// What the API server changes by itself in every write.
const SERVER_FIELDS: [&str; 3] = [
    "/metadata/generation",
    "/metadata/managedFields",
    "/metadata/resourceVersion",
];

/// What is to be decided on.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The namespace in the subject, under which everybody reads the incident.
    pub namespace: Option<&'a Namespace>,
    /// What fails, as the incident names it.
    pub owner: Option<&'a ObjectRef>,
    /// What was diagnosed.
    pub target: Option<&'a Target>,
    /// What should be done.
    pub remedy: Option<&'a Remedy>,
}

impl<'a> Claim<'a> {
    /// The claim of a diagnosis.
    pub fn of(namespace: Option<&'a Namespace>, diagnosed: &'a v1::Diagnosed) -> Self {
        let remedy = diagnosed
            .diagnosis
            .as_ref()
            .and_then(|diagnosis| diagnosis.remedy.as_ref());
        let incident = diagnosed.incident.as_ref();
        Self {
            namespace,
            owner: incident.and_then(|incident| incident.root_owner.as_ref()),
            target: diagnosed.target.as_ref(),
            remedy,
        }
    }

    /// The fix and its target, when there is a remedy that names both.
    pub fn fix(&self) -> Option<(&'a Fix, &'a Target)> {
        let remedy = self.remedy?;
        Some((remedy.fix.as_ref()?, remedy.target.as_ref()?))
    }
}

/// Remedy, mode, namespace, kind, and that the target is exactly what was diagnosed.
pub fn check_policy(policy: &Policy, claim: &Claim<'_>) -> Vec<Violation> {
    let Some((_, target)) = claim.fix() else {
        return vec![Violation::new(
            Name::NoRemedy,
            "the diagnosis proposes no remedy",
        )];
    };
    let mut violations = Vec::new();
    if policy.mode == Mode::Suggest {
        violations.push(Violation::new(
            Name::ModeSuggest,
            "changes are only suggested",
        ));
    }
    violations.extend(check_namespace(policy, claim.namespace));
    let object = target.object.as_ref();
    let kind = object.map_or("", |object| object.kind.as_str());
    let is_applicable =
        kind == APPLICABLE_KIND && object.is_some_and(|object| object.api_version == API_VERSION);
    if !is_applicable {
        let why = if kind == "Job" {
            "; the template of a Job is immutable"
        } else {
            ""
        };
        let detail = format!("objects of kind {kind:?} are never changed{why}");
        violations.push(Violation::new(Name::KindNotApplicable, detail));
    }
    if let Some(detail) = mismatch(claim, target) {
        violations.push(Violation::new(Name::TargetMismatch, detail));
    }
    violations
}

fn check_namespace(policy: &Policy, namespace: Option<&Namespace>) -> Option<Violation> {
    let Some(namespace) = namespace else {
        let detail = "cluster-scoped objects are never changed";
        return Some(Violation::new(Name::NamespaceNotAllowed, detail));
    };
    if is_system(namespace) {
        let detail = format!("{namespace} is a system namespace");
        return Some(Violation::new(Name::SystemNamespace, detail));
    }
    if policy.auto_apply_namespaces.contains(namespace) {
        return None;
    }
    let detail = format!("{namespace} is not in auto_apply_namespaces");
    Some(Violation::new(Name::NamespaceNotAllowed, detail))
}

fn mismatch(claim: &Claim<'_>, target: &Target) -> Option<String> {
    let Some(object) = &target.object else {
        return Some("the remedy names no object".to_owned());
    };
    if claim.target != Some(target) {
        return Some("the remedy is for another object or template than the diagnosis".to_owned());
    }
    if claim
        .namespace
        .is_none_or(|namespace| namespace.as_str() != object.namespace)
    {
        return Some("the remedy is for another namespace than the incident".to_owned());
    }
    if claim.owner.is_none_or(|owner| owner.uid != object.uid) {
        return Some("the remedy is for another object than the one that fails".to_owned());
    }
    if object.uid.is_empty() || target.template_digest.is_empty() {
        return Some("the target is not bound by uid and template digest".to_owned());
    }
    (!is_object_name(&object.name)).then(|| "the target's name is not an object name".to_owned())
}

/// RFC 1123 subdomain: nothing that could mean something else in a URL.
pub fn is_object_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// The live object is the one that was diagnosed, in a state in which a change takes effect.
pub fn check_target(target: &Target, live: &Value, template_digest: &str) -> Vec<Violation> {
    let uid = target
        .object
        .as_ref()
        .map_or("", |object| object.uid.as_str());
    let mut violations = Vec::new();
    if live["metadata"]["uid"].as_str() != Some(uid) {
        let detail = "the object was deleted and created anew since the diagnosis";
        violations.push(Violation::new(Name::TargetReplaced, detail));
    }
    if live["metadata"]
        .get("deletionTimestamp")
        .is_some_and(Value::is_string)
    {
        let detail = "the object is being deleted";
        violations.push(Violation::new(Name::TargetMissing, detail));
    }
    if template_digest != target.template_digest {
        let detail = "the pod template has changed since the diagnosis";
        violations.push(Violation::new(Name::TargetChanged, detail));
    }
    if live["spec"]["paused"] == true {
        violations.push(Violation::new(
            Name::RolloutPaused,
            "the rollout is paused: resume it first",
        ));
    }
    if live["spec"]["replicas"] == 0 {
        let detail = "scaled to zero: nothing could be verified";
        violations.push(Violation::new(Name::ScaledToZero, detail));
    }
    violations
}

/// The values of the fix are allowed whatever the object is now; so also when it cannot be read.
pub fn check_limits(bounds: &MemoryBounds, fix: &Fix) -> Vec<Violation> {
    let Fix::SetMemory(fix) = fix else {
        return Vec::new();
    };
    let mut violations = Vec::new();
    let wanted = format_bytes(fix.limit);
    if fix.limit > bounds.max_bytes {
        let detail = format!("{wanted} is more than {}", format_bytes(bounds.max_bytes));
        violations.push(Violation::new(Name::MemoryAboveMaximum, detail));
    }
    if fix.request > fix.limit {
        let detail = format!("the request would exceed {wanted}");
        violations.push(Violation::new(Name::RequestAboveLimit, detail));
    }
    violations
}

/// The values of the fix lie within bounds of what is there.
pub fn check_bounds(bounds: &MemoryBounds, fix: &Fix, live: &Value) -> Vec<Violation> {
    match fix {
        Fix::RollBack(_) => Vec::new(),
        Fix::SetMemory(fix) => check_memory(bounds, fix, live),
    }
}

fn check_memory(bounds: &MemoryBounds, fix: &SetMemory, live: &Value) -> Vec<Violation> {
    let Some((_, container)) = container(&live["spec"]["template"], &fix.container) else {
        return Vec::new();
    };
    let mut violations = Vec::new();
    let mut violated = |name, detail| violations.push(Violation::new(name, detail));
    let wanted = format_bytes(fix.limit);
    match memory(container, "limits") {
        None | Some(0) => violated(
            Name::MemoryUnlimited,
            "the container has no memory limit that could be raised".to_owned(),
        ),
        Some(limit) => {
            if fix.limit < limit {
                let detail = format!("{wanted} is less than the limit of {}", format_bytes(limit));
                violated(Name::MemoryLowered, detail);
            }
            if fix.limit > limit.saturating_mul(bounds.max_factor.into()) {
                let factor = bounds.max_factor;
                let detail = format!("{wanted} is more than {factor} x {}", format_bytes(limit));
                violated(Name::MemoryAboveFactor, detail);
            }
        }
    }
    let present = memory(container, "requests").unwrap_or(0);
    if fix.request == 0 {
        if present > fix.limit {
            violated(
                Name::RequestAboveLimit,
                format!("the request would exceed {wanted}"),
            );
        }
    } else if fix.request < present {
        violated(
            Name::MemoryLowered,
            "the request would be lowered".to_owned(),
        );
    }
    violations
}

/// No value of the change stands for one that was redacted.
pub fn check_placeholders(edits: &Edits) -> Vec<Violation> {
    let holds = |value: &Option<Value>| value.as_ref().is_some_and(placeholder::is_in_value);
    let held = edits.iter().filter(|edit| holds(&edit.after));
    held.map(|edit| {
        let detail = format!("{} would be set to a redaction placeholder", edit.path);
        Violation::new(Name::Placeholder, detail)
    })
    .collect()
}

/// The dry run changed exactly what was asked for, and what the API server counts; nothing else.
pub fn check_dry_run(live: &Value, result: &Value, edits: &Edits) -> Vec<Violation> {
    let drifted = edits.drifted_in(result).into_iter().map(|field| {
        let detail = format!("{field} would not become what the remedy wants");
        Violation::new(Name::DryRunTouchesMore, detail)
    });
    let touched = edits.fields();
    let changed = Edits::between(&crate::edit::pointer(&[]), Some(live), Some(result));
    let more = changed
        .fields()
        .into_iter()
        .filter(|field| !is_expected(field, &touched));
    let more = more
        .map(|field| Violation::new(Name::DryRunTouchesMore, format!("{field} would change too")));
    drifted.chain(more).collect()
}

fn is_expected(field: &str, touched: &[String]) -> bool {
    let below = |above: &str| {
        field
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    SERVER_FIELDS.iter().any(|above| below(above)) || touched.iter().any(|above| below(above))
}

#[cfg(test)]
mod tests;
