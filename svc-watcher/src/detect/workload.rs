use bonesetter_proto::v1::FailureClass;
use jiff::Timestamp;

use super::Finding;
use crate::facts::{Facts, Head, Job, Workload};

/// What a Deployment or ReplicaSet says of itself. Unavailable replicas alone are no failure: every
/// rollout has them.
pub(super) fn findings(workload: &Workload, members: &[&Facts]) -> Vec<Finding> {
    if !workload.is_current || workload.is_paused || workload.desired == 0 {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if let Some(since) = workload.stuck_since {
        findings.push(about(
            &workload.head,
            FailureClass::ProgressDeadlineExceeded,
            since,
        ));
    }
    // A Deployment repeats what its ReplicaSet says.
    let is_repeated = members.iter().any(|facts| match facts {
        Facts::Workload(set) => {
            let controller = set.head.controller.as_ref();
            set.replica_failure_since.is_some()
                && set.desired > 0
                && controller.is_some_and(|it| it.uid == workload.head.object.uid)
        }
        _ => false,
    });
    if let Some(since) = workload.replica_failure_since.filter(|_| !is_repeated) {
        findings.push(about(&workload.head, FailureClass::ReplicaFailure, since));
    }
    findings
}

/// A job has failed when it will not try again: over its backoff limit or deadline, or by its own
/// pod failure policy.
pub(super) fn job_finding(job: &Job) -> Option<Finding> {
    job.failed_since
        .map(|since| about(&job.head, FailureClass::JobFailed, since))
}

fn about(head: &Head, class: FailureClass, since: Timestamp) -> Finding {
    Finding {
        object: head.object.clone(),
        container: String::new(),
        is_init: false,
        class,
        exit_code: None,
        signal: None,
        restarts: 0,
        since: Some(since),
        is_ending: false,
    }
}
