//! Every text of an item that somebody outside may have written, with the place where it stands.
//!
//! Types are taken apart in full, so that a field that is added has to be sorted in here before this compiles. What is
//! left out: ids and references, which the pipeline itself gives and compares, and times, numbers and flags.

use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{
    EvidenceItem, FieldChange, KubernetesEvent, KubernetesObject, LogChunk, NodeCondition,
    NodeState, Note, ObjectRef, RolloutChange,
};
use serde_json::{Map, Value};

/// Hands over every text, to be changed in its place.
pub(crate) fn each(item: &mut EvidenceItem, mut found: impl FnMut(&str, &mut String)) {
    let EvidenceItem { id, content } = item;
    match content {
        Some(Content::Object(object)) => of_object(id, object, &mut found),
        Some(Content::Event(event)) => of_event(id, event, &mut found),
        Some(Content::Log(log)) => of_log(id, log, &mut found),
        Some(Content::Change(rollout)) => of_change(id, rollout, &mut found),
        Some(Content::Node(node)) => of_node(id, node, &mut found),
        Some(Content::Note(Note { source: _, text })) => found(id, text),
        None => {}
    }
}

fn of_object(id: &str, object: &mut KubernetesObject, found: &mut impl FnMut(&str, &mut String)) {
    let KubernetesObject { r#ref: _, json } = object;
    let Ok(mut value) = serde_json::from_slice(json) else {
        return;
    };
    let mut is_changed = false;
    walk(&mut value, &mut format!("{id}#"), &mut |place, text| {
        let before = text.clone();
        found(place, text);
        is_changed |= before != *text;
    });
    if is_changed {
        *json = value.to_string().into_bytes();
    }
}

fn of_event(id: &str, event: &mut KubernetesEvent, found: &mut impl FnMut(&str, &mut String)) {
    let KubernetesEvent {
        uid: _,
        r#type,
        reason,
        message,
        count: _,
        first_seen: _,
        last_seen: _,
        involved,
        source,
        field_path,
    } = event;
    // Whoever may create events names an object in them as he likes.
    if let Some(ObjectRef {
        api_version,
        kind,
        namespace,
        name,
        uid: _,
    }) = involved
    {
        for (field, text) in [
            ("apiVersion", api_version),
            ("kind", kind),
            ("namespace", namespace),
            ("name", name),
        ] {
            found(&format!("{id}#/involvedObject/{field}"), text);
        }
    }
    for (field, text) in [
        ("type", r#type),
        ("reason", reason),
        ("message", message),
        ("source/component", source),
        ("involvedObject/fieldPath", field_path),
    ] {
        found(&format!("{id}#/{field}"), text);
    }
}

fn of_log(id: &str, log: &mut LogChunk, found: &mut impl FnMut(&str, &mut String)) {
    let LogChunk {
        pod: _,
        container: _,
        init_container: _,
        previous: _,
        source: _,
        lines,
        lines_left_out: _,
    } = log;
    for (number, line) in (1..).zip(lines) {
        found(&format!("{id}#line-{number}"), &mut line.text);
    }
}

fn of_change(id: &str, rollout: &mut RolloutChange, found: &mut impl FnMut(&str, &mut String)) {
    let RolloutChange {
        workload: _,
        from_revision: _,
        to_revision: _,
        rolled_out_at: _,
        changes,
        from_revision_was_healthy: _,
    } = rollout;
    for FieldChange {
        path,
        before,
        after,
    } in changes
    {
        let place = format!("{id}#{path}");
        for text in [path, before, after] {
            found(&place, text);
        }
    }
}

fn of_node(id: &str, node: &mut NodeState, found: &mut impl FnMut(&str, &mut String)) {
    let NodeState {
        r#ref: _,
        conditions,
        allocatable,
        unschedulable: _,
        taints,
    } = node;
    for NodeCondition {
        r#type,
        status,
        reason,
        message,
    } in conditions
    {
        for text in [r#type, status, reason, message] {
            found(&format!("{id}#/status/conditions"), text);
        }
    }
    for taint in taints {
        found(&format!("{id}#/spec/taints"), taint);
    }
    for (mut name, mut amount) in std::mem::take(allocatable) {
        found(&format!("{id}#/status/allocatable"), &mut name);
        found(&format!("{id}#/status/allocatable"), &mut amount);
        allocatable.insert(name, amount);
    }
}

fn walk(value: &mut Value, place: &mut String, found: &mut impl FnMut(&str, &mut String)) {
    match value {
        Value::String(text) => found(place, text),
        Value::Array(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                inside(place, &index.to_string(), |place| {
                    walk(value, place, found);
                });
            }
        }
        Value::Object(fields) => {
            for (name, mut value) in std::mem::take(fields) {
                let token = bonesetter_proto::pointer_token(&name).into_owned();
                inside(place, &token, |place| {
                    walk(&mut value, place, found);
                    let mut name = name;
                    found(place, &mut name);
                    fields.insert(free(fields, name), value);
                });
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn inside(place: &mut String, token: &str, then: impl FnOnce(&mut String)) {
    let length = place.len();
    place.push('/');
    place.push_str(token);
    then(place);
    place.truncate(length);
}

/// The name, or one like it where two have become the same: no field replaces another.
fn free(fields: &Map<String, Value>, name: String) -> String {
    if !fields.contains_key(&name) {
        return name;
    }
    let numbered = (2_u64..).map(|number| format!("{name}-{number}"));
    let mut free = numbered.filter(|name| !fields.contains_key(name));
    free.next().unwrap_or(name)
}

#[cfg(test)]
pub(crate) use tests::full_of;

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::LogLine;
    use serde_json::json;

    use super::*;

    /// An item of every kind with this text wherever there may be any.
    pub(crate) fn full_of(text: &str) -> Vec<EvidenceItem> {
        let text = || text.to_owned();
        let object = json!({
            "kind": "Pod",
            text(): {"labels": {text(): text()}, "list": [text(), [text()]]},
        });
        let contents = [
            Content::Object(KubernetesObject {
                r#ref: None,
                json: object.to_string().into_bytes(),
            }),
            Content::Event(KubernetesEvent {
                r#type: text(),
                reason: text(),
                message: text(),
                source: text(),
                field_path: text(),
                involved: Some(ObjectRef {
                    api_version: text(),
                    kind: text(),
                    namespace: text(),
                    name: text(),
                    uid: String::new(),
                }),
                ..KubernetesEvent::default()
            }),
            Content::Log(LogChunk {
                lines: vec![LogLine {
                    text: text(),
                    ..LogLine::default()
                }],
                ..LogChunk::default()
            }),
            Content::Change(RolloutChange {
                changes: vec![FieldChange {
                    path: format!("/metadata/annotations/{}", text()),
                    before: json!(text()).to_string(),
                    after: json!(text()).to_string(),
                }],
                ..RolloutChange::default()
            }),
            Content::Node(NodeState {
                conditions: vec![NodeCondition {
                    r#type: text(),
                    status: text(),
                    reason: text(),
                    message: text(),
                }],
                allocatable: [(text(), text())].into(),
                taints: vec![text()],
                ..NodeState::default()
            }),
            Content::Note(Note {
                source: "loki".to_owned(),
                text: text(),
            }),
        ];
        let items = contents.into_iter().map(|content| EvidenceItem {
            id: "x".to_owned(),
            content: Some(content),
        });
        items.collect()
    }

    #[test]
    fn every_text_can_be_changed() {
        for mut item in full_of("hostile") {
            each(&mut item, |_, text| *text = text.replace("hostile", "fine"));
            let left = format!("{item:?}");
            let json = match &item.content {
                Some(Content::Object(object)) => String::from_utf8_lossy(&object.json).into_owned(),
                _ => String::new(),
            };
            assert!(
                !left.contains("hostile") && !json.contains("hostile"),
                "{left} {json}"
            );
        }
    }

    #[test]
    fn names_that_become_the_same_are_told_apart() {
        let mut value = json!({"a": 1, "b": 2, "c": {"d": "e"}});
        walk(&mut value, &mut String::new(), &mut |_, text| {
            if matches!(text.as_str(), "a" | "b") {
                *text = "x".to_owned();
            }
        });
        assert_eq!(value, json!({"x": 1, "x-2": 2, "c": {"d": "e"}}));
    }
}
