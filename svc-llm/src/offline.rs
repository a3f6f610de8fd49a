//! Diagnosis without a bus: what `bonesetter scan`, `diagnose` and `replay` use.

use std::borrow::Borrow;

use bonesetter_proto::v1::{self, Diagnosed, Diagnosis, Evidence, FailureClass};
use bonesetter_redact::Redacted;

use crate::case::Case;
use crate::ground::{excerpts, ground};
use crate::provider::Diagnosers;
use crate::rules;

/// The rules' diagnosis of redacted evidence.
pub fn diagnose_offline<T: Borrow<Evidence>>(
    evidence: &Redacted<T>,
    class: FailureClass,
) -> Diagnosis {
    let case = Case::of_evidence(evidence, class);
    ground(&case, rules::diagnose(&case))
}

/// As [`diagnose_offline`], with the excerpts that show what it rests on; without envelope and incident.
pub fn explain_offline<T: Borrow<Evidence>>(
    evidence: &Redacted<T>,
    class: FailureClass,
) -> Diagnosed {
    let case = Case::of_evidence(evidence, class);
    conclude(&case, rules::diagnose(&case))
}

/// What these diagnosers make of redacted evidence; without envelope and incident.
pub async fn diagnose_evidence<T: Borrow<Evidence>>(
    diagnosers: &Diagnosers,
    evidence: &Redacted<T>,
    class: FailureClass,
) -> Diagnosed {
    let case = Case::of_evidence(evidence, class);
    let diagnosis = diagnosers.diagnose(&case).await;
    conclude(&case, diagnosis)
}

/// What these diagnosers make of a message, as the service would publish it but for the envelope; `None`
/// if it holds no evidence.
pub async fn diagnose_message(
    diagnosers: &Diagnosers,
    message: &Redacted<v1::Redacted>,
) -> Option<Diagnosed> {
    let case = Case::of_message(message)?;
    let diagnosis = diagnosers.diagnose(&case).await;
    let mut diagnosed = conclude(&case, diagnosis);
    diagnosed.incident.clone_from(&message.get().incident);
    Some(diagnosed)
}

/// Checks a diagnosis against the evidence and adds the excerpts.
pub(crate) fn conclude(case: &Case<'_>, diagnosis: Diagnosis) -> Diagnosed {
    let diagnosis = ground(case, diagnosis);
    Diagnosed {
        envelope: None,
        incident: None,
        failure_class: case.class().into(),
        excerpts: excerpts(case.evidence(), &diagnosis.citations),
        diagnosis: Some(diagnosis),
        target: case.target().cloned(),
    }
}
