//! Nodes that are not well.

use super::finding::{Finding, Group};
use crate::case::{Case, cite};

/// The node of a failing pod is not ready.
pub(crate) fn not_ready(case: &Case<'_>) -> Option<Finding> {
    let (node, condition) = case.nodes().find_map(|node| {
        let is_bad = |kind: &str, status: &str| kind == "Ready" && status != "True";
        let condition = node
            .item
            .conditions
            .iter()
            .find(|one| is_bad(&one.r#type, &one.status))?;
        Some((node, condition))
    })?;
    let name = node
        .item
        .r#ref
        .as_ref()
        .map_or("of the pod", |reference| reference.name.as_str());
    let runs_there = case
        .of_kind("Pod")
        .any(|pod| pod.text("/spec/nodeName") == Some(name));
    let why = if condition.message.is_empty() {
        &condition.reason
    } else {
        &condition.message
    };
    let finding = Finding::new(
        "node-not-ready",
        Group::Platform,
        format!("{}: node {name} is not ready.", case.subject()),
    )
    .because(format!("Node {name} is not ready ({}): {why}", condition.reason))
    .advise("Look at the node: kubelet, container runtime, network. Its pods are moved when it stays away.")
    .fits(if runs_there { 0.75 } else { 0.3 })
    .cite(cite(node.id, format!("condition {}={}", condition.r#type, condition.status)));
    Some(finding)
}
