use bonesetter_proto::Writer;
use bonesetter_proto::v1::{DeadLetter, Notified, Step};

use crate::bed::{Bed, titles};

#[tokio::test(flavor = "multi_thread")]
async fn a_diagnosis_that_svc_llm_did_not_sign_is_shown_to_nobody() {
    let bed = Bed::start().await;
    bed.accept().await;
    let letters = bed
        .while_running(async {
            // The actuator itself is believed, the diagnosis that it passes on is not.
            bed.act(Step::Proposed, "proposed", "crash", Writer::Actuator)
                .await;
            bed.stored::<DeadLetter>(1).await
        })
        .await;
    assert_eq!(letters[0].1.reason, "unsigned-diagnosis");
    assert!(bed.stored::<Notified>(0).await.is_empty());
    assert!(titles(&bed.slack).await.is_empty());
}
