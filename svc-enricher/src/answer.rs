//! Whether an answer of the API server is the object that was asked for. What is within an object is read
//! leniently ([`crate::json`]); an answer that is no such object, or no list ([`bonesetter_chassis::answer`]), is
//! none, because evidence that is empty for another reason than that there is nothing misleads whoever explains it.

use http::StatusCode;
use kube::core::response::Status;
use serde_json::Value;

/// Whether an object is the one that was asked for; cluster-scoped objects have no namespace.
pub(crate) fn is_object(object: &Value, namespace: &str, name: &str) -> bool {
    let is = |field: &str, wanted: &str| crate::json::text(object, field) == wanted;
    is("/metadata/name", name) && (namespace.is_empty() || is("/metadata/namespace", namespace))
}

/// What the API server says of a request that failed; of an answer that is no status, of a proxy for example, its text.
pub(crate) fn status(code: StatusCode, body: &[u8]) -> Status {
    let said = serde_json::from_slice(body).ok();
    let said = said.filter(|said: &Status| said.code == code.as_u16());
    said.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        Status::failure(text.trim(), "NoStatus").with_code(code.as_u16())
    })
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

    #[test]
    fn a_failure_is_what_the_api_server_says_or_what_somebody_else_does() {
        let said = json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"});
        for (code, body, message) in [
            (403, said.to_string(), "no"),
            (502, "bad gateway\n".to_owned(), "bad gateway"),
            (502, r#"{"error": "x"}"#.to_owned(), r#"{"error": "x"}"#),
            (500, String::new(), ""),
        ] {
            let status = status(StatusCode::from_u16(code).unwrap(), body.as_bytes());
            assert_eq!((status.code, status.message.as_str()), (code, message));
        }
    }
}
