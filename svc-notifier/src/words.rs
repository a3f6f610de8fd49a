//! How enumerations and typed fixes read in a message for people.

use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{Awaited, FailureClass, Mode, NoticeKind, Remedy, ResolvedReason};

use crate::text;

/// As Kubernetes itself calls it, where it has a word.
pub(crate) const fn failure_class(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Unspecified => "Unknown failure",
        FailureClass::Failed => "Failed",
        FailureClass::CrashLoopBackOff => "CrashLoopBackOff",
        FailureClass::OomKilled => "OOMKilled",
        FailureClass::ImagePull => "ImagePullBackOff",
        FailureClass::CreateContainerConfigError => "CreateContainerConfigError",
        FailureClass::CreateContainerError => "CreateContainerError",
        FailureClass::Unschedulable => "Unschedulable",
        FailureClass::ProbeKill => "Killed by probe",
        FailureClass::Evicted => "Evicted",
        FailureClass::JobFailed => "JobFailed",
        FailureClass::ProgressDeadlineExceeded => "ProgressDeadlineExceeded",
        FailureClass::ReplicaFailure => "ReplicaFailure",
    }
}

/// The token that stands for the kind in steps and in the webhook body.
pub(crate) const fn kind(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Unspecified => "unspecified",
        NoticeKind::Incident => "incident",
        NoticeKind::Applied => "applied",
        NoticeKind::Verified => "verified",
        NoticeKind::RolledBack => "rolled-back",
        NoticeKind::Resolved => "resolved",
        NoticeKind::Attention => "attention",
        NoticeKind::Overdue => "overdue",
    }
}

/// The token of what has not come in time.
pub(crate) const fn awaited(awaited: Awaited) -> &'static str {
    match awaited {
        Awaited::Unspecified => "unspecified",
        Awaited::Evidence => "evidence",
        Awaited::Diagnosis => "diagnosis",
        Awaited::Decision => "decision",
        Awaited::Change => "change",
        Awaited::Verification => "verification",
        Awaited::Notice => "notice",
    }
}

/// What has not come in time, in a few words.
pub(crate) const fn overdue(awaited: Awaited) -> &'static str {
    match awaited {
        Awaited::Unspecified => "stuck",
        Awaited::Evidence => "no evidence yet",
        Awaited::Diagnosis => "not diagnosed yet",
        Awaited::Decision => "nothing decided yet",
        Awaited::Change => "change neither applied nor refused",
        Awaited::Verification => "change not verified",
        Awaited::Notice => "nobody was told",
    }
}

/// Which service should have answered.
pub(crate) const fn answers(awaited: Awaited) -> &'static str {
    match awaited {
        Awaited::Unspecified => "a service",
        Awaited::Evidence => "svc-enricher or svc-redactor",
        Awaited::Diagnosis => "svc-llm",
        Awaited::Decision | Awaited::Change | Awaited::Verification => "svc-actuator",
        Awaited::Notice => "svc-notifier",
    }
}

/// `45s`, `10m`, `2h`.
pub(crate) fn limit(seconds: u64) -> String {
    match seconds {
        seconds if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        seconds if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

/// The token of an apply mode.
pub(crate) const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Unspecified => "unspecified",
        Mode::Suggest => "suggest",
        Mode::Auto => "auto",
    }
}

/// The token of a reason, as the watcher gives it.
pub(crate) const fn resolved(reason: ResolvedReason) -> &'static str {
    match reason {
        ResolvedReason::Unspecified => "UNSPECIFIED",
        ResolvedReason::Recovered => "RECOVERED",
        ResolvedReason::Gone => "GONE",
    }
}

/// What a fix does, without "the remedy is".
pub(crate) fn remedy(remedy: &Remedy) -> Option<String> {
    Some(match remedy.fix.as_ref()? {
        Fix::RollBack(fix) => format!("roll back to revision {}", fix.to_revision),
        Fix::SetMemory(fix) => {
            let container = text::line(&fix.container, 63);
            let limit = bytes(fix.limit);
            if fix.request == 0 {
                format!("set the memory limit of container {container} to {limit}")
            } else {
                let request = bytes(fix.request);
                format!(
                    "set the memory limit of container {container} to {limit}, its request to {request}"
                )
            }
        }
    })
}

/// As Kubernetes writes quantities: without a fraction, in the unit that makes it shortest, in a
/// binary one where that is no longer.
fn bytes(bytes: u64) -> String {
    const BINARY: [(u64, &str); 3] = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    const DECIMAL: [(u64, &str); 3] = [(1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")];
    let in_units = |units: [(u64, &str); 3]| {
        let fits = |(size, _): &(u64, &str)| bytes != 0 && bytes.is_multiple_of(*size);
        let (size, unit) = units.into_iter().find(fits)?;
        Some(format!("{}{unit}", bytes / size))
    };
    [in_units(BINARY), in_units(DECIMAL)]
        .into_iter()
        .flatten()
        .min_by_key(String::len)
        .unwrap_or_else(|| bytes.to_string())
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::{RollBack, SetMemory};

    use super::*;

    #[test]
    fn fixes_read_as_sentences() {
        let set = |limit, request| {
            Some(Fix::SetMemory(SetMemory {
                container: "app".to_owned(),
                limit,
                request,
            }))
        };
        let cases = [
            (
                Some(Fix::RollBack(RollBack { to_revision: 3 })),
                Some("roll back to revision 3"),
            ),
            (
                set(128 << 20, 0),
                Some("set the memory limit of container app to 128Mi"),
            ),
            (
                set(3 << 30, 1025),
                Some("set the memory limit of container app to 3Gi, its request to 1025"),
            ),
            (
                set(128_000_000, 0),
                Some("set the memory limit of container app to 128M"),
            ),
            (None, None),
        ];
        for (fix, expected) in cases {
            let found = remedy(&Remedy {
                fix,
                ..Remedy::default()
            });
            assert_eq!(found.as_deref(), expected);
        }
    }
}
