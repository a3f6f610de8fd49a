//! The walk over JSON objects.

mod pod;
mod public;
mod schema;
mod text;

use std::collections::BTreeSet;

use bonesetter_proto::pointer_token;
use serde_json::{Map, Value};

use self::schema::Shape;
use crate::carrier::{is_secret_value, without_scheme};
use crate::finding::ObjectFinding;
use crate::json::names::{SHORTEST_CARD, is_name_key, is_secret_number, is_value_key};
use crate::lexicon::{Naming, classify};
use crate::placeholder::has_placeholder;
use crate::session::Session;
use crate::value::is_vacant;

pub(crate) use self::public::public_names;
pub(crate) use self::text::redact_manifest;

/// Redacts an object in a session that has learnt it.
pub(crate) fn redact(session: &mut Session, mut object: Value) -> (Value, Vec<ObjectFinding>) {
    let mut walk = Walk {
        session,
        findings: Vec::new(),
        pointer: String::new(),
        volumes: BTreeSet::new(),
        listed: String::new(),
        depth: 0,
    };
    walk.shape(&mut object, &Shape::Object, "object");
    let findings = std::mem::take(&mut walk.findings);
    if findings.len() > session.limits.findings {
        let withheld = Value::String(session.withheld("too-many-findings"));
        let finding = ObjectFinding {
            rule: "too-many-findings".into(),
            kind: "withheld".into(),
            pointer: String::new(),
        };
        return (withheld, vec![finding]);
    }
    (object, findings)
}

/// Of the items of a list; empty for what is no list of one kind.
fn kind_of_items(kind: &str) -> &str {
    kind.strip_suffix("List").unwrap_or_default()
}

pub(crate) struct Walk<'a> {
    pub(crate) session: &'a mut Session,
    pub(crate) findings: Vec<ObjectFinding>,
    pub(crate) pointer: String,
    /// Names of the volumes of this pod that hold secrets.
    pub(crate) volumes: BTreeSet<String>,
    /// The kind of the items of the list that is walked: the API server leaves it out in them.
    listed: String,
    depth: usize,
}

impl Walk<'_> {
    pub(crate) fn shape(&mut self, value: &mut Value, shape: &Shape, place: &'static str) {
        if self.depth >= self.session.limits.depth {
            return self.withhold(value, "too-deep", place);
        }
        if self.session.is_late() {
            return self.withhold(value, "too-slow", place);
        }
        self.depth += 1;
        match shape {
            Shape::Fields(place, table) => self.fields(value, table, place),
            Shape::Each(shape) => self.each(value, |walk, value| walk.shape(value, shape, place)),
            Shape::Drop => *value = Value::Null,
            Shape::Secret(place, kind) => self.secret(value, kind, place),
            Shape::Name(kind) => self.name(value, kind, place),
            Shape::Withhold(reason) => self.withhold_all(value, reason, place),
            Shape::EnvVar => self.env_var(value),
            Shape::Header => self.header(value),
            Shape::Arguments => self.free(value, Naming::Ordinary, "args"),
            Shape::Annotations => self.annotations(value),
            Shape::Reference => self.reference(value),
            Shape::PodSpec => self.pod_spec(value),
            Shape::Volume => self.volume(value),
            Shape::VolumeMount => self.volume_mount(value),
            Shape::Object => {
                let kind = value["kind"].as_str().unwrap_or(&self.listed).to_owned();
                let outer = std::mem::replace(&mut self.listed, kind_of_items(&kind).to_owned());
                self.shape(value, schema::of_kind(&kind), "object");
                self.listed = outer;
            }
        }
        self.depth -= 1;
    }

    fn fields(&mut self, value: &mut Value, table: &[(&str, &Shape)], place: &'static str) {
        let Value::Object(members) = value else {
            return self.free(value, Naming::Ordinary, place);
        };
        members.retain(|key, _| {
            !table
                .iter()
                .any(|(name, shape)| name == key && matches!(shape, Shape::Drop))
        });
        self.members(value, |walk, key, value| {
            match table.iter().find(|(name, _)| *name == key) {
                Some((_, shape)) => walk.shape(value, shape, place),
                None => walk.free(value, classify_field(key), place),
            }
        });
    }

    /// Every member of a mapping, with keys as free text.
    pub(crate) fn members(
        &mut self,
        value: &mut Value,
        mut each: impl FnMut(&mut Self, &str, &mut Value),
    ) {
        let Value::Object(members) = value else {
            return;
        };
        let mut redacted = Map::new();
        for (key, mut value) in std::mem::take(members) {
            self.inside(&key, |walk| {
                each(walk, &key, &mut value);
                let key = walk.text(&key, "key");
                redacted.insert(key, value);
            });
        }
        *members = redacted;
    }

    pub(crate) fn each(&mut self, value: &mut Value, mut each: impl FnMut(&mut Self, &mut Value)) {
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.inside(&index.to_string(), |walk| each(walk, item));
                }
            }
            Value::Object(_) => self.members(value, |walk, _, value| each(walk, value)),
            other => self.free(other, Naming::Ordinary, "object"),
        }
    }

    pub(crate) fn inside(&mut self, key: &str, f: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&pointer_token(key));
        f(self);
        self.pointer.truncate(length);
    }

    /// Anything that no table knows.
    pub(crate) fn free(&mut self, value: &mut Value, naming: Naming, place: &'static str) {
        if self.depth >= self.session.limits.depth {
            return self.withhold(value, "too-deep", place);
        }
        self.depth += 1;
        match value {
            Value::String(text) => *text = self.named_text(text, naming, place),
            Value::Array(items) => {
                let mut flagged = None;
                for (index, item) in items.iter_mut().enumerate() {
                    let naming = flagged.take().unwrap_or(naming);
                    flagged = item.as_str().and_then(crate::flags::bare_flag);
                    self.inside(&index.to_string(), |walk| walk.free(item, naming, place));
                }
            }
            Value::Object(_) if schema::is_reference(value) => self.reference(value),
            Value::Object(members) => {
                let pair = members
                    .iter()
                    .find(|(key, value)| is_name_key(key) && value.is_string())
                    .and_then(|(_, name)| name.as_str())
                    .map(classify);
                self.members(value, |walk, key, value| {
                    if let Some(shape) = schema::of_member(key, value) {
                        return walk.shape(value, shape, place);
                    }
                    let naming = pair
                        .filter(|_| is_value_key(key))
                        .unwrap_or_else(|| classify_key(key));
                    walk.free(value, naming, place);
                });
            }
            Value::Number(number) => {
                let digits = number.to_string();
                if is_secret_number(naming, &digits) {
                    self.secret(value, "secret", place);
                } else if digits.len() >= SHORTEST_CARD {
                    let text = self.text(&digits, place);
                    if text != digits {
                        *value = Value::String(text);
                    }
                }
            }
            _ => {}
        }
        self.depth -= 1;
    }

    fn named_text(&mut self, text: &str, naming: Naming, place: &'static str) -> String {
        let secret = without_scheme(text);
        if !is_secret_value(naming, secret) || self.session.has_placeholder(secret) {
            return self.text(text, place);
        }
        self.learn_within(secret);
        let placeholder = self.replace(secret, "secret", "json-member", place);
        format!("{}{placeholder}", &text[..text.len() - secret.len()])
    }

    pub(crate) fn text(&mut self, text: &str, place: &'static str) -> String {
        let redacted = self.session.redact_text_at(text, place);
        for finding in redacted.findings {
            self.findings.push(ObjectFinding {
                rule: finding.rule.into_owned(),
                kind: finding.kind.into_owned(),
                pointer: self.pointer.clone(),
            });
        }
        redacted.text
    }

    pub(crate) fn replace(&mut self, value: &str, kind: &str, rule: &str, place: &str) -> String {
        if self.session.is_placeholder(value) {
            return value.to_owned();
        }
        self.session.count(kind, rule, place);
        self.findings.push(ObjectFinding {
            rule: rule.to_owned(),
            kind: kind.to_owned(),
            pointer: self.pointer.clone(),
        });
        self.session.placeholder(kind, value)
    }

    fn withhold(&mut self, value: &mut Value, reason: &str, place: &str) {
        if value
            .as_str()
            .is_some_and(|text| self.session.is_placeholder(text))
        {
            return;
        }
        self.session.count("withheld", reason, place);
        self.findings.push(ObjectFinding {
            rule: reason.to_owned(),
            kind: "withheld".into(),
            pointer: self.pointer.clone(),
        });
        *value = Value::String(self.session.withheld(reason));
    }

    pub(crate) fn withhold_all(&mut self, value: &mut Value, reason: &str, place: &'static str) {
        match value {
            Value::Object(_) => {
                self.members(value, |walk, _, value| walk.withhold(value, reason, place));
            }
            Value::Null => {}
            other => self.withhold(other, reason, place),
        }
    }

    /// Every scalar below, whatever it is.
    pub(crate) fn secret(&mut self, value: &mut Value, kind: &'static str, place: &'static str) {
        match value {
            Value::Null => {}
            Value::Array(_) | Value::Object(_) if self.depth < self.session.limits.depth => {
                self.depth += 1;
                self.each(value, |walk, value| walk.secret(value, kind, place));
                self.depth -= 1;
            }
            Value::Array(_) | Value::Object(_) => self.withhold(value, "too-deep", place),
            scalar => {
                let text = scalar
                    .as_str()
                    .map_or_else(|| scalar.to_string(), str::to_owned);
                if kind == "secret" {
                    self.learn_within(&text);
                }
                *scalar = Value::String(self.replace(&text, kind, "secret-field", place));
            }
        }
    }

    /// A secret value, and those that it holds: a file of settings or a document is a secret of several. These first:
    /// what is known as a whole is not read any more.
    fn learn_within(&mut self, text: &str) {
        let decoded = crate::decode::decode(text.trim_end_matches('='));
        let plain = decoded.as_deref().unwrap_or(text);
        if plain.contains(['=', ':']) {
            self.session.learn_text(plain);
        }
        self.session.learn_value(text);
    }

    pub(crate) fn name(&mut self, value: &mut Value, kind: &'static str, place: &'static str) {
        let Some(name) = value.as_str().map(str::to_owned) else {
            return self.free(value, Naming::Ordinary, place);
        };
        if name.is_empty() || self.session.is_placeholder(&name) {
            return;
        }
        self.session.learn_name(&name, kind);
        *value = Value::String(self.replace(&name, kind, "object-name", place));
    }
}

/// A key that has been replaced says nothing any more.
fn classify_key(key: &str) -> Naming {
    if has_placeholder(key) {
        Naming::Ordinary
    } else {
        classify(key)
    }
}

/// Members of API objects whose names sound secret and are not, beside what every name says.
pub(crate) fn classify_field(key: &str) -> Naming {
    match key {
        "key"
        | "operator"
        | "topologyKey"
        | "serviceAccountToken"
        | "automountServiceAccountToken" => Naming::Ordinary,
        _ => classify_key(key),
    }
}

/// Whether a JSON text is an object of the Kubernetes API.
pub(crate) fn is_manifest(value: &Value) -> bool {
    let kind = value["kind"].as_str().unwrap_or_default();
    let known = value.get("apiVersion").is_some_and(Value::is_string)
        || ["spec", "involvedObject", "data", "stringData", "items"]
            .iter()
            .any(|key| value.get(key).is_some());
    !is_vacant(kind) && kind.as_bytes()[0].is_ascii_uppercase() && known
}
