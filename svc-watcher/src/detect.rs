//! What fails, judged from facts alone: no server, no clock of its own, no memory.
//!
//! The judgement is level-triggered: the same facts at the same time give the same findings, in
//! whatever order they arrived. When an incident opens or ends is decided in [`crate::episode`].

mod class;
mod pod;
mod workload;

use bonesetter_proto::to_timestamp;
use bonesetter_proto::v1::{FailureClass, Symptom};
use jiff::{SignedDuration, Timestamp};

use crate::facts::{Facts, Job, Object, Phase, Pod, ProbeKill};

pub use class::{is_more_specific, is_specific, severity};

/// How long some states must last before they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// How long a pod must have been unschedulable.
    pub unschedulable_grace: SignedDuration,
}

/// One failing object, often one container of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What fails.
    pub object: Object,
    /// The container, empty when it is not about one.
    pub container: String,
    /// Whether that is an init container.
    pub is_init: bool,
    /// What was detected.
    pub class: FailureClass,
    /// Of the last termination.
    pub exit_code: Option<i32>,
    /// Of the last termination, when the runtime tells it.
    pub signal: Option<i32>,
    /// Of the container.
    pub restarts: u32,
    /// Since when, as far as the object tells.
    pub since: Option<Timestamp>,
    /// Told from a termination, which the owner may answer with another try.
    pub is_ending: bool,
}

impl Finding {
    /// The form that messages carry.
    pub fn to_symptom(&self) -> Symptom {
        Symptom {
            object: Some(self.object.to_ref()),
            container: self.container.clone(),
            init_container: self.is_init,
            failure_class: self.class.into(),
            exit_code: self.exit_code,
            signal: self.signal,
            restart_count: self.restarts,
            since: self.since.map(|since| to_timestamp(since.into())),
        }
    }
}

/// A root owner and all that it controls, directly and indirectly.
#[derive(Debug, Clone)]
pub struct Family<'a> {
    /// The root owner's uid.
    pub uid: &'a str,
    /// The root owner, when it is of a watched kind and exists.
    pub root: Option<&'a Facts>,
    /// All that it controls.
    pub members: Vec<&'a Facts>,
}

/// What is wrong with a family, and whether it does its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The most specific class first.
    pub findings: Vec<Finding>,
    /// Nothing is wrong, and all that is wanted is there.
    pub is_healthy: bool,
}

/// Judges a root owner and all that it controls.
///
/// `kills` are the known kills by probes, of these pods or others.
pub fn assess(
    family: &Family<'_>,
    kills: &[&ProbeKill],
    now: Timestamp,
    thresholds: &Thresholds,
) -> Assessment {
    let mut findings = Vec::new();
    for facts in family.root.iter().chain(&family.members) {
        if facts.head().is_leaving {
            continue;
        }
        match facts {
            Facts::Pod(pod) => {
                let mut found = pod::findings(pod, kills, now, thresholds);
                found.retain(|finding| family.does_count(pod, finding, now));
                findings.append(&mut found);
            }
            Facts::Workload(workload) => {
                findings.extend(workload::findings(workload, &family.members));
            }
            Facts::Job(job) if !family.is_superseded(job) => {
                findings.extend(workload::job_finding(job));
            }
            Facts::Job(_) | Facts::Unreadable(_) => {}
        }
    }
    findings.sort_by(|a, b| {
        let key = |it: &Finding| {
            (
                std::cmp::Reverse(severity(it.class)),
                it.object.name.clone(),
            )
        };
        key(a)
            .cmp(&key(b))
            .then_with(|| a.container.cmp(&b.container))
    });
    let is_healthy = findings.is_empty() && family.does_its_work();
    Assessment {
        findings,
        is_healthy,
    }
}

impl Family<'_> {
    fn controller_of(&self, pod: &Pod) -> Option<&Facts> {
        let controller = pod.head.controller.as_ref()?;
        let mut all = self.root.iter().chain(&self.members);
        all.find(|facts| facts.head().object.uid == controller.uid)
            .copied()
    }

    /// Whether the owner has not already answered what happened to the pod.
    fn does_count(&self, pod: &Pod, finding: &Finding, now: Timestamp) -> bool {
        match self.controller_of(pod) {
            Some(Facts::Job(job)) if job.completed_since.is_some() || self.is_superseded(job) => {
                false
            }
            // A job tries again until its limits are used up; only then has it failed.
            Some(Facts::Job(job)) => job.failed_since.is_some() || !finding.is_ending,
            // A replaced pod stays behind as a corpse, often for days.
            Some(Facts::Workload(set)) if pod.phase == Phase::Failed => {
                let is_replaced = set.desired == 0 || set.is_complete();
                !is_replaced || pod::is_recently_evicted(pod, now)
            }
            _ => true,
        }
    }

    /// A later job of the same owner (a `CronJob`) has completed since.
    fn is_superseded(&self, job: &Job) -> bool {
        let Some(controller) = &job.head.controller else {
            return false;
        };
        self.members.iter().any(|facts| {
            let Facts::Job(other) = facts else {
                return false;
            };
            other.completed_since.is_some()
                && other.head.created > job.head.created
                && other
                    .head
                    .controller
                    .as_ref()
                    .is_some_and(|it| it.uid == controller.uid)
        })
    }

    fn does_its_work(&self) -> bool {
        match self.root {
            Some(Facts::Workload(workload)) => workload.is_complete(),
            Some(Facts::Job(job)) => job.is_well(),
            Some(Facts::Pod(pod)) => pod::is_well(pod),
            Some(Facts::Unreadable(_)) => false,
            None => self.do_children_work(),
        }
    }

    /// For an owner that is not watched: all that it controls itself does its work, and that is
    /// not nothing.
    fn do_children_work(&self) -> bool {
        let children = self.members.iter().filter(|facts| {
            let controller = facts.head().controller.as_ref();
            !facts.head().is_leaving && controller.is_some_and(|it| it.uid == self.uid)
        });
        let verdicts: Vec<bool> = children
            .filter_map(|facts| match facts {
                Facts::Pod(pod) => Some(pod::is_well(pod)),
                Facts::Workload(workload) if workload.desired == 0 => None,
                Facts::Workload(workload) => Some(workload.is_complete()),
                Facts::Job(job) if self.is_superseded(job) => None,
                Facts::Job(job) => Some(job.is_well()),
                Facts::Unreadable(_) => Some(false),
            })
            .collect();
        !verdicts.is_empty() && verdicts.iter().all(|is_well| *is_well)
    }
}

#[cfg(test)]
mod tests;
