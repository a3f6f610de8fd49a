//! Reading of Kubernetes objects as JSON. A field that is absent or of another type reads as empty:
//! evidence about a broken object is worth more than an error about it.

use bonesetter_proto::v1::ObjectRef;
use prost_types::Timestamp;
use serde_json::Value;

/// The text at a JSON pointer, or the empty string.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The number at a JSON pointer, or 0.
pub(crate) fn number(value: &Value, pointer: &str) -> i64 {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

/// The items of the list at a JSON pointer, or none.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Whether there is something but null at a JSON pointer.
pub(crate) fn has(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).is_some_and(|value| !value.is_null())
}

/// The RFC 3339 time at a JSON pointer.
pub(crate) fn time(value: &Value, pointer: &str) -> Option<Timestamp> {
    timestamp(text(value, pointer))
}

/// Reads an RFC 3339 time, with or without fractions of a second.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    let nanos = at.subsec_nanosecond();
    let (seconds, nanos) = match nanos {
        ..0 => (at.as_second() - 1, nanos + 1_000_000_000),
        _ => (at.as_second(), nanos),
    };
    Some(Timestamp { seconds, nanos })
}

/// What an object is called.
pub(crate) fn reference(object: &Value) -> ObjectRef {
    ObjectRef {
        api_version: text(object, "/apiVersion").to_owned(),
        kind: text(object, "/kind").to_owned(),
        namespace: text(object, "/metadata/namespace").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
        uid: text(object, "/metadata/uid").to_owned(),
    }
}

/// The uid of an object.
pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// The uid of the controller that owns an object.
pub(crate) fn controller_uid(object: &Value) -> Option<&str> {
    items(object, "/metadata/ownerReferences")
        .iter()
        .find(|owner| owner.pointer("/controller").and_then(Value::as_bool) == Some(true))
        .map(|owner| text(owner, "/uid"))
}

/// The value of an annotation, or the empty string.
pub(crate) fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    object
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(name))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_with_and_without_fractions() {
        let cases = [
            ("2026-11-25T13:00:00Z", Some((1_795_611_600, 0))),
            (
                "2026-11-25T13:00:00.25Z",
                Some((1_795_611_600, 250_000_000)),
            ),
            ("2026-11-25T14:00:00+01:00", Some((1_795_611_600, 0))),
            ("1969-12-31T23:59:59.5Z", Some((-1, 500_000_000))),
            ("", None),
            ("yesterday", None),
        ];
        for (text, expected) in cases {
            let read = timestamp(text).map(|at| (at.seconds, at.nanos));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn only_the_controller_counts_as_owner() {
        let object = json!({"metadata": {"ownerReferences": [
            {"uid": "a"}, {"uid": "b", "controller": true}, {"uid": "c", "controller": false},
        ]}});
        assert_eq!(controller_uid(&object), Some("b"));
        assert_eq!(
            controller_uid(&json!({"metadata": {"ownerReferences": "?"}})),
            None
        );
    }
}
