//! Redaction costs no answer: asked of the evidence of every test of the rules.

use std::collections::HashMap;
use std::sync::LazyLock;

use bonesetter_proto::v1::{Citation, Diagnosis, Evidence, FailureClass};
use bonesetter_redact::{Redactor, restore};

use crate::case::Case;
use crate::rules::diagnose;

static REDACTOR: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(bonesetter_redact::Rules::builtin().unwrap()).unwrap());

/// Diagnoses what is left of evidence after redaction, and compares with the diagnosis of the raw evidence: all of
/// it, with values in the place of placeholders.
pub(super) fn check(evidence: &Evidence, class: FailureClass, raw: &Diagnosis) {
    let mut session = REDACTOR.session(b"a key");
    session.keep_values();
    let left = svc_redactor::redact_evidence(evidence.clone(), &mut session).unwrap();
    let values: HashMap<&str, &str> = session.values().collect();
    let redacted = diagnose(&Case::of_evidence(&left, class));
    let whole = |text: &str| restore(text, |placeholder| values.get(placeholder).copied());
    assert_eq!(restored(&redacted, whole), restored(raw, whole));
}

fn restored(diagnosis: &Diagnosis, whole: impl Fn(&str) -> String) -> Diagnosis {
    let citation = |cited: &Citation| Citation {
        quote: whole(&cited.quote),
        ..cited.clone()
    };
    Diagnosis {
        summary: whole(&diagnosis.summary),
        root_cause: whole(&diagnosis.root_cause),
        recommendation: whole(&diagnosis.recommendation),
        citations: diagnosis.citations.iter().map(citation).collect(),
        ..diagnosis.clone()
    }
}
