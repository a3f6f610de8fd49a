//! Whether an answer of the API server is the object that was asked for ([`bonesetter_chassis::answer`] has the rest).

use http::StatusCode;
use kube::core::response::Status;
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

/// What the API server says of a request that failed; of an answer that is no status, of a proxy for example, the code.
pub(crate) fn status(code: StatusCode, body: &[u8]) -> Status {
    let said = serde_json::from_slice(body).ok();
    let said = said.filter(|said: &Status| said.code == code.as_u16());
    said.unwrap_or_else(|| Status::failure("", "NoStatus").with_code(code.as_u16()))
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

    #[test]
    fn a_failure_that_is_no_status_has_its_code_and_nothing_of_its_text() {
        let said = json!({"kind": "Status", "code": 409, "reason": "Conflict", "message": "m"});
        for (code, body, reason) in [
            (409, said.to_string(), "Conflict"),
            (502, "hunter2".to_owned(), "NoStatus"),
            (502, r#"{"error": "hunter2"}"#.to_owned(), "NoStatus"),
        ] {
            let status = status(StatusCode::from_u16(code).unwrap(), body.as_bytes());
            assert_eq!((status.code, status.reason.as_str()), (code, reason));
            assert!(!format!("{status:?}").contains("hunter2"));
        }
    }
}
