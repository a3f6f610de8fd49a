//! Which typed fix is safe to propose. A remedy is built from the evidence or not at all.

use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{Citation, Remedy, RollBack, SetMemory, Target};

use crate::case::{Case, Container, cite};
use crate::quantity::{format_bytes, parse_units};

/// A memory limit is raised to this many times of what it was; svc-actuator has bounds of its own.
const MEMORY_FACTOR: u64 = 2;
/// No limit is set to more than this many times of what it was, whatever a former revision had.
pub(crate) const MAX_MEMORY_FACTOR: u64 = 4;
const MIB: u64 = 1 << 20;

/// A change of the last rollout that can have caused the failure.
#[derive(Debug, Clone)]
pub(crate) struct Blame<'a> {
    id: &'a str,
    /// JSON pointer into the pod template.
    pub(crate) path: &'a str,
    /// JSON of the field before the rollout; empty when it was absent.
    pub(crate) before: &'a str,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) was_healthy: bool,
}

impl<'a> Blame<'a> {
    /// The same rollout, blamed for another of its changes.
    pub(crate) fn at(self, path: &'a str) -> Self {
        Self { path, ..self }
    }

    pub(crate) fn cite(&self) -> Citation {
        cite(self.id, self.path)
    }
}

/// The first change of the last rollout to one of these fields of a container (or, for paths that
/// begin with `/spec`, of the pod), in the order in which they are given, unless the container belongs to another revision or has worked
/// for a while since.
pub(crate) fn blame<'a>(
    case: &Case<'a>,
    container: &Container<'_>,
    fields: &[&str],
) -> Option<Blame<'a>> {
    let rollout = case.rollout()?;
    let change = rollout.change;
    let of_other_revision = case
        .revision_of(container)
        .is_some_and(|revision| revision != change.to_revision);
    if of_other_revision || container.has_worked() {
        return None;
    }
    let field = fields.iter().find_map(|path| {
        if path.starts_with("/spec") {
            rollout.pod_change(&[path])
        } else {
            rollout.touching(container.name, &[path]).first().copied()
        }
    })?;
    Some(Blame {
        id: rollout.id,
        path: &field.path,
        before: &field.before,
        from: change.from_revision,
        to: change.to_revision,
        was_healthy: change.from_revision_was_healthy,
    })
}

/// Returns a Deployment to the revision before the rollout that is to blame: only if that revision is
/// known to have been healthy, and only if the rollout is still the present revision.
pub(crate) fn roll_back(
    case: &Case<'_>,
    container: &Container<'_>,
    blame: &Blame<'_>,
) -> Option<Remedy> {
    let target = deployment(case)?;
    let is_present = target.revision == blame.to && blame.from > 0 && blame.from < blame.to;
    if !blame.was_healthy || !is_present {
        return None;
    }
    let rationale = format!(
        "revision {} changed {} of container {}; revision {} was healthy",
        blame.to, blame.path, container.name, blame.from
    );
    let fix = Fix::RollBack(RollBack {
        to_revision: blame.from,
    });
    Some(Remedy {
        target: Some(target.clone()),
        fix: Some(fix),
        rationale,
    })
}

/// Raises the memory limit of a container: to what the revision before the last rollout had, or to twice
/// what it is; never to more than four times of it, nor to more than the largest known node has.
pub(crate) fn set_memory(
    case: &Case<'_>,
    container: &Container<'_>,
    former: Option<u64>,
) -> Option<Remedy> {
    let target = case.target()?;
    let object = target.object.as_ref()?;
    let may_be_changed = matches!(object.kind.as_str(), "Deployment" | "Job");
    if !may_be_changed || object.uid.is_empty() || container.name.is_empty() || container.init {
        return None;
    }
    let limit = container.memory_limit().filter(|limit| *limit > 0)?;
    let wanted = former
        .filter(|former| *former > limit)
        .unwrap_or(limit.checked_mul(MEMORY_FACTOR)?);
    let wanted = wanted.checked_next_multiple_of(MIB)?;
    let largest_node = case
        .nodes()
        .filter_map(|node| parse_units(node.item.allocatable.get("memory")?))
        .max();
    let is_too_much = wanted > limit.checked_mul(MAX_MEMORY_FACTOR)?.max(MIB)
        || largest_node.is_some_and(|largest| wanted > largest);
    if is_too_much {
        return None;
    }
    let rationale = format!(
        "container {} was killed at its memory limit of {}",
        container.name,
        format_bytes(limit)
    );
    let fix = SetMemory {
        container: container.name.to_owned(),
        limit: wanted,
        request: 0,
    };
    Some(Remedy {
        target: Some(target.clone()),
        fix: Some(Fix::SetMemory(fix)),
        rationale,
    })
}

fn deployment<'a>(case: &Case<'a>) -> Option<&'a Target> {
    let target = case.target()?;
    let object = target.object.as_ref()?;
    (object.kind == "Deployment" && !object.uid.is_empty()).then_some(target)
}

/// A remedy in a few words, for example "roll back to revision 3".
pub(crate) fn describe(remedy: &Remedy) -> String {
    match &remedy.fix {
        Some(Fix::RollBack(fix)) => format!("roll back to revision {}", fix.to_revision),
        Some(Fix::SetMemory(fix)) => {
            format!(
                "set the memory limit of {} to {}",
                fix.container,
                format_bytes(fix.limit)
            )
        }
        None => "no change".to_owned(),
    }
}
