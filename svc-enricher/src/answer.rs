//! Whether an answer of the API server is the object that was asked for. What is within an object is read
//! leniently ([`crate::json`]); an answer that is no such object, or no list ([`bonesetter_chassis::answer`]), is
//! none, because evidence that is empty for another reason than that there is nothing misleads whoever explains it.

use serde_json::Value;

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
