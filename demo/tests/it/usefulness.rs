use bonesetter_chassis::bus::StreamReader;
use bonesetter_chassis::topology::ENRICHED;
use bonesetter_keys::SealingKeys;
use bonesetter_proto::Stage;
use bonesetter_proto::v1::{Enriched, Evidence};
use bonesetter_redact::{Redactor, Rules};
use prost::Message as _;

use crate::Outcome;

#[path = "../../examples/usefulness/answers.rs"]
mod answers;

use answers::Answers;

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
        let key = message.subject.as_bytes();
        let answers = Answers::about(raw, class, &redactor, key).expect("answers");
        assert_eq!(answers.redacted, answers.raw, "{}", message.subject);
    }
}
