//! Redacted evidence as JSON: what `bonesetter show -o json` writes and `bonesetter diagnose -f FILE` reads.
//!
//! ```json
//! {
//!   "version": 1,
//!   "failure_class": "oom-killed",
//!   "incident": { "id": "...", "cluster": "demo", "episode": 1, "opened_at": "2026-11-25T10:00:00Z",
//!                 "root_owner": { "api_version": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web", "uid": "..." } },
//!   "evidence": {
//!     "target": { "object": { "kind": "Deployment", "...": "..." }, "template_digest": "...", "revision": 3 },
//!     "collected_at": "2026-11-25T10:00:05Z",
//!     "items": [
//!       { "id": "object/Pod/web-1", "object": { "ref": { "kind": "Pod", "...": "..." }, "body": { "...": "the object" } } },
//!       { "id": "event/UID", "event": { "type": "Warning", "reason": "BackOff", "message": "...", "count": 3 } },
//!       { "id": "log/web-1/app/previous", "log": { "pod": { "...": "..." }, "container": "app", "previous": true, "source": "kubernetes",
//!         "lines": [ { "text": "..." } ] } },
//!       { "id": "change/Deployment/web", "change": { "from_revision": 2, "to_revision": 3, "from_revision_was_healthy": true,
//!         "changes": [ { "path": "/spec/containers/0/image", "before": "\"web:2\"", "after": "\"web:3\"" } ] } },
//!       { "id": "node/n1", "node": { "allocatable": { "cpu": "2" }, "conditions": [], "taints": [] } },
//!       { "id": "note/loki", "note": { "source": "loki", "text": "..." } }
//!     ]
//!   }
//! }
//! ```
//!
//! Names are those of `evidence.proto`; fields that are empty may be left out, unknown ones are refused. A
//! file proves nothing: whoever reads one has to redact it again before it goes anywhere.

use bonesetter_proto::v1;
use serde::{Deserialize, Serialize};

mod common;
mod content;

pub use common::{IncidentJson, ObjectRefJson, TargetJson};
pub use content::{
    ChangeJson, ConditionJson, ContentJson, EventJson, FieldJson, LineJson, LogJson, NodeJson,
    NoteJson, ObjectJson, SourceJson,
};

/// The version of this form.
pub const VERSION: u32 = 1;

/// Why a document is not evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceJsonError {
    /// Not JSON of this form.
    #[error("cannot read evidence: {0}")]
    Form(#[from] serde_json::Error),
    /// Written by a newer Bonesetter.
    #[error("cannot read evidence of version {0}; this Bonesetter reads version {VERSION}")]
    Version(u32),
    /// No such failure class.
    #[error("{0:?} is not a failure class, for example oom-killed or crash-loop-back-off")]
    FailureClass(String),
    /// Not RFC 3339.
    #[error("{0:?} is not a time such as 2026-11-25T10:00:00Z")]
    Time(String),
}

/// A document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`VERSION`].
    pub version: u32,
    /// What was detected, for example `oom-killed`.
    pub failure_class: String,
    /// The incident; absent where evidence was collected without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentJson>,
    /// The evidence.
    pub evidence: EvidenceJson,
}

/// What was collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceJson {
    /// What a remedy may act on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetJson>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_at: Option<String>,
    /// The items that can be cited.
    pub items: Vec<ItemJson>,
}

/// One item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemJson {
    /// Unique within the document.
    pub id: String,
    /// What it holds.
    #[serde(flatten)]
    pub content: ContentJson,
}

impl Document {
    /// Reads a document.
    pub fn parse(json: &[u8]) -> Result<Self, EvidenceJsonError> {
        let document: Self = serde_json::from_slice(json)?;
        if document.version == VERSION {
            Ok(document)
        } else {
            Err(EvidenceJsonError::Version(document.version))
        }
    }

    /// The document of a message. Signatures, provenance and counts of removals are not part of it.
    pub fn of(message: &v1::Redacted) -> Self {
        let evidence = message.evidence.as_ref();
        let items = evidence.map_or(&[][..], |evidence| &evidence.items);
        Self {
            version: VERSION,
            failure_class: class_name(message.failure_class()),
            incident: message.incident.as_ref().map(IncidentJson::of),
            evidence: EvidenceJson {
                target: evidence
                    .and_then(|evidence| evidence.target.as_ref())
                    .map(TargetJson::of),
                collected_at: evidence
                    .and_then(|evidence| evidence.collected_at.as_ref())
                    .map(common::time_text),
                items: items.iter().filter_map(ItemJson::of).collect(),
            },
        }
    }

    /// The message of a document, without envelope. Not yet `Redacted` in the sense of the trust boundary.
    pub fn into_message(self) -> Result<v1::Redacted, EvidenceJsonError> {
        let class = class_of(&self.failure_class)?;
        let items: Result<Vec<_>, _> = self
            .evidence
            .items
            .into_iter()
            .map(ItemJson::into_item)
            .collect();
        let evidence = v1::Evidence {
            items: items?,
            target: self.evidence.target.map(TargetJson::into_target),
            collected_at: self
                .evidence
                .collected_at
                .as_deref()
                .map(common::time)
                .transpose()?,
            queries: Vec::new(),
        };
        Ok(v1::Redacted {
            incident: self.incident.map(IncidentJson::into_incident).transpose()?,
            failure_class: class.into(),
            evidence: Some(evidence),
            ..v1::Redacted::default()
        })
    }
}

impl ItemJson {
    fn of(item: &v1::EvidenceItem) -> Option<Self> {
        let content = ContentJson::of(item.content.as_ref()?);
        Some(Self {
            id: item.id.clone(),
            content,
        })
    }

    fn into_item(self) -> Result<v1::EvidenceItem, EvidenceJsonError> {
        let content = self.content.into_content()?;
        Ok(v1::EvidenceItem {
            id: self.id,
            content: Some(content),
        })
    }
}

/// A failure class as people write it, for example `oom-killed`.
pub fn class_name(class: v1::FailureClass) -> String {
    class
        .as_str_name()
        .trim_start_matches("FAILURE_CLASS_")
        .to_lowercase()
        .replace('_', "-")
}

/// The failure class of a name; [`class_name`]'s inverse.
pub fn class_of(name: &str) -> Result<v1::FailureClass, EvidenceJsonError> {
    let full = format!("FAILURE_CLASS_{}", name.to_uppercase().replace('-', "_"));
    v1::FailureClass::from_str_name(&full)
        .ok_or_else(|| EvidenceJsonError::FailureClass(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{Fixture, crash_loop};

    #[test]
    fn evidence_survives_the_round_trip() {
        let evidence = Fixture::deployment("web", &json!({ "name": "app", "image": "web:2" }))
            .pod(&crash_loop("Error", 1))
            .event("BackOff", "Back-off restarting failed container")
            .log(true, &["one", "two"])
            .rollout(
                1,
                2,
                true,
                &[("/spec/containers/0/image", "\"web:1\"", "\"web:2\"")],
            )
            .node("n1", &[("cpu", "2")], &["a=b:NoSchedule"])
            .build();
        let message = v1::Redacted {
            failure_class: v1::FailureClass::CrashLoopBackOff.into(),
            evidence: Some(evidence),
            ..v1::Redacted::default()
        };
        let text = serde_json::to_vec(&Document::of(&message)).unwrap();
        assert_eq!(
            Document::parse(&text).unwrap().into_message().unwrap(),
            message
        );
    }

    #[test]
    fn what_is_not_evidence_is_refused_with_the_reason() {
        let document = |class: &str, extra: &str| {
            format!(r#"{{"version":1,"failure_class":"{class}","evidence":{{"items":[{extra}]}}}}"#)
        };
        let message = |text: &str| {
            let document = Document::parse(text.as_bytes());
            document
                .and_then(Document::into_message)
                .map_err(|error| error.to_string())
        };
        assert!(message(&document("oom-killed", "")).is_ok());
        for (text, expected) in [
            (String::new(), "cannot read evidence: EOF"),
            (document("sad", ""), "\"sad\" is not a failure class"),
            (document("evicted", r#"{"id":"x"}"#), "cannot read evidence"),
            (
                document("evicted", r#"{"id":"x","surprise":{}}"#),
                "cannot read evidence",
            ),
            (
                document("evicted", r#"{"id":"x","note":{"text":"t","more":1}}"#),
                "cannot read evidence",
            ),
            (
                document(
                    "evicted",
                    r#"{"id":"x","event":{"reason":"R","message":"m","last_seen":"yesterday"}}"#,
                ),
                "\"yesterday\" is not a time",
            ),
            (
                r#"{"version":2,"failure_class":"evicted","evidence":{"items":[]}}"#.to_owned(),
                "cannot read evidence of version 2",
            ),
        ] {
            let error = message(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn every_failure_class_has_a_name() {
        for number in 0..=12 {
            let class = v1::FailureClass::try_from(number).unwrap();
            assert_eq!(class_of(&class_name(class)).unwrap(), class);
        }
    }
}
