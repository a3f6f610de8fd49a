//! What a change touches, and how it is undone: the difference of two JSON documents.
//!
//! A change is a list of fields with their former and new values. It is not the patch that some
//! client happened to send, so its inverse is exact: every field gets back what it had, and one that
//! was not there goes away again. Lists of objects of the same length are compared element by
//! element; every other list is one field, as it is for the API server (an atomic list).

use std::fmt;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One touched field.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// JSON pointer into the object (RFC 6901).
    pub path: PointerBuf,
    /// `None` where the field is not there before.
    pub before: Option<Value>,
    /// `None` where the field is not there afterwards.
    pub after: Option<Value>,
}

/// Values may be secrets, so they are never printed.
impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edit({})", self.path)
    }
}

impl Edit {
    fn operation(&self) -> Option<PatchOperation> {
        let path = self.path.clone();
        match (&self.before, &self.after) {
            (None, Some(value)) => Some(PatchOperation::Add(AddOperation {
                path,
                value: value.clone(),
            })),
            (Some(_), Some(value)) => Some(PatchOperation::Replace(ReplaceOperation {
                path,
                value: value.clone(),
            })),
            (Some(_), None) => Some(PatchOperation::Remove(RemoveOperation { path })),
            (None, None) => None,
        }
    }

    fn precondition(&self) -> Option<PatchOperation> {
        let value = self.before.clone()?;
        Some(PatchOperation::Test(TestOperation {
            path: self.path.clone(),
            value,
        }))
    }
}

/// Disjoint fields of one object, none above another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// What turns `before`, the value at `root` of an object, into `after`.
    pub fn between(root: &PointerBuf, before: Option<&Value>, after: Option<&Value>) -> Self {
        let mut edits = Vec::new();
        compare(root, before, after, &mut edits);
        Self(edits)
    }

    /// The touched fields.
    pub fn iter(&self) -> impl Iterator<Item = &Edit> {
        self.0.iter()
    }

    /// Whether nothing is touched.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// JSON pointers of the touched fields.
    pub fn fields(&self) -> Vec<String> {
        self.0.iter().map(|edit| edit.path.to_string()).collect()
    }

    /// Adds fields that must not overlap with ours.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The change that takes this one back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let swap = |edit: &Edit| Edit {
            path: edit.path.clone(),
            before: edit.after.clone(),
            after: edit.before.clone(),
        };
        Self(self.0.iter().rev().map(swap).collect())
    }

    /// Whether every touched field of `object` has its former value.
    pub fn are_undone_in(&self, object: &Value) -> bool {
        self.0
            .iter()
            .all(|edit| edit.path.resolve_in(object) == edit.before.as_ref())
    }

    /// The touched fields of `object` that do not have their new value.
    pub fn drifted_in(&self, object: &Value) -> Vec<String> {
        let drifted = |edit: &&Edit| edit.path.resolve_in(object) != edit.after.as_ref();
        self.0
            .iter()
            .filter(drifted)
            .map(|edit| edit.path.to_string())
            .collect()
    }

    /// JSON patch operations (RFC 6902): first a test of every former value, then the changes.
    pub fn operations(&self) -> Vec<PatchOperation> {
        let tests = self.0.iter().filter_map(Edit::precondition);
        tests
            .chain(self.0.iter().filter_map(Edit::operation))
            .collect()
    }

    /// Bytes that are equal for equal changes, whatever the order of keys was.
    pub fn canonical(&self) -> Vec<u8> {
        let field = |edit: &Edit| {
            let mut field = Map::new();
            field.insert("path".to_owned(), Value::String(edit.path.to_string()));
            for (key, value) in [("before", &edit.before), ("after", &edit.after)] {
                if let Some(value) = value {
                    field.insert(key.to_owned(), value.clone());
                }
            }
            Value::Object(field)
        };
        let mut fields: Vec<_> = self.0.iter().collect();
        fields.sort_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
        let mut bytes = Vec::new();
        write_canonical(
            &Value::Array(fields.into_iter().map(field).collect()),
            &mut bytes,
        );
        bytes
    }
}

trait ResolveIn {
    fn resolve_in<'a>(&self, object: &'a Value) -> Option<&'a Value>;
}

impl ResolveIn for PointerBuf {
    fn resolve_in<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        object.pointer(self.as_str())
    }
}

/// `root` and one more token.
pub fn child(root: &PointerBuf, token: &str) -> PointerBuf {
    let mut path = root.clone();
    path.push_back(token);
    path
}

/// The pointer with these tokens, which need no escaping.
pub fn pointer(tokens: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(tokens.iter().copied())
}

fn compare(
    path: &PointerBuf,
    before: Option<&Value>,
    after: Option<&Value>,
    edits: &mut Vec<Edit>,
) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            for key in before
                .keys()
                .chain(after.keys().filter(|key| !before.contains_key(*key)))
            {
                compare(&child(path, key), before.get(key), after.get(key), edits);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after)))
            if before.len() == after.len() && before.iter().chain(after).all(Value::is_object) =>
        {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                compare(
                    &child(path, &index.to_string()),
                    Some(before),
                    Some(after),
                    edits,
                );
            }
        }
        (None, None) => {}
        (before, after) => edits.push(Edit {
            path: path.clone(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn write_canonical(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            bytes.push(b'{');
            for (key, value) in entries {
                bytes.extend_from_slice(Value::String(key.clone()).to_string().as_bytes());
                bytes.push(b':');
                write_canonical(value, bytes);
                bytes.push(b',');
            }
            bytes.push(b'}');
        }
        Value::Array(values) => {
            bytes.push(b'[');
            for value in values {
                write_canonical(value, bytes);
                bytes.push(b',');
            }
            bytes.push(b']');
        }
        scalar => bytes.extend_from_slice(scalar.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn edits(before: &Value, after: &Value) -> Edits {
        Edits::between(&pointer(&["t"]), before.get("t"), after.get("t"))
    }

    fn apply(edits: &Edits, object: &Value) -> Value {
        let mut object = object.clone();
        json_patch::patch(&mut object, &edits.operations()).unwrap();
        object
    }

    #[test]
    fn touched_fields_are_the_smallest_ones_that_differ() {
        let cases = [
            (
                json!({"a": 1, "b": 2}),
                json!({"a": 1, "b": 3}),
                vec!["/t/b"],
            ),
            (
                json!({"a": {}}),
                json!({"a": {"x/y": 1}}),
                vec!["/t/a/x~1y"],
            ),
            (json!({"a": {"b": 1}}), json!({}), vec!["/t/a"]),
            (
                json!([{"n": 1}, {"n": 2}]),
                json!([{"n": 1}, {"n": 3}]),
                vec!["/t/1/n"],
            ),
            (json!(["-a", "-b"]), json!(["-a", "-c"]), vec!["/t"]),
            (json!([{"n": 1}]), json!([{"n": 1}, {"n": 2}]), vec!["/t"]),
            (json!({"a": null}), json!({}), vec!["/t/a"]),
            (json!({"a": [1]}), json!({"a": [1]}), vec![]),
        ];
        for (before, after, fields) in cases {
            let found = edits(&json!({"t": before}), &json!({"t": after})).fields();
            assert_eq!(found, fields, "{before} -> {after}");
        }
    }

    #[test]
    fn a_changed_former_value_stops_the_patch() {
        let edits = edits(&json!({"t": {"a": 1}}), &json!({"t": {"a": 2}}));
        let mut drifted = json!({"t": {"a": 7}});
        assert!(json_patch::patch(&mut drifted, &edits.operations()).is_err());
        assert_eq!(edits.drifted_in(&json!({"t": {"a": 7}})), ["/t/a"]);
        assert!(edits.drifted_in(&json!({"t": {"a": 2}})).is_empty());
        assert!(edits.are_undone_in(&json!({"t": {"a": 1}})));
    }

    #[test]
    fn values_are_never_printed() {
        let edits = edits(
            &json!({"t": {"a": "hunter2"}}),
            &json!({"t": {"a": "hunter3"}}),
        );
        assert_eq!(format!("{edits:?}"), "Edits([Edit(/t/a)])");
    }

    #[test]
    fn canonical_bytes_ignore_the_order_of_keys_and_nothing_else() {
        let canonical = |text: &str| {
            let after: Value = serde_json::from_str(text).unwrap();
            Edits::between(&pointer(&["t"]), None, Some(&after)).canonical()
        };
        assert_eq!(
            canonical(r#"{"a":1,"b":[2,3]}"#),
            canonical(r#"{"b":[2,3],"a":1}"#)
        );
        assert_ne!(
            canonical(r#"{"a":1,"b":[2,3]}"#),
            canonical(r#"{"a":1,"b":[3,2]}"#)
        );
        assert_ne!(canonical(r#"["a","b"]"#), canonical(r#"["a,b"]"#));
    }

    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..4_i64).prop_map(Value::from),
            "[ab/~]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[abc/~]{1,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_change_and_its_inverse_are_the_identity(before in any_json(), after in any_json()) {
            let (before, after) = (json!({"t": before}), json!({"t": after}));
            let edits = edits(&before, &after);
            prop_assert_eq!(apply(&edits, &before), after.clone());
            prop_assert_eq!(apply(&edits.inverse(), &after), before.clone());
            prop_assert_eq!(edits.is_empty(), before == after);
            prop_assert!(edits.drifted_in(&after).is_empty());
            prop_assert!(edits.are_undone_in(&before));
        }
    }
}
