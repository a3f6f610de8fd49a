//! Killed for memory.

use serde_json::Value;

use super::finding::{Finding, Group};
use super::reading::{Subject, read};
use super::words::quote;
use crate::case::{Case, Container, cite_text, is_oom};
use crate::quantity::{format_bytes, parse_units};
use crate::remedy::{Blame, blame, describe, set_memory};

const LIMIT: &str = "/resources/limits/memory";
const RAISE: &str = "Raise the limit; if the container is killed again, look for a leak or for a cache that follows the size of the host.";

/// The kernel killed the container at its memory limit, also before it could start; or, where it has
/// no limit, because the node had no memory left.
///
/// Where the last rollout lowered the limit and changed nothing else, rolling back restores exactly what
/// worked. Where it changed other things too, only the limit is put back; where it set the first limit
/// that there was, that is only possible by rolling back. On a first revision the limit is
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
        "The kernel killed container {name} (OOMKilled, restarts: {}) because it needs more than its limit of {shown}.",
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
    let finding = finding.advise(RAISE);
    let raise = |finding: Finding, former| match set_memory(case, container, former) {
        Some(remedy) => {
            let advice = format!("Proposed: {}. {RAISE}", describe(&remedy));
            finding.remedy(Some(remedy)).advise(advice)
        }
        None => finding,
    };
    let Some((blame, former)) = lowered(case, container) else {
        return raise(finding, None);
    };
    let only = case
        .rollout()
        .is_some_and(|rollout| rollout.touches_only(&["/resources"]));
    let finding = finding.blamed_on(case, container, &blame);
    // A limit that was not there before cannot be put back by raising it.
    if finding.remedy.is_some() && (only || former.is_none()) {
        finding
    } else {
        raise(finding, former)
    }
}

/// The change by which the last rollout lowered the limit, and what it was; `None` if there was none.
fn lowered<'a>(case: &Case<'a>, container: &Container<'_>) -> Option<(Blame<'a>, Option<u64>)> {
    let blame = blame(case, container, &[LIMIT, "/resources/limits", "/resources"])?;
    let below = [
        (LIMIT, ""),
        ("/resources/limits", "/memory"),
        ("/resources", "/limits/memory"),
    ];
    let (_, pointer) = below.iter().find(|(end, _)| blame.path.ends_with(end))?;
    let before: Value = match blame.before {
        "" => Value::Null,
        before => serde_json::from_str(before).ok()?,
    };
    let former = match before.pointer(pointer) {
        None | Some(Value::Null) => None,
        Some(limit) => Some(parse_units(limit.as_str()?)?),
    };
    let limit = container.memory_limit()?;
    former
        .is_none_or(|former| former > limit)
        .then_some((blame, former))
}

/// The memory limit is too low even for the sandbox of the pod, which lies in the same cgroup.
pub(crate) fn sandbox_out_of_memory(case: &Case<'_>) -> Option<Finding> {
    let event = case.event(&["FailedCreatePodSandBox"], |text| is_oom("", text))?;
    let failing = case.failing();
    let limited = failing
        .iter()
        .filter_map(|container| Some((container.memory_limit()?, container)));
    let (limit, container) = limited.min_by_key(|(limit, _)| *limit)?;
    let (name, shown) = (container.name, format_bytes(limit));
    let finding = Finding::new(
        "memory-limit-too-low",
        Group::Platform,
        format!("{}: its pod cannot start within the memory limit of {shown} of container {name}.", case.subject()),
    )
    .because(format!("The runtime needs more memory to set up the pod than its limits allow (container {name}: {shown}): {}", quote(&event.item.message)))
    .advise("Raise the limit to what the application needs; some 10 Mi are the least that works for any.")
    .fits(0.9)
    .cite(cite_text(event.id, &event.item.message))
    .cite(container.cite(LIMIT));
    Some(match lowered(case, container) {
        Some((blame, _)) => finding.blamed_on(case, container, &blame),
        None => finding,
    })
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
