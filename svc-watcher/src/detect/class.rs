use bonesetter_proto::v1::FailureClass;

/// How much a class says about the cause; the higher of two is the class of the incident.
///
/// The lower ones are consequences that almost any of the higher ones brings sooner or later: a
/// container that is killed at its memory limit is later in back-off, and its rollout exceeds its
/// deadline after that.
pub const fn severity(class: FailureClass) -> u8 {
    match class {
        FailureClass::Unspecified => 0,
        FailureClass::ProgressDeadlineExceeded => 1,
        FailureClass::Failed => 2,
        FailureClass::CrashLoopBackOff => 3,
        FailureClass::JobFailed => 4,
        FailureClass::Evicted => 5,
        FailureClass::Unschedulable => 6,
        FailureClass::ReplicaFailure => 7,
        FailureClass::CreateContainerError => 8,
        FailureClass::ImagePull => 9,
        FailureClass::CreateContainerConfigError => 10,
        FailureClass::ProbeKill => 11,
        FailureClass::OomKilled => 12,
    }
}

/// Whether a class names a cause and not only a consequence.
pub const fn is_specific(class: FailureClass) -> bool {
    severity(class) > severity(FailureClass::JobFailed)
}

/// Whether `class` says more about the cause than `other`.
pub const fn is_more_specific(class: FailureClass, other: FailureClass) -> bool {
    severity(class) > severity(other)
}
