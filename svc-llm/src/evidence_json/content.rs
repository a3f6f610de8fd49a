//! What items hold.

use std::collections::BTreeMap;

use bonesetter_proto::v1;
use bonesetter_proto::v1::evidence_item::Content;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::EvidenceJsonError;
use super::common::{ObjectRefJson, time, time_text};

/// What one item holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentJson {
    /// A Kubernetes object.
    Object(ObjectJson),
    /// An event.
    Event(EventJson),
    /// Log lines of one container.
    Log(LogJson),
    /// What the last rollout changed.
    Change(ChangeJson),
    /// A node.
    Node(NodeJson),
    /// What could not be collected.
    Note(NoteJson),
}

/// A Kubernetes object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectJson {
    /// Its name.
    #[serde(rename = "ref")]
    pub reference: ObjectRefJson,
    /// The object, as the API returns it.
    pub body: Value,
}

/// An event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventJson {
    /// Its uid.
    pub uid: String,
    /// `Normal` or `Warning`.
    pub r#type: String,
    /// For example `BackOff`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// How often it was seen.
    pub count: u32,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub involved: Option<ObjectRefJson>,
    /// Who reported it.
    pub source: String,
    /// For example `spec.containers{app}`.
    pub field_path: String,
}

/// Where log lines come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceJson {
    /// The node, through the API server.
    #[default]
    Kubernetes,
    /// Loki.
    Loki,
}

/// Log lines of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogJson {
    /// The pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<ObjectRefJson>,
    /// The container.
    pub container: String,
    /// Whether it is an init container.
    pub init_container: bool,
    /// Whether it is the instance before the present one.
    pub previous: bool,
    /// Where they come from.
    pub source: SourceJson,
    /// Oldest first.
    pub lines: Vec<LineJson>,
    /// Older lines that were read and left out.
    pub lines_left_out: u64,
}

/// One log line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LineJson {
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The line.
    pub text: String,
    /// Whether it was longer.
    pub cut: bool,
}

/// What the last rollout changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeJson {
    /// The workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<ObjectRefJson>,
    /// The revision before.
    pub from_revision: i64,
    /// The revision since.
    pub to_revision: i64,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_out_at: Option<String>,
    /// The fields that differ.
    pub changes: Vec<FieldJson>,
    /// Whether the revision before is known to have been healthy.
    pub from_revision_was_healthy: bool,
}

/// One field that differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldJson {
    /// JSON pointer into the pod template.
    pub path: String,
    /// JSON text; empty where the field was absent.
    pub before: String,
    /// JSON text; empty where the field is absent.
    pub after: String,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeJson {
    /// Its name.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<ObjectRefJson>,
    /// Its conditions.
    pub conditions: Vec<ConditionJson>,
    /// Resource to quantity.
    pub allocatable: BTreeMap<String, String>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// `key=value:effect`.
    pub taints: Vec<String>,
}

/// A condition of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConditionJson {
    /// For example `DiskPressure`.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// For machines.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// What could not be collected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoteJson {
    /// For example `loki`.
    pub source: String,
    /// Why.
    pub text: String,
}

impl ContentJson {
    pub(super) fn of(content: &Content) -> Self {
        match content {
            Content::Object(object) => Self::Object(ObjectJson {
                reference: reference(object.r#ref.as_ref()).unwrap_or_default(),
                body: serde_json::from_slice(&object.json).unwrap_or(Value::Null),
            }),
            Content::Event(event) => Self::Event(EventJson::of(event)),
            Content::Log(log) => Self::Log(LogJson::of(log)),
            Content::Change(change) => Self::Change(ChangeJson::of(change)),
            Content::Node(node) => Self::Node(NodeJson::of(node)),
            Content::Note(note) => Self::Note(NoteJson {
                source: note.source.clone(),
                text: note.text.clone(),
            }),
        }
    }

    pub(super) fn into_content(self) -> Result<Content, EvidenceJsonError> {
        Ok(match self {
            Self::Object(object) => Content::Object(v1::KubernetesObject {
                r#ref: Some(object.reference.into_ref()),
                json: object.body.to_string().into_bytes(),
            }),
            Self::Event(event) => Content::Event(event.into_event()?),
            Self::Log(log) => Content::Log(log.into_chunk()?),
            Self::Change(change) => Content::Change(change.into_change()?),
            Self::Node(node) => Content::Node(node.into_state()),
            Self::Note(note) => Content::Note(v1::Note {
                source: note.source,
                text: note.text,
            }),
        })
    }
}

fn reference(reference: Option<&v1::ObjectRef>) -> Option<ObjectRefJson> {
    reference.map(ObjectRefJson::of)
}

impl EventJson {
    fn of(event: &v1::KubernetesEvent) -> Self {
        Self {
            uid: event.uid.clone(),
            r#type: event.r#type.clone(),
            reason: event.reason.clone(),
            message: event.message.clone(),
            count: event.count,
            first_seen: event.first_seen.as_ref().map(time_text),
            last_seen: event.last_seen.as_ref().map(time_text),
            involved: reference(event.involved.as_ref()),
            source: event.source.clone(),
            field_path: event.field_path.clone(),
        }
    }

    fn into_event(self) -> Result<v1::KubernetesEvent, EvidenceJsonError> {
        Ok(v1::KubernetesEvent {
            uid: self.uid,
            r#type: self.r#type,
            reason: self.reason,
            message: self.message,
            count: self.count,
            first_seen: self.first_seen.as_deref().map(time).transpose()?,
            last_seen: self.last_seen.as_deref().map(time).transpose()?,
            involved: self.involved.map(ObjectRefJson::into_ref),
            source: self.source,
            field_path: self.field_path,
        })
    }
}

impl LogJson {
    fn of(log: &v1::LogChunk) -> Self {
        let line = |line: &v1::LogLine| LineJson {
            at: line.at.as_ref().map(time_text),
            text: line.text.clone(),
            cut: line.cut,
        };
        Self {
            pod: reference(log.pod.as_ref()),
            container: log.container.clone(),
            init_container: log.init_container,
            previous: log.previous,
            source: match log.source() {
                v1::LogSource::Loki => SourceJson::Loki,
                _ => SourceJson::Kubernetes,
            },
            lines: log.lines.iter().map(line).collect(),
            lines_left_out: log.lines_left_out,
        }
    }

    fn into_chunk(self) -> Result<v1::LogChunk, EvidenceJsonError> {
        let line = |line: LineJson| {
            let at = line.at.as_deref().map(time).transpose()?;
            Ok::<_, EvidenceJsonError>(v1::LogLine {
                at,
                text: line.text,
                cut: line.cut,
            })
        };
        let lines: Result<Vec<_>, _> = self.lines.into_iter().map(line).collect();
        let source = match self.source {
            SourceJson::Kubernetes => v1::LogSource::Kubernetes,
            SourceJson::Loki => v1::LogSource::Loki,
        };
        Ok(v1::LogChunk {
            pod: self.pod.map(ObjectRefJson::into_ref),
            container: self.container,
            init_container: self.init_container,
            previous: self.previous,
            source: source.into(),
            lines: lines?,
            lines_left_out: self.lines_left_out,
        })
    }
}

impl ChangeJson {
    fn of(change: &v1::RolloutChange) -> Self {
        let field = |field: &v1::FieldChange| FieldJson {
            path: field.path.clone(),
            before: field.before.clone(),
            after: field.after.clone(),
        };
        Self {
            workload: reference(change.workload.as_ref()),
            from_revision: change.from_revision,
            to_revision: change.to_revision,
            rolled_out_at: change.rolled_out_at.as_ref().map(time_text),
            changes: change.changes.iter().map(field).collect(),
            from_revision_was_healthy: change.from_revision_was_healthy,
        }
    }

    fn into_change(self) -> Result<v1::RolloutChange, EvidenceJsonError> {
        let field = |field: FieldJson| v1::FieldChange {
            path: field.path,
            before: field.before,
            after: field.after,
        };
        Ok(v1::RolloutChange {
            workload: self.workload.map(ObjectRefJson::into_ref),
            from_revision: self.from_revision,
            to_revision: self.to_revision,
            rolled_out_at: self.rolled_out_at.as_deref().map(time).transpose()?,
            changes: self.changes.into_iter().map(field).collect(),
            from_revision_was_healthy: self.from_revision_was_healthy,
        })
    }
}

impl NodeJson {
    fn of(node: &v1::NodeState) -> Self {
        let condition = |one: &v1::NodeCondition| ConditionJson {
            r#type: one.r#type.clone(),
            status: one.status.clone(),
            reason: one.reason.clone(),
            message: one.message.clone(),
        };
        Self {
            reference: reference(node.r#ref.as_ref()),
            conditions: node.conditions.iter().map(condition).collect(),
            allocatable: node.allocatable.clone().into_iter().collect(),
            unschedulable: node.unschedulable,
            taints: node.taints.clone(),
        }
    }

    fn into_state(self) -> v1::NodeState {
        let condition = |one: ConditionJson| v1::NodeCondition {
            r#type: one.r#type,
            status: one.status,
            reason: one.reason,
            message: one.message,
        };
        v1::NodeState {
            r#ref: self.reference.map(ObjectRefJson::into_ref),
            conditions: self.conditions.into_iter().map(condition).collect(),
            allocatable: self.allocatable.into_iter().collect(),
            unschedulable: self.unschedulable,
            taints: self.taints,
        }
    }
}
