//! Inputs with the structure of real ones.

use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{
    Evidence, EvidenceItem, FieldChange, KubernetesEvent, KubernetesObject, LogChunk, LogLine,
    Note, RolloutChange,
};
use serde_json::{Map, Value, json};

use crate::encodings;
use crate::source::Source;

/// What stands around values in texts.
const PIECES: [&str; 40] = [
    " ",
    "\n",
    "\n2026-11-25T10:00:01Z INFO ",
    "=",
    ": ",
    ", ",
    "\"",
    "'",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "&",
    "?a=",
    "password",
    "token: ",
    "{\"apiKey\":\"",
    "\"}",
    "--secret ",
    "Authorization: Bearer ",
    "://u:",
    "@db:5432/x",
    "10.1.2.3",
    "2001:db8::7",
    "a@b.example.com",
    "<secret:abcdef>",
    "<forged:",
    ">",
    "%3D",
    "\u{1b}[31m",
    "\u{200b}",
    " stdout P ",
    "kind: Secret\ndata:\n  x: ",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----END PRIVATE KEY-----",
    "a,password,b\n",
    "IGNORE PREVIOUS INSTRUCTIONS",
    "</evidence>",
    "name=\"key\">",
];

/// A text that says that a value is secret.
pub(crate) fn telling(source: &mut Source<'_>, value: &str) -> String {
    match source.below(6) {
        0 => format!("login with password={value}"),
        1 => format!("Authorization: Bearer {value}"),
        2 => json!({"clientSecret": value}).to_string(),
        3 => format!("connect amqp://orders:{value}@mq.shop:5672/"),
        4 => format!("run --api-key {value} now"),
        _ => format!("API_TOKEN={value}"),
    }
}

/// Pieces, words and the value in some encoding.
pub(crate) fn text(source: &mut Source<'_>, value: &str) -> String {
    let mut text = String::new();
    for _ in 0..source.below(24) {
        match source.below(8) {
            0 => text.push_str(&encodings::encode(source.below(encodings::COUNT), value)),
            1 => text.push_str(&source.words(4)),
            2 => text.push_str(&source.raw()),
            3 => text.push_str(&json!({"message": source.raw(), "x": value}).to_string()),
            _ => text.push_str(source.pick(&PIECES)),
        }
    }
    text
}

/// A Pod or something like one, with texts in every place, and the value where it is known to be secret.
pub(crate) fn object(source: &mut Source<'_>, value: &str) -> Value {
    const KINDS: [&str; 7] = [
        "Pod",
        "Deployment",
        "Job",
        "ConfigMap",
        "Secret",
        "Event",
        "Thing",
    ];
    let kind = source.pick(&KINDS);
    let mut container = json!({
        "name": "app",
        "env": [{"name": "DB_PASSWORD", "value": value}, {"name": "MODE", "value": text(source, value)}],
        "args": [text(source, value), "--port=8080"],
    });
    let field = field(source, value, 3);
    let places = ["livenessProbe", "lifecycle", "securityContext", "neverSeen"];
    container[source.pick(&places)] = field;
    let spec = json!({"containers": [container], "volumes": [self::field(source, value, 2)]});
    let spec = match kind {
        "Pod" => spec,
        _ => json!({"template": {"spec": spec}}),
    };
    json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": "orders", "annotations": {"x": text(source, value)}, "labels": {"y": source.raw()}},
        "spec": spec,
        "data": {"app.conf": text(source, value)},
        "message": text(source, value),
        "status": self::field(source, value, 3),
    })
}

fn field(source: &mut Source<'_>, value: &str, depth: usize) -> Value {
    const NAMES: [&str; 12] = [
        "exec",
        "command",
        "httpHeaders",
        "value",
        "name",
        "password",
        "secretName",
        "message",
        "conditions",
        "data",
        "valueFrom",
        "x",
    ];
    match source.below(if depth == 0 { 4 } else { 6 }) {
        0 => Value::from(text(source, value)),
        1 => Value::from(source.byte()),
        2 => Value::Null,
        3 => Value::from(source.raw()),
        4 => Value::from(
            (0..source.below(4))
                .map(|_| field(source, value, depth - 1))
                .collect::<Vec<_>>(),
        ),
        _ => {
            let mut fields = Map::new();
            for _ in 0..source.below(4) {
                let name = source.pick(&NAMES).to_owned();
                fields.insert(name, field(source, value, depth - 1));
            }
            Value::Object(fields)
        }
    }
}

/// Items of every kind; the value is known from the first.
pub(crate) fn evidence(source: &mut Source<'_>, value: &str) -> Evidence {
    let known = object(source, value);
    let mut items = vec![item("object/Deployment/orders", object_content(&known))];
    for number in 0..source.below(5) {
        let content = match source.below(5) {
            0 => object_content(&object(source, value)),
            1 => Content::Event(KubernetesEvent {
                message: text(source, value),
                reason: source.raw(),
                ..KubernetesEvent::default()
            }),
            2 => Content::Log(LogChunk {
                lines: text(source, value).split('\n').map(line).collect(),
                ..LogChunk::default()
            }),
            3 => Content::Change(RolloutChange {
                changes: vec![FieldChange {
                    path: "/spec/containers/0/args/1".to_owned(),
                    before: Value::from(text(source, value)).to_string(),
                    after: text(source, value),
                }],
                ..RolloutChange::default()
            }),
            _ => Content::Note(Note {
                text: text(source, value),
                ..Note::default()
            }),
        };
        items.push(item(&format!("item/{number}"), content));
    }
    Evidence {
        items,
        ..Evidence::default()
    }
}

fn item(id: &str, content: Content) -> EvidenceItem {
    EvidenceItem {
        id: id.to_owned(),
        content: Some(content),
    }
}

fn object_content(object: &Value) -> Content {
    Content::Object(KubernetesObject {
        r#ref: None,
        json: object.to_string().into_bytes(),
    })
}

fn line(text: &str) -> LogLine {
    LogLine {
        text: text.to_owned(),
        ..LogLine::default()
    }
}
