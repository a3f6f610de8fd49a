//! Answers of the API server to those who take them as JSON: of the form that was asked for. Anything else (of a proxy
//! in between, for example) is not used: an empty list that is none would read as "no pods" and "no revision to go
//! back to".

use serde_json::Value;

/// The items of one page of a list, taken out of it; `None` where it is not a list of objects with names.
pub fn take_items(page: &mut Value) -> Option<Vec<Value>> {
    let Value::Array(items) = page.get_mut("items")?.take() else {
        return None;
    };
    let is_named = |item: &Value| item.pointer("/metadata/name").is_some_and(Value::is_string);
    items.iter().all(is_named).then_some(items)
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
            (json!({"items": [{"metadata": {}}]}), None),
        ] {
            let taken = take_items(&mut page.clone()).map(|items| items.len());
            assert_eq!(taken, items, "{page}");
        }
    }
}
