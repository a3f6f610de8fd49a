//! What is known about a node.

use bonesetter_proto::v1::{NodeCondition, NodeState};
use serde_json::Value;

use crate::json::{items, reference, text};

/// Conditions, allocatable resources and taints of a node.
pub(crate) fn state(node: &Value) -> NodeState {
    let conditions = items(node, "/status/conditions")
        .iter()
        .map(|condition| NodeCondition {
            r#type: text(condition, "/type").to_owned(),
            status: text(condition, "/status").to_owned(),
            reason: text(condition, "/reason").to_owned(),
            message: text(condition, "/message").to_owned(),
        });
    let allocatable = node
        .pointer("/status/allocatable")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, quantity)| Some((name.clone(), quantity.as_str()?.to_owned())));
    NodeState {
        r#ref: Some(reference(node)),
        conditions: conditions.collect(),
        allocatable: allocatable.collect(),
        unschedulable: node
            .pointer("/spec/unschedulable")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        taints: items(node, "/spec/taints").iter().map(taint).collect(),
    }
}

/// As kubectl writes it: `key=value:Effect`, or `key:Effect`.
fn taint(taint: &Value) -> String {
    let value = match text(taint, "/value") {
        "" => String::new(),
        value => format!("={value}"),
    };
    format!("{}{value}:{}", text(taint, "/key"), text(taint, "/effect"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_read() {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "u"},
            "spec": {"unschedulable": true, "taints": [
                {"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "c", "effect": "NoExecute"},
            ]},
            "status": {
                "allocatable": {"cpu": "2", "memory": "4Gi"},
                "conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "m"}],
            },
        });
        let state = state(&node);
        assert!(state.unschedulable);
        assert_eq!(state.taints, ["a=b:NoSchedule", "c:NoExecute"]);
        assert_eq!(
            state.allocatable.get("memory").map(String::as_str),
            Some("4Gi")
        );
        assert_eq!(state.conditions[0].reason, "KubeletNotReady");
    }

    #[test]
    fn a_node_without_status_is_read_too() {
        assert_eq!(super::state(&json!({})).conditions, []);
    }
}
