use bonesetter_proto::Stage;
use bonesetter_proto::v1::{DeadLetter, Evidence, Redacted};
use prost::Message as _;

use crate::bed::{Bed, log, subject};

const SECRET: &str = "correct-horse-battery-7";

fn evidence() -> Evidence {
    let line = format!("login with password={SECRET}");
    log("log/p/app/previous", &[&line])
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

    let message: Redacted = bed.believed(&stored);
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
