//! Label selectors as the API server takes them in a query.

use serde_json::Value;

use crate::json::{items, text};

/// The query form of a `LabelSelector` object; `None` where it selects nothing that we could ask for.
///
/// An absent or empty selector selects everything in Kubernetes; here it is `None`, because no
/// workload that owns pods has one.
pub(crate) fn query(selector: &Value) -> Option<String> {
    let mut terms = Vec::new();
    if let Some(labels) = selector.pointer("/matchLabels").and_then(Value::as_object) {
        for (name, value) in labels {
            terms.push(format!("{name}={}", value.as_str()?));
        }
    }
    for expression in items(selector, "/matchExpressions") {
        terms.push(requirement(expression)?);
    }
    if terms.is_empty() {
        None
    } else {
        Some(terms.join(","))
    }
}

fn requirement(expression: &Value) -> Option<String> {
    let key = text(expression, "/key");
    let values: Vec<&str> = items(expression, "/values")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    match text(expression, "/operator") {
        "In" => Some(format!("{key} in ({})", values.join(","))),
        "NotIn" => Some(format!("{key} notin ({})", values.join(","))),
        "Exists" => Some(key.to_owned()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_are_written_as_the_api_server_reads_them() {
        let cases = [
            (
                json!({"matchLabels": {"app": "a", "tier": "b"}}),
                Some("app=a,tier=b"),
            ),
            (
                json!({"matchLabels": {"app": "a"}, "matchExpressions": [
                    {"key": "x", "operator": "In", "values": ["1", "2"]},
                    {"key": "y", "operator": "NotIn", "values": ["3"]},
                    {"key": "z", "operator": "Exists"},
                    {"key": "w", "operator": "DoesNotExist"},
                ]}),
                Some("app=a,x in (1,2),y notin (3),z,!w"),
            ),
            (
                json!({"matchExpressions": [{"key": "x", "operator": "Near"}]}),
                None,
            ),
            (json!({"matchLabels": {"app": 1}}), None),
            (json!({}), None),
            (json!(null), None),
        ];
        for (selector, expected) in cases {
            assert_eq!(query(&selector).as_deref(), expected, "{selector}");
        }
    }
}
