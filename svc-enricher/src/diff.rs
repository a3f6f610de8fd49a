//! What differs between two pod templates.
//!
//! The result is made for people and for the redactor, which is why three things are one leaf:
//! a list of plain values (`args`: a secret follows its flag), an object with a name and a value
//! (an env variable, a probe header, a mount: the name says what the value is), and a list entry that
//! came or went.

use std::collections::BTreeSet;

use bonesetter_proto::pointer_token;
use bonesetter_proto::v1::FieldChange;
use serde_json::Value;

/// Changes beyond this many are counted, not listed.
const MAX_CHANGES: usize = 200;
/// A longer value is replaced by its length.
const MAX_VALUE_BYTES: usize = 4096;

/// The leaves that differ, sorted by path, and how many more there were.
///
/// Paths are JSON pointers (RFC 6901). Entries of lists are matched by name where all have one, and
/// numbered as in `after`; an entry that went is numbered as in `before`.
pub(crate) fn changes(before: &Value, after: &Value) -> (Vec<FieldChange>, usize) {
    let mut changes = Vec::new();
    compare(&mut String::new(), Some(before), Some(after), &mut changes);
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    let more = changes.len().saturating_sub(MAX_CHANGES);
    changes.truncate(MAX_CHANGES);
    (changes, more)
}

fn compare(
    path: &mut String,
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<FieldChange>,
) {
    let before = before.filter(|value| !value.is_null());
    let after = after.filter(|value| !value.is_null());
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Array(before)), Some(Value::Array(after))) if !is_plain(before, after) => {
            compare_lists(path, before, after, changes);
        }
        (before, after) if may_descend(before, after) => {
            let names: BTreeSet<&String> = [before, after]
                .into_iter()
                .flatten()
                .filter_map(Value::as_object)
                .flat_map(serde_json::Map::keys)
                .collect();
            for name in names {
                let of_before = before.and_then(|value| value.get(name));
                let of_after = after.and_then(|value| value.get(name));
                descend(path, &pointer_token(name), of_before, of_after, changes);
            }
        }
        (before, after) => changes.push(FieldChange {
            path: path.clone(),
            before: written(before),
            after: written(after),
        }),
    }
}

fn descend(
    path: &mut String,
    token: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<FieldChange>,
) {
    let length = path.len();
    path.push('/');
    path.push_str(token);
    compare(path, before, after, changes);
    path.truncate(length);
}

fn compare_lists(
    path: &mut String,
    before: &[Value],
    after: &[Value],
    changes: &mut Vec<FieldChange>,
) {
    let entry =
        |index: usize, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<_>| {
            let path = format!("{path}/{index}");
            match (before, after) {
                (Some(_), Some(_)) => compare(&mut path.clone(), before, after, changes),
                _ => changes.push(FieldChange {
                    path,
                    before: written(before),
                    after: written(after),
                }),
            }
        };
    let (Some(names_before), Some(names_after)) = (names(before), names(after)) else {
        for index in 0..before.len().max(after.len()) {
            entry(index, before.get(index), after.get(index), changes);
        }
        return;
    };
    for (index, name) in names_after.iter().enumerate() {
        let former = names_before.iter().position(|former| former == name);
        entry(
            index,
            former.and_then(|former| before.get(former)),
            after.get(index),
            changes,
        );
    }
    for (index, name) in names_before.iter().enumerate() {
        if !names_after.contains(name) {
            entry(index, before.get(index), None, changes);
        }
    }
}

/// The names of the entries, if all have one and no two the same.
fn names(list: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<&str> = list
        .iter()
        .map(|entry| entry.get("name").and_then(Value::as_str))
        .collect::<Option<_>>()?;
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    (distinct.len() == names.len()).then_some(names)
}

/// Whether two lists hold nothing but text, numbers and booleans.
fn is_plain(before: &[Value], after: &[Value]) -> bool {
    before
        .iter()
        .chain(after)
        .all(|entry| !entry.is_object() && !entry.is_array())
}

/// Whether two values are to be compared field by field.
fn may_descend(before: Option<&Value>, after: Option<&Value>) -> bool {
    let has_fields = |value: &Value| {
        value
            .as_object()
            .is_some_and(|fields| fields.values().any(|field| !field.is_null()))
    };
    let is_pair = |value: &Value| {
        value.get("name").is_some()
            && ["value", "valueFrom", "mountPath"]
                .iter()
                .any(|key| value.get(key).is_some())
    };
    [before, after]
        .into_iter()
        .flatten()
        .all(|value| has_fields(value) && !is_pair(value))
}

fn written(value: Option<&Value>) -> String {
    let mut written = value.map(Value::to_string).unwrap_or_default();
    shorten(&mut written, MAX_VALUE_BYTES);
    written
}

/// Replaces a JSON value by its length if it is longer than `max` bytes; it stays JSON.
pub(crate) fn shorten(json: &mut String, max: usize) {
    if json.len() > max {
        *json = Value::from(format!("[{} bytes left out]", json.len())).to_string();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(before: &Value, after: &Value) -> Vec<(String, String, String)> {
        let (changes, more) = changes(before, after);
        assert_eq!(more, 0);
        changes
            .into_iter()
            .map(|change| (change.path, change.before, change.after))
            .collect()
    }

    fn container(fields: &Value) -> Value {
        let mut container = json!({"name": "app"});
        container
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        json!({"spec": {"containers": [container]}})
    }

    #[test]
    fn what_changed_is_named_by_its_path() {
        let cases = [
            ("nothing", json!({}), json!({}), vec![]),
            ("null is absent", json!({"x": null}), json!({}), vec![]),
            (
                "a value",
                json!({"image": "a:1"}),
                json!({"image": "a:2"}),
                vec![("/spec/containers/0/image", r#""a:1""#, r#""a:2""#)],
            ),
            (
                "a subtree that came, leaf by leaf",
                json!({}),
                json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}),
                vec![
                    ("/spec/containers/0/resources/limits/cpu", "", r#""1""#),
                    ("/spec/containers/0/resources/limits/memory", "", r#""1Gi""#),
                ],
            ),
            (
                "an empty object that came",
                json!({}),
                json!({"securityContext": {}}),
                vec![("/spec/containers/0/securityContext", "", "{}")],
            ),
            (
                "arguments as a whole",
                json!({"args": ["--token", "one"]}),
                json!({"args": ["--token", "two", "-v"]}),
                vec![(
                    "/spec/containers/0/args",
                    r#"["--token","one"]"#,
                    r#"["--token","two","-v"]"#,
                )],
            ),
            (
                "an env variable with its name",
                json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}),
                json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]}),
                vec![(
                    "/spec/containers/0/env/1",
                    r#"{"name":"B","value":"2"}"#,
                    r#"{"name":"B","value":"3"}"#,
                )],
            ),
            (
                "a removed env variable, and not those behind it",
                json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}),
                json!({"env": [{"name": "B", "value": "2"}]}),
                vec![(
                    "/spec/containers/0/env/0",
                    r#"{"name":"A","value":"1"}"#,
                    "",
                )],
            ),
            (
                "a value that became a reference",
                json!({"env": [{"name": "A", "value": "1"}]}),
                json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
                vec![(
                    "/spec/containers/0/env/0",
                    r#"{"name":"A","value":"1"}"#,
                    r#"{"name":"A","valueFrom":{"secretKeyRef":{"key":"k","name":"s"}}}"#,
                )],
            ),
            (
                "entries without names by their place",
                json!({"ports": [{"containerPort": 80}]}),
                json!({"ports": [{"containerPort": 81}, {"containerPort": 82}]}),
                vec![
                    ("/spec/containers/0/ports/0/containerPort", "80", "81"),
                    ("/spec/containers/0/ports/1", "", r#"{"containerPort":82}"#),
                ],
            ),
            (
                "keys with slashes",
                json!({"annotations": {"a/b~c": "1"}}),
                json!({"annotations": {"a/b~c": "2"}}),
                vec![("/spec/containers/0/annotations/a~1b~0c", r#""1""#, r#""2""#)],
            ),
            (
                "another type",
                json!({"x": {"y": 1}}),
                json!({"x": "y"}),
                vec![("/spec/containers/0/x", r#"{"y":1}"#, r#""y""#)],
            ),
        ];
        for (what, before, after, expected) in cases {
            let changes = of(&container(&before), &container(&after));
            let changes: Vec<_> = changes
                .iter()
                .map(|(path, b, a)| (path.as_str(), b.as_str(), a.as_str()))
                .collect();
            assert_eq!(changes, expected, "{what}");
        }
    }

    #[test]
    fn a_container_that_came_or_went_is_one_change() {
        let one = json!({"containers": [{"name": "a", "image": "x"}]});
        let two = json!({"containers": [{"name": "b", "image": "y"}, {"name": "a", "image": "x"}]});
        assert_eq!(
            of(&one, &two),
            [(
                "/containers/0".to_owned(),
                String::new(),
                r#"{"image":"y","name":"b"}"#.to_owned()
            )]
        );
        assert_eq!(
            of(&two, &one),
            [(
                "/containers/0".to_owned(),
                r#"{"image":"y","name":"b"}"#.to_owned(),
                String::new()
            )]
        );
    }

    #[test]
    fn an_object_without_fields_that_comes_is_a_change() {
        for empty in [json!({}), json!({"medium": null})] {
            let found = of(
                &json!({"name": "a"}),
                &json!({"name": "a", "emptyDir": empty}),
            );
            let expected = ("/emptyDir".to_owned(), String::new(), empty.to_string());
            assert_eq!(found, [expected]);
        }
    }

    #[test]
    fn size_is_bounded() {
        let many = |value: &str| (0..500).map(|n| (n.to_string(), value.into())).collect();
        let (changes, more) = changes(&Value::Object(many("a")), &Value::Object(many("b")));
        assert_eq!((changes.len(), more), (MAX_CHANGES, 300));
        let long = of(&json!({"args": ["x".repeat(10_000)]}), &json!({}));
        assert_eq!(long[0].1, r#""[10013 bytes left out]""#);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("(name|value|[a-c/~])", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn without_nulls(value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect(),
            Value::Array(items) => items.iter().map(without_nulls).collect(),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn a_template_does_not_differ_from_itself(template in any_json()) {
            prop_assert!(changes(&template, &template).0.is_empty());
        }

        #[test]
        fn templates_that_differ_have_changes(before in any_json(), after in any_json()) {
            let named = |value: &Value| value.to_string().contains("\"name\"");
            prop_assume!(!named(&before) && !named(&after));
            let differ = without_nulls(&before) != without_nulls(&after);
            let found = !changes(&before, &after).0.is_empty();
            prop_assert!(!differ || found || before.is_null() != after.is_null());
        }
    }
}
