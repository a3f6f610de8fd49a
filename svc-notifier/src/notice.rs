//! What is to be told, whichever channel it goes through.

use bonesetter_keys::content_hash;
use bonesetter_proto::v1::{
    Acted, Detected, Diagnosed, FailureClass, Incident, NoticeKind, ObjectRef, Overdue,
    ResolvedReason, Step,
};
use bonesetter_proto::{Stage, Subject};
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::words;

/// How an incident ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// `RECOVERED` or `GONE`.
    pub reason: String,
    /// Unix seconds; 0 when the watcher did not say.
    pub at: i64,
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Of the message that it answers.
    pub subject: Subject,
    /// Which incident.
    pub incident: Incident,
    /// As it was known then.
    pub failure_class: FailureClass,
    /// What is told.
    pub kind: NoticeKind,
    /// What svc-actuator decided or did; absent in the end of an incident.
    pub acted: Option<Acted>,
    /// What it rests on; its signature has been checked.
    pub diagnosed: Option<Diagnosed>,
    /// Set when the incident has ended.
    pub resolution: Option<Resolution>,
    /// Set when it is that something has not come in time.
    pub overdue: Option<Overdue>,
}

/// Why a message cannot be told to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// It names no incident.
    #[error("the message names no incident")]
    NoIncident,
    /// The incident inside is not that of the subject.
    #[error("the message is about another incident than its subject")]
    OtherIncident,
    /// The diagnosis inside is about another incident.
    #[error("the diagnosis inside is about another incident")]
    OtherDiagnosis,
}

impl Notice {
    /// What a step of svc-actuator has to tell; `None` where it is not for people: the intent is
    /// followed at once by what came of it.
    pub fn of_acted(
        subject: &Subject,
        acted: &Acted,
        diagnosed: Option<Diagnosed>,
    ) -> Result<Option<Self>, NoticeError> {
        let kind = match acted.step() {
            Step::Proposed => NoticeKind::Incident,
            Step::Applied => NoticeKind::Applied,
            Step::Verified => NoticeKind::Verified,
            Step::RolledBack => NoticeKind::RolledBack,
            Step::Refused | Step::Stuck => NoticeKind::Attention,
            Step::Intended | Step::Unspecified => return Ok(None),
        };
        let incident = incident_of(subject, acted.incident.as_ref())?;
        let diagnosed_incident = diagnosed
            .as_ref()
            .and_then(|message| message.incident.as_ref());
        if diagnosed_incident.is_some_and(|other| other.id != incident.id) {
            return Err(NoticeError::OtherDiagnosis);
        }
        Ok(Some(Self {
            subject: subject.clone(),
            incident,
            failure_class: acted.failure_class(),
            kind,
            acted: Some(acted.clone()),
            diagnosed,
            resolution: None,
            overdue: None,
        }))
    }

    /// The end of an incident; `None` for every other phase.
    pub fn of_detected(
        subject: &Subject,
        detected: &Detected,
    ) -> Result<Option<Self>, NoticeError> {
        if detected.resolved_reason() == ResolvedReason::Unspecified {
            return Ok(None);
        }
        let resolution = Resolution {
            reason: words::resolved(detected.resolved_reason()).to_owned(),
            at: detected.resolved_at.as_ref().map_or(0, |at| at.seconds),
        };
        Ok(Some(Self {
            subject: subject.clone(),
            incident: incident_of(subject, detected.incident.as_ref())?,
            failure_class: detected.failure_class(),
            kind: NoticeKind::Resolved,
            acted: None,
            diagnosed: None,
            resolution: Some(resolution),
            overdue: None,
        }))
    }

    /// The bare fact that something has not come in time.
    pub fn of_overdue(subject: &Subject, overdue: &Overdue) -> Result<Self, NoticeError> {
        Ok(Self {
            subject: subject.clone(),
            incident: incident_of(subject, overdue.incident.as_ref())?,
            failure_class: overdue.failure_class(),
            kind: NoticeKind::Overdue,
            acted: None,
            diagnosed: None,
            resolution: None,
            overdue: Some(overdue.clone()),
        })
    }

    /// The step under which it is published, and its name within the incident.
    pub fn step(&self) -> String {
        format!("{}-{}", words::kind(self.kind), self.subject.step)
    }

    /// The notice of the change that this is the outcome of, by its [`Notice::step`].
    pub fn follows(&self) -> Option<String> {
        let acted = self.acted.as_ref()?;
        if !matches!(
            acted.step(),
            Step::Verified | Step::RolledBack | Step::Stuck
        ) {
            return None;
        }
        let cause: Subject = acted.envelope.as_ref()?.caused_by.parse().ok()?;
        let is_change = cause.stage == Stage::Acted && cause.incident == self.subject.incident;
        is_change.then(|| format!("{}-{}", words::kind(NoticeKind::Applied), cause.step))
    }

    /// The same for every attempt to tell it, so that a receiver can drop a repetition.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.incident.id, self.step())
    }

    /// What fails.
    pub fn workload(&self) -> ObjectRef {
        self.incident.root_owner.clone().unwrap_or_default()
    }

    /// Equal for diagnoses that say the same; `None` without a diagnosis.
    pub fn cause(&self) -> Option<String> {
        let diagnosis = self.diagnosed.as_ref()?.diagnosis.as_ref()?;
        Some(if diagnosis.cause.is_empty() {
            content_hash(diagnosis.root_cause.as_bytes())
        } else {
            diagnosis.cause.clone()
        })
    }
}

fn incident_of(subject: &Subject, incident: Option<&Incident>) -> Result<Incident, NoticeError> {
    let incident = incident.ok_or(NoticeError::NoIncident)?;
    if incident.id == subject.incident.as_str() {
        Ok(incident.clone())
    } else {
        Err(NoticeError::OtherIncident)
    }
}

/// RFC 3339 to the second, in UTC; `None` outside the years that RFC 3339 can write.
pub(crate) fn rfc3339(seconds: i64) -> Option<String> {
    jiff::Timestamp::from_second(seconds)
        .ok()
        .map(|at| at.to_string())
}

/// Of a protobuf timestamp.
pub(crate) fn time(at: Option<&Timestamp>) -> Option<String> {
    at.and_then(|at| rfc3339(at.seconds))
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::Awaited;

    use super::*;
    use crate::samples;

    #[test]
    fn each_step_is_told_under_its_kind() {
        let cases = [
            (Step::Proposed, Some("incident-s")),
            (Step::Intended, None),
            (Step::Applied, Some("applied-s")),
            (Step::Refused, Some("attention-s")),
            (Step::Verified, Some("verified-s")),
            (Step::RolledBack, Some("rolled-back-s")),
            (Step::Stuck, Some("attention-s")),
            (Step::Unspecified, None),
        ];
        for (step, expected) in cases {
            let (subject, acted) = samples::acted(step, "s");
            let notice = Notice::of_acted(&subject, &acted, None).unwrap();
            assert_eq!(
                notice.map(|notice| notice.step()).as_deref(),
                expected,
                "{step:?}"
            );
        }
    }

    #[test]
    fn messages_about_another_incident_are_refused() {
        let (subject, acted) = samples::acted(Step::Proposed, "proposed");
        let other = Incident {
            id: "z".repeat(26),
            ..Incident::default()
        };
        let foreign = Acted {
            incident: Some(other.clone()),
            ..acted.clone()
        };
        assert_eq!(
            Notice::of_acted(&subject, &foreign, None).unwrap_err(),
            NoticeError::OtherIncident
        );
        let diagnosed = Diagnosed {
            incident: Some(other),
            ..samples::diagnosed()
        };
        assert_eq!(
            Notice::of_acted(&subject, &acted, Some(diagnosed)).unwrap_err(),
            NoticeError::OtherDiagnosis
        );
        let nameless = Acted {
            incident: None,
            ..acted
        };
        assert_eq!(
            Notice::of_acted(&subject, &nameless, None).unwrap_err(),
            NoticeError::NoIncident
        );
    }

    #[test]
    fn what_is_overdue_is_told_under_the_step_of_the_sweeper() {
        let notice = samples::overdue(Awaited::Diagnosis, "diagnosis-open");
        assert_eq!(notice.step(), "overdue-diagnosis-open");
    }

    #[test]
    fn only_the_end_of_an_incident_is_told_from_what_was_detected() {
        let (subject, detected) = samples::resolved(ResolvedReason::Gone);
        let notice = Notice::of_detected(&subject, &detected).unwrap().unwrap();
        assert_eq!(notice.step(), "resolved-resolved");
        assert_eq!(notice.resolution.unwrap().reason, "GONE");
        let (subject, detected) = samples::resolved(ResolvedReason::Unspecified);
        assert_eq!(Notice::of_detected(&subject, &detected).unwrap(), None);
    }
}
