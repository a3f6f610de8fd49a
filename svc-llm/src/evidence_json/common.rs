//! Identities and times.

use bonesetter_proto::{from_timestamp, to_timestamp, v1};
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::EvidenceJsonError;

/// The name of one Kubernetes object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectRefJson {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl ObjectRefJson {
    pub(super) fn of(reference: &v1::ObjectRef) -> Self {
        let v1::ObjectRef {
            api_version,
            kind,
            namespace,
            name,
            uid,
        } = reference.clone();
        Self {
            api_version,
            kind,
            namespace,
            name,
            uid,
        }
    }

    pub(super) fn into_ref(self) -> v1::ObjectRef {
        let Self {
            api_version,
            kind,
            namespace,
            name,
            uid,
        } = self;
        v1::ObjectRef {
            api_version,
            kind,
            namespace,
            name,
            uid,
        }
    }
}

/// One episode of failure of one root owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentJson {
    /// Its id.
    pub id: String,
    /// The cluster.
    pub cluster: String,
    /// The last controller of what fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_owner: Option<ObjectRefJson>,
    /// Counts from 1.
    pub episode: u32,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<String>,
}

impl IncidentJson {
    pub(super) fn of(incident: &v1::Incident) -> Self {
        Self {
            id: incident.id.clone(),
            cluster: incident.cluster.clone(),
            root_owner: incident.root_owner.as_ref().map(ObjectRefJson::of),
            episode: incident.episode,
            opened_at: incident.opened_at.as_ref().map(time_text),
        }
    }

    pub(super) fn into_incident(self) -> Result<v1::Incident, EvidenceJsonError> {
        Ok(v1::Incident {
            id: self.id,
            cluster: self.cluster,
            root_owner: self.root_owner.map(ObjectRefJson::into_ref),
            episode: self.episode,
            opened_at: self.opened_at.as_deref().map(time).transpose()?,
        })
    }
}

/// What a remedy may act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetJson {
    /// The workload.
    pub object: ObjectRefJson,
    /// Keyed digest of its pod template.
    #[serde(default)]
    pub template_digest: String,
    /// Its revision when the evidence was taken; 0 where it has none.
    #[serde(default)]
    pub revision: i64,
}

impl TargetJson {
    pub(super) fn of(target: &v1::Target) -> Self {
        Self {
            object: target
                .object
                .as_ref()
                .map(ObjectRefJson::of)
                .unwrap_or_default(),
            template_digest: target.template_digest.clone(),
            revision: target.revision,
        }
    }

    pub(super) fn into_target(self) -> v1::Target {
        v1::Target {
            object: Some(self.object.into_ref()),
            template_digest: self.template_digest,
            revision: self.revision,
        }
    }
}

pub(super) fn time_text(at: &Timestamp) -> String {
    let time = from_timestamp(at).and_then(|at| jiff::Timestamp::try_from(at).ok());
    time.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

pub(super) fn time(text: &str) -> Result<Timestamp, EvidenceJsonError> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| EvidenceJsonError::Time(text.to_owned()))?;
    Ok(to_timestamp(time.into()))
}
