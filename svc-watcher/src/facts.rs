//! What is kept of an object: the few fields that decide whether it fails.
//!
//! The whole object is dropped as soon as it has been read, so that memory grows with what matters
//! and no free text of the cluster (messages, names of Secrets, log lines) can reach a message.

mod pod;
mod probe;
mod workload;

use bonesetter_proto::v1::ObjectRef;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Serialize};

pub use pod::{Container, Ended, Ending, Phase, Pod, State, Waiting};
pub use probe::ProbeKill;
pub use workload::{Job, Workload};

/// The kinds that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1/Pod`.
    Pod,
    /// `apps/v1/ReplicaSet`.
    ReplicaSet,
    /// `apps/v1/Deployment`.
    Deployment,
    /// `batch/v1/Job`.
    Job,
    /// `v1/Event`, of reason `Killing` only.
    Event,
}

impl Kind {
    /// Every kind that is watched.
    pub const ALL: [Self; 5] = [
        Self::Pod,
        Self::ReplicaSet,
        Self::Deployment,
        Self::Job,
        Self::Event,
    ];

    /// The kind as manifests spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::ReplicaSet => "ReplicaSet",
            Self::Deployment => "Deployment",
            Self::Job => "Job",
            Self::Event => "Event",
        }
    }

    /// The group and version under which the kind is watched.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Pod | Self::Event => "v1",
            Self::ReplicaSet | Self::Deployment => "apps/v1",
            Self::Job => "batch/v1",
        }
    }

    /// The watched kind that an object is of; none for any other kind or group.
    pub fn of(object: &Object) -> Option<Self> {
        let group = |version: &str| {
            version
                .split_once('/')
                .map_or("", |(group, _)| group)
                .to_owned()
        };
        Self::ALL.into_iter().find(|kind| {
            kind.as_str() == object.kind && group(kind.api_version()) == group(&object.api_version)
        })
    }
}

/// Names one object, also one that is known only from an owner reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Object {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The uid, which no later object of the same name has.
    pub uid: String,
}

impl Object {
    /// The object that the metadata of a watched kind names.
    pub fn read(kind: Kind, meta: &ObjectMeta) -> Self {
        Self {
            api_version: kind.api_version().to_owned(),
            kind: kind.as_str().to_owned(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
        }
    }

    /// The form that messages carry.
    pub fn to_ref(&self) -> ObjectRef {
        ObjectRef {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
        }
    }
}

/// What every object has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The object itself.
    pub object: Object,
    /// Its controller, if it has one. A Node, which "controls" its static pods, does not count.
    pub controller: Option<Object>,
    /// Deleted, and waiting for its finalizers or containers.
    pub is_leaving: bool,
    /// When it was created.
    pub created: Option<Timestamp>,
}

impl Head {
    /// Reads the metadata of a watched kind.
    pub fn read(kind: Kind, meta: &ObjectMeta) -> Self {
        let object = Object::read(kind, meta);
        let owners = meta.owner_references.as_deref().unwrap_or_default();
        Self {
            controller: controller(owners, &object.namespace),
            object,
            is_leaving: meta.deletion_timestamp.is_some(),
            created: time(meta.creation_timestamp.as_ref()),
        }
    }
}

/// An object of which only the metadata could be decoded: it exists, and nothing more is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What is known.
    pub head: Head,
}

/// The facts of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facts {
    /// A Pod.
    Pod(Pod),
    /// A Deployment or ReplicaSet.
    Workload(Workload),
    /// A Job.
    Job(Job),
    /// Any of them, when it could not be decoded.
    Unreadable(Unreadable),
}

impl Facts {
    /// What every object has.
    pub const fn head(&self) -> &Head {
        match self {
            Self::Pod(pod) => &pod.head,
            Self::Workload(workload) => &workload.head,
            Self::Job(job) => &job.head,
            Self::Unreadable(unreadable) => &unreadable.head,
        }
    }
}

fn controller(owners: &[OwnerReference], namespace: &str) -> Option<Object> {
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    let is_node = owner.kind == "Node" && owner.api_version == "v1";
    (!is_node && !owner.uid.is_empty()).then(|| Object {
        api_version: owner.api_version.clone(),
        kind: owner.kind.clone(),
        namespace: namespace.to_owned(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
    })
}

fn time(at: Option<&Time>) -> Option<Timestamp> {
    at.map(|at| at.0)
}

fn count(value: Option<i32>) -> u32 {
    u32::try_from(value.unwrap_or(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn head(owners: &serde_json::Value) -> Head {
        let meta = json!({"name": "a", "namespace": "n", "uid": "u", "ownerReferences": owners});
        Head::read(Kind::Pod, &serde_json::from_value(meta).unwrap())
    }

    #[test]
    fn only_a_controller_owns_and_a_node_does_not() {
        let owner = |kind: &str, api_version: &str, controller: bool| {
            json!([{"kind": kind, "apiVersion": api_version, "name": "o", "uid": "ou",
                    "controller": controller}])
        };
        assert_eq!(
            head(&owner("ReplicaSet", "apps/v1", true))
                .controller
                .unwrap()
                .uid,
            "ou"
        );
        assert_eq!(
            head(&owner("ReplicaSet", "apps/v1", false)).controller,
            None
        );
        assert_eq!(head(&owner("Node", "v1", true)).controller, None);
        assert_eq!(head(&json!([])).controller, None);
    }

    #[test]
    fn a_kind_is_known_by_group_and_not_by_version() {
        let of = |api_version: &str, kind: &str| {
            Kind::of(&Object {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                ..Object::default()
            })
        };
        assert_eq!(of("apps/v1", "Deployment"), Some(Kind::Deployment));
        assert_eq!(of("apps/v1beta2", "Deployment"), Some(Kind::Deployment));
        assert_eq!(of("batch/v1", "Job"), Some(Kind::Job));
        assert_eq!(of("example.org/v1", "Job"), None);
        assert_eq!(of("v1", "Pod"), Some(Kind::Pod));
        assert_eq!(of("apps/v1", "StatefulSet"), None);
    }
}
