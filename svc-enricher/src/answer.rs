//! Whether an answer of the API server is of the form that was asked for. What is within an object is read
//! leniently ([`crate::json`]); an answer that is no such object, or no list, is none, because evidence that is
//! empty for another reason than that there is nothing misleads whoever explains it.

use serde_json::Value;

/// The items of one page of a list, taken out of it; `None` where it is not a list of objects with names.
pub(crate) fn take_items(page: &mut Value) -> Option<Vec<Value>> {
    let Value::Array(items) = page.get_mut("items")?.take() else {
        return None;
    };
    let is_named = |item: &Value| item.pointer("/metadata/name").is_some_and(Value::is_string);
    items.iter().all(is_named).then_some(items)
}

/// Whether an object is the one that was asked for; cluster-scoped objects have no namespace.
pub(crate) fn is_object(object: &Value, namespace: &str, name: &str) -> bool {
    let is = |field: &str, wanted: &str| crate::json::text(object, field) == wanted;
    is("/metadata/name", name) && (namespace.is_empty() || is("/metadata/namespace", namespace))
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
            (json!([]), None),
            (json!("ok"), None),
            (json!({"items": null}), None),
            (json!({"items": {"metadata": {"name": "a"}}}), None),
            (json!({"items": [{"metadata": {"name": "a"}}, 7]}), None),
            (json!({"items": [{"metadata": {"name": 7}}]}), None),
        ] {
            let taken = take_items(&mut page.clone()).map(|items| items.len());
            assert_eq!(taken, items, "{page}");
        }
    }

    #[test]
    fn an_object_is_the_one_that_was_asked_for() {
        let object = json!({"metadata": {"namespace": "shop", "name": "api"}});
        for (object, namespace, name, expected) in [
            (&object, "shop", "api", true),
            (&object, "", "api", true),
            (&object, "shop", "web", false),
            (&object, "bank", "api", false),
            (&json!({}), "shop", "api", false),
            (&json!("api"), "", "api", false),
        ] {
            assert_eq!(is_object(object, namespace, name), expected, "{object}");
        }
    }
}
