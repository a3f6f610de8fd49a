//! Whether an answer of the API server is of the form that was asked for. Anything else (of a proxy in between, for
//! example) is not used: an empty list that is none would read as "no pods" and "no revision to go back to".

use serde_json::Value;

/// The items of one page of a list, taken out of it; `None` where it is not a list of objects with names.
pub(crate) fn take_items(page: &mut Value) -> Option<Vec<Value>> {
    let Value::Array(items) = page.get_mut("items")?.take() else {
        return None;
    };
    let is_named = |item: &Value| item.pointer("/metadata/name").is_some_and(Value::is_string);
    items.iter().all(is_named).then_some(items)
}

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
    fn a_page_is_a_list_of_objects_with_names() {
        for (page, items) in [
            (json!({"items": []}), Some(0)),
            (json!({"items": [{"metadata": {"name": "a"}}]}), Some(1)),
            (json!({}), None),
            (json!("ok"), None),
            (json!({"items": null}), None),
            (json!({"items": [{"metadata": {"name": "a"}}, 7]}), None),
            (json!({"items": [{"metadata": {}}]}), None),
        ] {
            let taken = take_items(&mut page.clone()).map(|items| items.len());
            assert_eq!(taken, items, "{page}");
        }
    }

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
