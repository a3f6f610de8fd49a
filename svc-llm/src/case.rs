//! What rules and models look at: a typed view over redacted evidence.

use std::borrow::Borrow;

use bonesetter_proto::v1;
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{
    Citation, Evidence, FailureClass, KubernetesEvent, LogChunk, NodeState, ObjectRef,
    RolloutChange, Target,
};
use bonesetter_redact::Redacted;
use serde_json::Value;

mod container;
mod lines;
mod rollout;

pub(crate) use container::{Container, Termination, is_oom};
pub(crate) use lines::Line;
pub(crate) use rollout::{EnvChangeKind, Rollout};

/// One item of a kind, with the id under which it can be cited.
#[derive(Debug)]
pub(crate) struct Cited<'a, T> {
    pub(crate) id: &'a str,
    pub(crate) item: &'a T,
}

// Derived, these would ask the same of `T`, which is only referred to.
impl<T> Clone for Cited<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Cited<'_, T> {}

/// A Kubernetes object of the evidence.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    pub(crate) id: &'a str,
    pub(crate) reference: &'a ObjectRef,
    pub(crate) json: Value,
}

impl Object<'_> {
    /// The text at a JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer).and_then(Value::as_str)
    }

    /// A citation of a JSON pointer, if the object has it.
    pub(crate) fn cite(&self, pointer: &str) -> Option<Citation> {
        self.json.pointer(pointer).map(|_| cite(self.id, pointer))
    }
}

/// One incident, as it is diagnosed.
#[derive(Debug)]
pub struct Case<'a> {
    evidence: &'a Evidence,
    class: FailureClass,
    objects: Vec<Object<'a>>,
}

impl<'a> Case<'a> {
    /// The case of a message; `None` if it holds no evidence.
    pub fn of_message(message: &'a Redacted<v1::Redacted>) -> Option<Self> {
        let message = message.get();
        Some(Self::over(
            message.evidence.as_ref()?,
            message.failure_class(),
        ))
    }

    /// The case of evidence alone.
    pub fn of_evidence<T: Borrow<Evidence>>(
        evidence: &'a Redacted<T>,
        class: FailureClass,
    ) -> Self {
        Self::over(evidence.get().borrow(), class)
    }

    /// Reads the objects once; one that is not JSON is left out and can only be cited by its id.
    pub(crate) fn over(evidence: &'a Evidence, class: FailureClass) -> Self {
        let mut objects = Vec::new();
        for item in &evidence.items {
            if let Some(Content::Object(object)) = &item.content
                && let Some(reference) = &object.r#ref
                && let Ok(json) = serde_json::from_slice(&object.json)
            {
                objects.push(Object {
                    id: &item.id,
                    reference,
                    json,
                });
            }
        }
        Self {
            evidence,
            class,
            objects,
        }
    }

    /// The evidence.
    pub(crate) const fn evidence(&self) -> &'a Evidence {
        self.evidence
    }

    /// What was detected.
    pub(crate) const fn class(&self) -> FailureClass {
        self.class
    }

    /// What a remedy may act on.
    pub(crate) fn target(&self) -> Option<&'a Target> {
        self.evidence.target.as_ref()
    }

    /// Every object that could be read.
    pub(crate) fn objects(&self) -> &[Object<'a>] {
        &self.objects
    }

    /// The objects of one kind.
    pub(crate) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Object<'a>> {
        self.objects
            .iter()
            .filter(move |object| object.reference.kind == kind)
    }

    /// The workload that fails: the target, or else the first controller of the evidence.
    pub(crate) fn workload(&self) -> Option<&Object<'a>> {
        let wanted = self.target().and_then(|target| target.object.as_ref());
        let is_target = |object: &&Object<'_>| {
            wanted.is_some_and(|wanted| {
                wanted.kind == object.reference.kind && wanted.name == object.reference.name
            })
        };
        let controllers = [
            "Deployment",
            "StatefulSet",
            "DaemonSet",
            "Job",
            "ReplicaSet",
            "Pod",
        ];
        self.objects.iter().find(is_target).or_else(|| {
            controllers
                .iter()
                .find_map(|kind| self.of_kind(kind).next())
        })
    }

    /// The workload as people name it, for example "Deployment web".
    pub(crate) fn subject(&self) -> String {
        let target = self.target().and_then(|target| target.object.as_ref());
        let reference = target.or_else(|| self.workload().map(|object| object.reference));
        reference.map_or_else(
            || "the workload".to_owned(),
            |reference| format!("{} {}", reference.kind, reference.name),
        )
    }

    /// Events, the newest last.
    pub(crate) fn events(&self) -> Vec<Cited<'a, KubernetesEvent>> {
        let mut events: Vec<_> = self
            .items(|content| {
                if let Content::Event(event) = content {
                    Some(event)
                } else {
                    None
                }
            })
            .collect();
        events.sort_by_key(|event| {
            event
                .item
                .last_seen
                .as_ref()
                .map(|at| (at.seconds, at.nanos))
        });
        events
    }

    /// The newest event with one of these reasons whose message satisfies a condition.
    pub(crate) fn event(
        &self,
        reasons: &[&str],
        matches: impl Fn(&str) -> bool,
    ) -> Option<Cited<'a, KubernetesEvent>> {
        self.events().into_iter().rev().find(|event| {
            reasons.contains(&event.item.reason.as_str()) && matches(&event.item.message)
        })
    }

    /// Nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = Cited<'a, NodeState>> {
        self.items(|content| {
            if let Content::Node(node) = content {
                Some(node)
            } else {
                None
            }
        })
    }

    /// Log chunks.
    pub(crate) fn logs(&self) -> impl Iterator<Item = Cited<'a, LogChunk>> {
        self.items(|content| {
            if let Content::Log(log) = content {
                Some(log)
            } else {
                None
            }
        })
    }

    /// What the last rollout of the workload changed.
    pub(crate) fn rollout(&self) -> Option<Rollout<'_, 'a>> {
        let wanted = self.target().and_then(|target| target.object.as_ref());
        let fits = |change: &RolloutChange| match (wanted, &change.workload) {
            (Some(wanted), Some(workload)) => {
                wanted.kind == workload.kind && wanted.name == workload.name
            }
            _ => true,
        };
        self.items(|content| {
            if let Content::Change(change) = content {
                Some(change)
            } else {
                None
            }
        })
        .find(|change| fits(change.item))
        .map(|change| Rollout::new(self, change))
    }

    fn items<T: 'a>(
        &self,
        pick: impl Fn(&'a Content) -> Option<&'a T>,
    ) -> impl Iterator<Item = Cited<'a, T>> {
        self.evidence.items.iter().filter_map(move |item| {
            let item_content = item.content.as_ref().and_then(&pick)?;
            Some(Cited {
                id: item.id.as_str(),
                item: item_content,
            })
        })
    }
}

/// A citation.
pub(crate) fn cite(evidence_id: &str, quote: impl Into<String>) -> Citation {
    Citation {
        evidence_id: evidence_id.to_owned(),
        quote: quote.into(),
    }
}

/// A citation of the beginning of a text, not longer than people want to read.
pub(crate) fn cite_text(evidence_id: &str, text: &str) -> Citation {
    cite(evidence_id, head(text.trim(), 300))
}

/// The first bytes of a text, cut between characters.
pub(crate) fn head(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}
