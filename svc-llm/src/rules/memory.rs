//! Killed for memory.

use super::finding::{Finding, Group};
use super::reading::{Subject, read};
use crate::case::{Case, Container};
use crate::quantity::{format_bytes, parse_units};
use crate::remedy::{blame, describe, set_memory};

const LIMIT: &str = "/resources/limits/memory";

/// The kernel killed the container at its memory limit, also before it could start; or, where it has
/// no limit, because the node had no memory left.
///
/// Where the last rollout lowered the limit and changed nothing else, rolling back restores exactly what
/// worked. Where it changed other things too, only the limit is put back. On a first revision the limit is
/// doubled, once: what still does not fit is a leak or needs a person.
pub(crate) fn memory_limit_too_low(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    if !container.is_oom_killed() {
        return None;
    }
    let Some(limit) = container.memory_limit() else {
        return Some(node_out_of_memory(case, container));
    };
    let name = container.name;
    let shown = format_bytes(limit);
    let finding = Finding::new(
        "memory-limit-too-low",
        Group::Platform,
        format!("{}: container {name} is killed at its memory limit of {shown}.", case.subject()),
    )
    .because(format!(
        "The kernel killed container {name} (OOMKilled, restarted {} times) because it needs more than its limit of {shown}.",
        container.restarts()
    ))
    .fits(0.9)
    .cite(killed_at(container))
    .cite(container.cite(LIMIT));
    if let Some(declared) = declared_limit(case, name).filter(|declared| *declared != limit) {
        return Some(rewritten(finding, limit, declared));
    }
    Some(with_remedy(case, container, finding))
}

fn with_remedy(case: &Case<'_>, container: &Container<'_>, finding: Finding) -> Finding {
    let advice = "Raise the limit; if the container is killed again, look for a leak or for a cache that follows the size of the host.";
    let finding = finding.advise(advice);
    let lowered = blame(case, container, &["/resources"]).and_then(|blame| {
        let value: String = serde_json::from_str(blame.before).ok()?;
        let before = parse_units(&value).filter(|_| blame.path.ends_with(LIMIT))?;
        (before > container.memory_limit()?).then_some((blame, before))
    });
    let raise = |finding: Finding, former| {
        let remedy = set_memory(case, container, former);
        let verb = remedy.as_ref().map(describe);
        let finding = finding.remedy(remedy);
        match verb {
            Some(verb) => finding.advise(format!("Proposed: {verb}. {advice}")),
            None => finding,
        }
    };
    match lowered {
        Some((blame, former)) => {
            let only = case
                .rollout()
                .is_some_and(|rollout| rollout.touches_only(&["/resources"]));
            let finding = finding.blamed_on(case, container, &blame);
            if only && finding.remedy.is_some() {
                finding
            } else {
                raise(finding, Some(former))
            }
        }
        None => raise(finding, None),
    }
}

/// Where the template says another limit than the pod has, raising it there cannot be relied on.
fn rewritten(finding: Finding, limit: u64, declared: u64) -> Finding {
    let note = format!(
        " The pod's limit is {} although the template says {}: something changes it on the way, for example a mutating webhook.",
        format_bytes(limit),
        format_bytes(declared)
    );
    let root_cause = format!("{}{note}", finding.root_cause);
    finding
        .because(root_cause)
        .advise("Find out what rewrites the limit of new pods (mutating webhooks, LimitRange defaults) before raising it.")
}

fn declared_limit(case: &Case<'_>, name: &str) -> Option<u64> {
    let containers = case.template_containers();
    containers
        .iter()
        .find(|container| container.name == name)?
        .memory_limit()
}

fn node_out_of_memory(case: &Case<'_>, container: &Container<'_>) -> Finding {
    let name = container.name;
    Finding::new(
        "node-out-of-memory",
        Group::Platform,
        format!("{}: container {name} was killed because its node ran out of memory.", case.subject()),
    )
    .because(format!(
        "The kernel killed container {name} (OOMKilled) although it has no memory limit of its own: the node, or a cgroup above the container, had none left."
    ))
    .advise("Give the container a memory request and limit that fit what it uses, and look at what else runs on the node.")
    .fits(0.8)
    .cite(killed_at(container))
}

fn killed_at(container: &Container<'_>) -> Option<bonesetter_proto::v1::Citation> {
    let pointers = [
        "/state/terminated/reason",
        "/lastState/terminated/reason",
        "/state/terminated/message",
        "/lastState/terminated/message",
        "/state/waiting/message",
    ];
    let names_it = |pointer: &&&str| {
        container
            .status
            .and_then(|status| status.pointer(pointer)?.as_str())
            .is_some_and(|text| text.to_lowercase().contains("oom"))
    };
    container.cite_status(pointers.iter().find(names_it)?)
}

/// A managed runtime reached the size of its own heap, which is not the container's limit.
pub(crate) fn heap_too_small(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    let words = case.last_words(container);
    let reading = read(&words, &[Subject::HeapFull])?;
    let name = container.name;
    let finding = Finding::new(
        "heap-too-small",
        Group::Application,
        format!("{}: the runtime in container {name} has no heap left.", case.subject()),
    )
    .because(format!("The application in container {name} reached the size of its own heap: {}", reading.quote()))
    .advise("Raise the heap size (for example -XX:MaxRAMPercentage, --max-old-space-size) within the memory limit, or raise both; if it comes back, look for a leak.")
    .fits(0.85)
    .cite(reading.line.cite())
    .cite(container.cite(LIMIT));
    Some(finding)
}
