//! A text that is one API object as JSON: walked by schema, and changed only where something is taken out.

use bonesetter_proto::pointer_token;
use serde_json::Value;

use crate::finding::{Finding, ObjectFinding, RedactedText};
use crate::json::text::{Node, unescape, whole};
use crate::object::is_manifest;
use crate::session::Session;

/// The redacted text, if the text is one object of the Kubernetes API.
pub(crate) fn redact_manifest(session: &mut Session, text: &str) -> Option<RedactedText> {
    if !text.trim_start().starts_with('{') || !text.contains("\"kind\"") {
        return None;
    }
    let before: Value = serde_json::from_str(text).ok().filter(is_manifest)?;
    let node = whole(text)?;
    let (after, found) = session.redact_object(before.clone());
    let mut edits = Edits {
        text,
        found: &found,
        output: String::with_capacity(text.len()),
        at: 0,
        findings: Vec::new(),
    };
    edits.compare(&node, &before, &after, &mut String::new());
    edits.output.push_str(&text[edits.at..]);
    Some(RedactedText {
        text: edits.output,
        findings: edits.findings,
    })
}

struct Edits<'a> {
    text: &'a str,
    found: &'a [ObjectFinding],
    output: String,
    at: usize,
    findings: Vec<Finding>,
}

impl Edits<'_> {
    fn compare(&mut self, node: &Node, before: &Value, after: &Value, pointer: &mut String) {
        if before == after && !has_twins(node, before) {
            return;
        }
        match (node, before, after) {
            (Node::Object(_, _, members), Value::Object(old), Value::Object(new))
                if members.len() == old.len() =>
            {
                let names: Vec<String> = members
                    .iter()
                    .map(|(key, _)| unescape(&self.text[key.0..key.1], 0).text)
                    .collect();
                if !names
                    .iter()
                    .all(|name| old.contains_key(name) && new.contains_key(name))
                {
                    return self.replace(node, after, pointer);
                }
                for (name, (_, value)) in names.iter().zip(members) {
                    let length = pointer.len();
                    pointer.push('/');
                    pointer.push_str(&pointer_token(name));
                    self.compare(value, &old[name], &new[name], pointer);
                    pointer.truncate(length);
                }
            }
            (Node::Array(_, _, items), Value::Array(old), Value::Array(new))
                if items.len() == old.len() && old.len() == new.len() =>
            {
                for (index, ((item, old), new)) in items.iter().zip(old).zip(new).enumerate() {
                    let length = pointer.len();
                    pointer.push('/');
                    pointer.push_str(&index.to_string());
                    self.compare(item, old, new, pointer);
                    pointer.truncate(length);
                }
            }
            _ => self.replace(node, after, pointer),
        }
    }

    fn replace(&mut self, node: &Node, after: &Value, pointer: &str) {
        let (start, end) = node.span();
        self.output.push_str(&self.text[self.at..start]);
        self.output.push_str(&after.to_string());
        self.at = end;
        let found = self
            .found
            .iter()
            .find(|finding| finding.pointer.starts_with(pointer));
        let (rule, kind) = found.map_or(("object", "withheld"), |finding| {
            (&finding.rule, &finding.kind)
        });
        self.findings.push(Finding {
            rule: rule.to_owned().into(),
            kind: kind.to_owned().into(),
            start,
            end,
        });
    }
}

/// Whether a name occurs twice anywhere below: only its last value is in the parsed object.
fn has_twins(node: &Node, value: &Value) -> bool {
    match (node, value) {
        (Node::Object(_, _, members), Value::Object(map)) => {
            members.len() != map.len()
                || members
                    .iter()
                    .zip(map.values())
                    .any(|((_, node), _)| matches!(node, Node::Object(..) | Node::Array(..)))
        }
        (Node::Array(_, _, items), Value::Array(values)) => items
            .iter()
            .zip(values)
            .any(|(node, value)| has_twins(node, value)),
        _ => false,
    }
}
