use crate::v1::NodeState;

/// A node as the lines that a citation can quote; objects and changes are cited by JSON pointer, and
/// the rest is text already.
pub fn node_lines(node: &NodeState) -> Vec<String> {
    let amounts = node
        .allocatable
        .iter()
        .map(|(what, amount)| format!("allocatable {what}: {amount}"));
    let conditions = node.conditions.iter().map(|one| {
        format!(
            "condition {}={} {} {}",
            one.r#type, one.status, one.reason, one.message
        )
        .trim_end()
        .to_owned()
    });
    let taints = node.taints.iter().map(|taint| format!("taint {taint}"));
    let cordoned = node.unschedulable.then(|| "unschedulable".to_owned());
    amounts
        .chain(conditions)
        .chain(taints)
        .chain(cordoned)
        .collect()
}
