//! Pods that were evicted.

use bonesetter_proto::v1::Citation;

use super::finding::{Finding, Group};
use super::words::quote;
use crate::case::{Case, cite_text};

/// (text, cause, what happened, advice)
const WHY: [(&str, &str, &str, &str); 6] = [
    (
        "low on resource: memory",
        "evicted-for-memory",
        "its node was low on memory, and it used more than it had requested",
        "Request as much memory as the pod uses, so that it is placed where that is free.",
    ),
    (
        "low on resource: ephemeral-storage",
        "evicted-for-disk",
        "its node was low on disk space",
        "Find out what fills the node's disk (logs, images, emptyDir); request ephemeral-storage for what the pod writes.",
    ),
    (
        "local storage usage exceeds",
        "ephemeral-storage-limit-exceeded",
        "it wrote more to local disk than its limit allows",
        "Write less, use a volume, or raise the ephemeral-storage limit.",
    ),
    (
        "EmptyDir volume",
        "ephemeral-storage-limit-exceeded",
        "an emptyDir grew beyond its size limit",
        "Write less, or raise the size limit of the emptyDir.",
    ),
    (
        "low on resource: inodes",
        "evicted-for-disk",
        "its node was low on inodes",
        "Find out who makes so many small files on the node.",
    ),
    (
        "low on resource: pids",
        "evicted-for-processes",
        "its node was low on process ids",
        "Find out who starts so many processes on the node.",
    ),
];

/// The kubelet, the scheduler or a drain removed the pod.
pub(crate) fn evicted(case: &Case<'_>) -> Option<Finding> {
    let (citation, text) = told(case)?;
    let known = WHY.iter().find(|(known, ..)| text.contains(known));
    let (cause, says, advice) = match known {
        Some((_, cause, says, advice)) => (*cause, *says, *advice),
        None if text.contains("Preempt") => (
            "preempted",
            "a pod of higher priority needed its place",
            "Give it a higher priority, or add capacity.",
        ),
        None if text.contains("hutdown") || text.contains("shutdown") => (
            "node-shut-down",
            "its node was shut down",
            "Nothing is wrong with the workload, if it has been placed elsewhere since.",
        ),
        None => (
            "evicted",
            "it was evicted",
            "The message of the pod's status says why.",
        ),
    };
    let conditions = case.nodes().find_map(|node| {
        let pressed = node.item.conditions.iter().find(|condition| {
            condition.r#type.ends_with("Pressure") && condition.status == "True"
        })?;
        Some(crate::case::cite(
            node.id,
            format!("condition {}={}", pressed.r#type, pressed.status),
        ))
    });
    let finding = Finding::new(
        cause,
        Group::Platform,
        format!("{}: a pod was evicted because {says}.", case.subject()),
    )
    .because(format!(
        "A pod was evicted, because {says}: {}",
        quote(&text)
    ))
    .advise(advice)
    .fits(0.85)
    .fits_if(0.4, known.is_some())
    .cite(citation)
    .cite(conditions);
    Some(finding)
}

fn told(case: &Case<'_>) -> Option<(Option<Citation>, String)> {
    for pod in case.of_kind("Pod") {
        let reason = pod.text("/status/reason").unwrap_or_default();
        if ["Evicted", "Preempting", "Terminated", "NodeShutdown"].contains(&reason) {
            let message = pod.text("/status/message").unwrap_or_default();
            let pointer = if message.is_empty() {
                "/status/reason"
            } else {
                "/status/message"
            };
            return Some((pod.cite(pointer), format!("{reason} {message}")));
        }
    }
    let event = case.event(&["Evicted", "Preempted"], |_| true)?;
    let text = format!("{} {}", event.item.reason, event.item.message);
    Some((Some(cite_text(event.id, &event.item.message)), text))
}
