use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_chassis::bus::header;
use bonesetter_keys::{Signature, VerifyingKeys};
use bonesetter_proto::Stage;
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{DeadLetter, Evidence, EvidenceItem, LogChunk, LogLine, Redacted};
use prost::Message as _;

use crate::bed::{Bed, subject};

const SECRET: &str = "correct-horse-battery-7";

fn evidence() -> Evidence {
    let line = LogLine {
        text: format!("login with password={SECRET}"),
        ..LogLine::default()
    };
    let chunk = LogChunk {
        lines: vec![line],
        ..LogChunk::default()
    };
    let item = EvidenceItem {
        id: "log/p/app/previous".into(),
        content: Some(Content::Log(chunk)),
    };
    Evidence {
        items: vec![item],
        ..Evidence::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_evidence_comes_out_redacted_and_signed() {
    let bed = Bed::start().await;
    let subject = subject("reclassified-1");
    bed.publish(&evidence(), &subject, &subject).await;
    let stored = bed.first(Stage::Redacted).await;
    assert_eq!(
        stored.subject,
        subject.at(Stage::Redacted, "reclassified-1").to_string()
    );
    let text = String::from_utf8_lossy(&stored.payload);
    assert!(
        text.contains("login with password=<secret:") && !text.contains(SECRET),
        "{text}"
    );

    let trusted = VerifyingKeys::read(&bed.keys.trusted()).unwrap();
    let signature = Signature {
        key_id: stored.header(header::KEY_ID).unwrap().to_owned(),
        bytes: STANDARD
            .decode(stored.header(header::SIGNATURE).unwrap())
            .unwrap(),
    };
    let message = trusted
        .verify::<Redacted>(&stored.subject, &stored.payload, &signature)
        .unwrap()
        .into_inner();
    assert_eq!(message.removals[0].place, "log/p/app/previous");
    assert_eq!(message.envelope.unwrap().caused_by, subject.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_for_another_subject_is_not_passed_on() {
    let bed = Bed::start().await;
    bed.publish(&evidence(), &subject("open"), &subject("reclassified-1"))
        .await;
    let letter = bed.first(Stage::Dlq).await;
    let text = String::from_utf8_lossy(&letter.payload).into_owned();
    let letter = DeadLetter::decode(letter.payload).unwrap();
    assert_eq!(letter.reason, "unsealable");
    assert!(!text.contains(SECRET), "{text}");
    assert_eq!(bed.count(Stage::Redacted).await, 0);
}
