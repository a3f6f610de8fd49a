//! Objects that say themselves which of their values are secret: outputs and state of Terraform, parameters of
//! clouds, variables of pipelines.

use crate::carrier;
use crate::json::names::unescaped;
use crate::json::text::Node;
use crate::lexicon::{Naming, classify};
use crate::syntax::name_before;

/// A member of an object: the place of its name, and its value.
type Member = ((usize, usize), Node);

/// Members that say of the value beside them that it is secret.
const MARKS: [&str; 6] = [
    "sensitive",
    "is_sensitive",
    "isSensitive",
    "secret",
    "is_secret",
    "isSecret",
];
/// Types whose value is secret.
const SECRET_TYPES: [&str; 2] = ["SecureString", "random_password"];
/// Members with the shape of the values beside them, and `true` where one is secret.
const SHAPES: [&str; 3] = ["sensitive_values", "after_sensitive", "before_sensitive"];

/// Whether an object marks its value as secret: `{"sensitive": true, "value": "x"}`.
pub(crate) fn is_marked(text: &str, members: &[Member]) -> bool {
    members.iter().any(|(key, value)| {
        let is_one_of = |names: &[&str]| {
            let mut names = names.iter();
            names.any(|name| text[key.0..key.1].eq_ignore_ascii_case(name))
        };
        is_true(text, value) && is_one_of(&MARKS)
            || is_secret_type(text, value) && is_one_of(&["type"])
    })
}

/// The names of the values that an object says are secret, for its members that hold values, sorted.
pub(crate) fn named<'a>(text: &'a str, members: &[Member]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (key, value) in members {
        match (&text[key.0..key.1], value) {
            (name, Node::Object(_, _, inner)) if SHAPES.contains(&name) => {
                let secret = inner.iter().filter(|(_, value)| is_true(text, value));
                names.extend(secret.map(|(key, _)| &text[key.0..key.1]));
            }
            ("sensitive_attributes", Node::Array(_, _, paths)) => {
                for path in paths {
                    steps(text, path, &mut names);
                }
            }
            ("type", value) if is_secret_type(text, value) => names.push("result"),
            _ => {}
        }
    }
    names.sort_unstable();
    names
}

/// What the name before a block says of it: `"password": {"value": "x"}` within what is no JSON.
pub(crate) fn announced(text: &str, node: &Node) -> Naming {
    let (Node::Object(start, ..) | Node::Array(start, ..)) = node else {
        return Naming::Ordinary;
    };
    let head = text[..*start].trim_end_matches(' ');
    let colon = head.len().checked_sub(1).filter(|_| head.ends_with(':'));
    let name = colon.and_then(|colon| name_before(text, colon));
    name.map_or(Naming::Ordinary, classify)
}

/// Whether a member is what a form says to people.
pub(crate) fn is_message(text: &str, name: &str, value: &Node) -> bool {
    matches!(value, Node::Text(start, end) if carrier::is_message(name, &unescaped(&text[*start..*end])))
}

/// What is said of a value that a validator has refused: `"loc": ["body", "password"], "input": "x"`.
pub(crate) fn refused(text: &str, members: &[Member]) -> Naming {
    let mut members = members.iter();
    let loc = members.find(|(key, _)| &text[key.0..key.1] == "loc");
    match loc {
        Some((_, Node::Array(_, _, items))) => match items.last() {
            Some(Node::Text(start, end)) => classify(&text[*start..*end]),
            _ => Naming::Ordinary,
        },
        _ => Naming::Ordinary,
    }
}

/// The attributes in a path of the state: `[{"type": "get_attr", "value": "password"}]`.
fn steps<'a>(text: &'a str, path: &Node, names: &mut Vec<&'a str>) {
    let Node::Array(_, _, steps) = path else {
        return;
    };
    for step in steps {
        let Node::Object(_, _, members) = step else {
            continue;
        };
        for (key, value) in members {
            if let Node::Text(start, end) = value
                && &text[key.0..key.1] == "value"
            {
                names.push(&text[*start..*end]);
            }
        }
    }
}

fn is_true(text: &str, value: &Node) -> bool {
    matches!(value, Node::Scalar(start, end) if &text[*start..*end] == "true")
}

fn is_secret_type(text: &str, value: &Node) -> bool {
    matches!(value, Node::Text(start, end) if SECRET_TYPES.contains(&&text[*start..*end]))
}

#[cfg(test)]
mod tests {
    use crate::{Redactor, Rules};

    #[test]
    fn values_that_are_marked_as_secret() {
        let redactor = Redactor::new(Rules::builtin().unwrap()).unwrap();
        for (text, is_secret) in [
            (
                r#"{"db": {"sensitive": true, "value": "orders meadow"}}"#,
                true,
            ),
            (
                r#"{"db": {"sensitive": false, "value": "orders meadow"}}"#,
                false,
            ),
            (
                r#"{"Name": "/db", "Type": "SecureString", "Value": "orders meadow"}"#,
                true,
            ),
            (
                r#"{"type": "random_password", "instances": [{"attributes": {"result": "orders meadow"}}]}"#,
                true,
            ),
            (
                r#"{"type": "random_pet", "instances": [{"attributes": {"result": "orders meadow"}}]}"#,
                false,
            ),
            (
                r#"{"values": {"pem": "orders meadow"}, "sensitive_values": {"pem": true}}"#,
                true,
            ),
            (
                r#"{"attributes": {"pem": "orders meadow"}, "sensitive_attributes": [[{"type": "get_attr", "value": "pem"}]]}"#,
                true,
            ),
            (
                r#"{"attributes": {"pem": "orders meadow"}, "sensitive_attributes": []}"#,
                false,
            ),
            (r#"{"password": {"string": "orders meadow"}}"#, true),
            (r#"{"Jwt": {"Key": "orders meadow"}}"#, true),
            (r#"{"Cache": {"Key": "orders meadow"}}"#, false),
        ] {
            let redacted = redactor.session(b"key").redact_text(text).text;
            assert_eq!(!redacted.contains("orders meadow"), is_secret, "{text}");
        }
    }
}
