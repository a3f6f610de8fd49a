//! What binds a remedy to the pod template that was diagnosed.
//!
//! svc-enricher writes the digest into the evidence, svc-actuator computes it again from the live
//! object before it writes. Both must take `.spec.template` as the API server returned it and
//! digest it here; the digest is keyed, because a plain hash of a template would let short values
//! of its environment be guessed.

use bonesetter_keys::DigestKey;
use serde_json::Value;

/// HMAC-SHA-256 (64 hex digits) of a pod template, equal exactly when the templates are.
///
/// `template` is `.spec.template` of the live object. Order of keys does not matter, and `null`
/// counts as absent, as it does for the API server. Everything else does matter, empty objects and
/// lists too: `emptyDir: {}` is not the same as no `emptyDir`.
pub fn template_digest(key: &DigestKey, template: &Value) -> String {
    let mut canonical = String::new();
    write_canonical(template, &mut canonical);
    key.digest("template", canonical.as_bytes())
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .collect();
            fields.sort_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(template: &str) -> String {
        let template = serde_json::from_str(template).unwrap();
        template_digest(&DigestKey::from_bytes(&[1; 32]), &template)
    }

    #[test]
    fn neither_order_of_keys_nor_nulls_matter() {
        let reference =
            digest(r#"{"metadata":{"labels":{"a":"1","b":"2"}},"spec":{"x":[{"p":1,"q":2}]}}"#);
        for same in [
            r#"{"spec":{"x":[{"q":2,"p":1}]},"metadata":{"labels":{"b":"2","a":"1"}}}"#,
            r#"{"metadata":{"creationTimestamp":null,"labels":{"a":"1","b":"2"}},"spec":{"x":[{"p":1,"q":2,"r":null}]}}"#,
        ] {
            assert_eq!(digest(same), reference, "{same}");
        }
    }

    #[test]
    fn everything_else_matters() {
        let reference =
            digest(r#"{"spec":{"volumes":[{"name":"v","emptyDir":{}},{"name":"w"}],"n":1}}"#);
        for other in [
            r#"{"spec":{"volumes":[{"name":"v"},{"name":"w"}],"n":1}}"#,
            r#"{"spec":{"volumes":[{"name":"w"},{"name":"v","emptyDir":{}}],"n":1}}"#,
            r#"{"spec":{"volumes":[{"name":"v","emptyDir":{}},{"name":"w"}],"n":"1"}}"#,
            r#"{"spec":{"volumes":[{"name":"v","emptyDir":{}},{"name":"w"}],"n":1,"m":[]}}"#,
            "null",
        ] {
            assert_ne!(digest(other), reference, "{other}");
        }
    }

    #[test]
    fn the_digest_is_keyed_and_stable() {
        let template = json!({"spec": {"containers": [{"name": "app", "image": "a:1"}]}});
        let first = template_digest(&DigestKey::from_bytes(&[1; 32]), &template);
        let second = template_digest(&DigestKey::from_bytes(&[2; 32]), &template);
        assert_eq!(first.len(), 64);
        assert_ne!(first, second);
        let keyed = DigestKey::from_bytes(&[1; 32]);
        let written = r#"{"spec":{"containers":[{"image":"a:1","name":"app"}]}}"#;
        assert_eq!(first, keyed.digest("template", written.as_bytes()));
    }
}
