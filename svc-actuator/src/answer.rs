//! Whether an answer of the API server is the object that was asked for ([`bonesetter_chassis::answer`] has the rest).

use serde_json::Value;

/// Whether an object is the Deployment that was asked for, with all that a change of it rests on.
pub(crate) fn is_deployment(object: &Value, namespace: &str, name: &str) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    text("/kind") == Some("Deployment")
        && text("/metadata/namespace") == Some(namespace)
        && text("/metadata/name") == Some(name)
        && text("/metadata/uid").is_some_and(|uid| !uid.is_empty())
        && text("/metadata/resourceVersion").is_some_and(|version| !version.is_empty())
        && object
            .pointer("/spec/template")
            .is_some_and(Value::is_object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_is_the_one_that_was_asked_for_and_whole() {
        let whole = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"namespace": "shop", "name": "api", "uid": "u", "resourceVersion": "7"},
            "spec": {"template": {}},
        });
        assert!(is_deployment(&whole, "shop", "api"));
        assert!(!is_deployment(&whole, "shop", "web"));
        assert!(!is_deployment(&whole, "bank", "api"));
        for (pointer, other) in [
            ("/kind", json!("Status")),
            ("/metadata/uid", json!("")),
            ("/metadata/uid", json!(7)),
            ("/metadata/resourceVersion", json!(null)),
            ("/metadata", json!([])),
            ("/spec/template", json!("x")),
            ("/spec", json!(null)),
        ] {
            let mut object = whole.clone();
            *object.pointer_mut(pointer).unwrap() = other;
            assert!(!is_deployment(&object, "shop", "api"), "{object}");
        }
    }
}
