//! Finds values that stand for something that was redacted: they must never reach a cluster.

use serde_json::Value;

/// Marks that redactors leave (ours is `<kind:id>`), lower-case.
const MARKS: [&str; 6] = [
    "<redacted",
    "[redacted",
    "***",
    "<withheld",
    "<placeholder",
    "{{redacted",
];
const SHORTEST_ID: usize = 6;

/// Whether any string in the value, key or value, holds a placeholder.
pub fn is_in_value(value: &Value) -> bool {
    match value {
        Value::String(text) => is_in_text(text),
        Value::Array(values) => values.iter().any(is_in_value),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| is_in_text(key) || is_in_value(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether the text holds a placeholder.
pub fn is_in_text(text: &str) -> bool {
    let lower = text.to_lowercase();
    MARKS.iter().any(|mark| lower.contains(mark))
        || text.contains('\u{27e8}')
        || lower.split('<').skip(1).any(starts_with_kind_and_id)
}

fn starts_with_kind_and_id(rest: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let Some((kind, rest)) = rest.split_once(':') else {
        return false;
    };
    let Some((id, _)) = rest.split_once('>') else {
        return false;
    };
    !kind.is_empty() && id.len() >= SHORTEST_ID && kind.chars().chain(id.chars()).all(is_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_are_found_wherever_they_hide() {
        for text in [
            "<secret:k3f9q2>",
            "--dsn=postgres://u:<secret:k3f9q2x>@db",
            "<withheld:too-deep>",
            "a < b <url-password:abcdef>",
            "[REDACTED]",
            "<Redacted>",
            "*****",
            "\u{27e8}email:ab12cd\u{27e9}",
        ] {
            assert!(is_in_text(text), "{text}");
            assert!(is_in_value(&json!({"a": [{"b": text}]})), "{text}");
            assert!(is_in_value(&json!({ text: 1 })), "{text}");
        }
    }

    #[test]
    fn ordinary_values_are_not() {
        for text in [
            "",
            "a<b",
            "<a:b>",
            "if [ 1 -lt 2 ]; then x; fi",
            "<a b:abcdef>",
            "http://x:80",
        ] {
            assert!(!is_in_text(text), "{text}");
        }
    }
}
