use bonesetter_proto::Writer;
use bonesetter_proto::v1::{NoticeKind, Notified, Step};

use crate::bed::{Bed, kinds, titles};

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_without_a_diagnosis_and_again_when_it_comes_after_all() {
    let bed = Bed::start().await;
    bed.accept().await;
    let notified = bed
        .while_running(async {
            bed.miss_diagnosis().await;
            bed.stored::<Notified>(1).await;
            bed.act(Step::Proposed, "proposed", "crash", Writer::Llm)
                .await;
            bed.stored::<Notified>(2).await;
            bed.resolve().await;
            bed.stored::<Notified>(3).await
        })
        .await;
    let told: Vec<_> = notified
        .iter()
        .map(|(step, message)| (step.as_str(), message.kind()))
        .collect();
    assert_eq!(
        told,
        [
            ("overdue-diagnosis-open", NoticeKind::Overdue),
            ("incident-proposed", NoticeKind::Incident),
            ("resolved-resolved", NoticeKind::Resolved),
        ]
    );
    assert_eq!(
        kinds(&bed.webhook).await,
        ["overdue", "incident", "resolved"]
    );
    assert_eq!(
        titles(&bed.slack).await[..2],
        [
            "Unknown failure, not diagnosed yet: Deployment shop/cart",
            "Unknown failure: Deployment shop/cart. it fails",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_and_was_told_meanwhile_is_not_told_as_overdue() {
    let bed = Bed::start().await;
    bed.accept().await;
    bed.while_running(async {
        bed.act(Step::Proposed, "proposed", "crash", Writer::Llm)
            .await;
        bed.stored::<Notified>(1).await;
        bed.miss_diagnosis().await;
        bed.overdue_is_handled().await;
    })
    .await;
    assert_eq!(kinds(&bed.webhook).await, ["incident"]);
    assert_eq!(bed.stored::<Notified>(1).await.len(), 1);
}
