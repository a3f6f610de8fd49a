//! What the offline rules say about evidence, with and without redaction.

use std::borrow::Borrow;
use std::collections::HashMap;

use anyhow::Context as _;
use bonesetter_proto::v1::{Diagnosed, Evidence, FailureClass};
use bonesetter_redact::{Redact, RedactError, Redactor, Session, redact, restore};

/// Raw evidence, passed off as redacted.
struct Raw(Evidence);

impl Redact for Raw {
    fn redact(self, _: &mut Session) -> Result<Self, RedactError> {
        Ok(self)
    }
}

impl Borrow<Evidence> for Raw {
    fn borrow(&self) -> &Evidence {
        &self.0
    }
}

/// Both answers about the same evidence: cause, texts, confidence and remedy, citations; with values in the place of
/// placeholders.
pub(crate) struct Answers {
    pub(crate) raw: Vec<String>,
    pub(crate) redacted: Vec<String>,
}

impl Answers {
    /// Asks the rules twice.
    pub(crate) fn about(
        raw: Evidence,
        class: FailureClass,
        redactor: &Redactor,
        key: &[u8],
    ) -> anyhow::Result<Self> {
        let mut session = redactor.session(key);
        session.keep_values();
        let left = svc_redactor::redact_evidence(raw.clone(), &mut session)?;
        let values: HashMap<String, String> = session
            .values()
            .map(|(placeholder, value)| (placeholder.to_owned(), value.to_owned()))
            .collect();
        let raw = redact(Raw(raw), &mut session)?;
        Ok(Self {
            raw: said(&svc_llm::explain_offline(&raw, class), &values)?,
            redacted: said(&svc_llm::explain_offline(&left, class), &values)?,
        })
    }
}

fn said(diagnosed: &Diagnosed, values: &HashMap<String, String>) -> anyhow::Result<Vec<String>> {
    let diagnosis = diagnosed.diagnosis.clone().context("no diagnosis")?;
    let mut said = vec![
        diagnosis.cause,
        diagnosis.summary,
        diagnosis.root_cause,
        diagnosis.recommendation,
        format!("{:.2} {:?}", diagnosis.confidence, diagnosis.remedy),
    ];
    for citation in diagnosis.citations {
        said.push(format!("{}: {}", citation.evidence_id, citation.quote));
    }
    let restored = said.iter().map(|text| {
        restore(text, |placeholder| {
            values.get(placeholder).map(String::as_str)
        })
    });
    Ok(restored.collect())
}
