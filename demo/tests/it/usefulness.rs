use std::borrow::Borrow;
use std::collections::HashMap;

use bonesetter_chassis::bus::StreamReader;
use bonesetter_chassis::topology::ENRICHED;
use bonesetter_keys::SealingKeys;
use bonesetter_proto::Stage;
use bonesetter_proto::v1::{Diagnosed, Enriched, Evidence};
use bonesetter_redact::{Redact, RedactError, Redactor, Rules, Session, redact, restore};
use prost::Message as _;

use crate::Outcome;

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

/// What a diagnosis says, with values in the place of placeholders.
fn said(diagnosed: &Diagnosed, values: &HashMap<String, String>) -> Vec<String> {
    let diagnosis = diagnosed.diagnosis.clone().expect("a diagnosis");
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
    restored.collect()
}

/// The offline rules say the same about the raw evidence of every scenario and about what is left of it.
pub(crate) async fn redaction_costs_no_answer(outcome: &Outcome) {
    let environment = &outcome.environment;
    let bus = environment
        .connect("svc-redactor-replay")
        .await
        .expect("connected");
    let seal = SealingKeys::read(&environment.keys.evidence()).expect("the key of evidence");
    let redactor = Redactor::new(Rules::builtin().expect("rules")).expect("rules");
    let stored = StreamReader::new(bus, ENRICHED.name)
        .all(&Stage::Enriched.filter())
        .await
        .expect("readable");
    assert!(stored.len() >= 8, "only {} messages", stored.len());
    for message in stored {
        let enriched = Enriched::decode(message.payload.clone()).expect("a message");
        let class = enriched.failure_class();
        let sealed = enriched.evidence.expect("sealed evidence");
        let plain = seal.open(&message.subject, &sealed).expect("opened");
        let raw = Evidence::decode(plain.as_slice()).expect("evidence");
        let mut session = redactor.session(message.subject.as_bytes());
        session.keep_values();
        let left = svc_redactor::redact_evidence(raw.clone(), &mut session).expect("redacted");
        let values: HashMap<String, String> = session
            .values()
            .map(|(placeholder, value)| (placeholder.to_owned(), value.to_owned()))
            .collect();
        let raw = redact(Raw(raw), &mut session).expect("as it is");
        assert_eq!(
            said(&svc_llm::explain_offline(&left, class), &values),
            said(&svc_llm::explain_offline(&raw, class), &values),
            "{}",
            message.subject
        );
    }
}
