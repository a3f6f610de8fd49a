use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1 as batch;

use super::{Head, Kind, count, time};

/// The facts of a Deployment or a ReplicaSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// What every object has.
    pub head: Head,
    /// The status speaks of the present spec.
    pub is_current: bool,
    /// `spec.paused`.
    pub is_paused: bool,
    /// `spec.replicas`.
    pub desired: u32,
    /// Pods that exist, old and new.
    pub existing: u32,
    /// Pods of the present template.
    pub updated: u32,
    /// Pods that have been ready for `minReadySeconds`.
    pub available: u32,
    /// Since when condition `Progressing` is false because of `ProgressDeadlineExceeded`.
    pub stuck_since: Option<Timestamp>,
    /// Since when condition `ReplicaFailure` is true.
    pub replica_failure_since: Option<Timestamp>,
}

impl Workload {
    /// Reads a Deployment.
    pub fn read_deployment(deployment: &Deployment) -> Self {
        let head = Head::read(Kind::Deployment, &deployment.metadata);
        let status = deployment.status.clone().unwrap_or_default();
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let since = |type_: &str, is_met: fn(&str, &str) -> bool| {
            let condition = conditions.iter().find(|condition| {
                condition.type_ == type_
                    && is_met(
                        &condition.status,
                        condition.reason.as_deref().unwrap_or_default(),
                    )
            })?;
            time(condition.last_transition_time.as_ref()).or(head.created)
        };
        Self {
            is_current: status.observed_generation >= deployment.metadata.generation,
            is_paused: deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true),
            desired: desired(deployment.spec.as_ref().and_then(|spec| spec.replicas)),
            existing: count(status.replicas),
            updated: count(status.updated_replicas),
            available: count(status.available_replicas),
            stuck_since: since("Progressing", |status, reason| {
                status == "False" && reason == "ProgressDeadlineExceeded"
            }),
            replica_failure_since: since("ReplicaFailure", |status, _| status == "True"),
            head,
        }
    }

    /// Reads a ReplicaSet: all of its pods are of the present template.
    pub fn read_replica_set(set: &ReplicaSet) -> Self {
        let head = Head::read(Kind::ReplicaSet, &set.metadata);
        let status = set.status.clone().unwrap_or_default();
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let failure = conditions
            .iter()
            .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
        Self {
            is_current: status.observed_generation >= set.metadata.generation,
            is_paused: false,
            desired: desired(set.spec.as_ref().and_then(|spec| spec.replicas)),
            existing: count(Some(status.replicas)),
            updated: count(Some(status.replicas)),
            available: count(status.available_replicas),
            stuck_since: None,
            replica_failure_since: failure
                .and_then(|it| time(it.last_transition_time.as_ref()).or(head.created)),
            head,
        }
    }

    /// Everything that is wanted is there, up to date and available, and nothing else is.
    ///
    /// A workload that is paused or scaled to zero is not healthy: it does not do its work.
    pub const fn is_complete(&self) -> bool {
        self.is_current
            && !self.is_paused
            && !self.head.is_leaving
            && self.desired > 0
            && self.updated >= self.desired
            && self.available >= self.desired
            && self.existing <= self.desired
    }
}

/// The API server writes the default; an object that lacks it is from before.
fn desired(replicas: Option<i32>) -> u32 {
    count(replicas.or(Some(1)))
}

/// The facts of a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What every object has.
    pub head: Head,
    /// Since when condition `Failed` is true. A job that will try again does not have it.
    pub failed_since: Option<Timestamp>,
    /// Since when condition `Complete` is true.
    pub completed_since: Option<Timestamp>,
    /// `spec.suspend`.
    pub is_suspended: bool,
    /// Pods that run or wait.
    pub active: u32,
    /// Active pods that are ready.
    pub ready: u32,
}

impl Job {
    /// Reads a Job.
    pub fn read(job: &batch::Job) -> Self {
        let head = Head::read(Kind::Job, &job.metadata);
        let status = job.status.clone().unwrap_or_default();
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let since = |type_: &str| {
            let condition = conditions
                .iter()
                .find(|it| it.type_ == type_ && it.status == "True")?;
            time(condition.last_transition_time.as_ref()).or(head.created)
        };
        Self {
            failed_since: since("Failed"),
            completed_since: since("Complete"),
            is_suspended: job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true),
            active: count(status.active),
            ready: count(status.ready),
            head,
        }
    }

    /// It has done its work, or all that it runs is ready.
    pub const fn is_well(&self) -> bool {
        let is_working = self.active > 0 && self.ready >= self.active;
        self.completed_since.is_some()
            || (self.failed_since.is_none() && !self.is_suspended && is_working)
    }
}
