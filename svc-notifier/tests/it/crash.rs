//! What people see when svc-notifier is killed: at every instant that the outside can tell apart.

use bonesetter_proto::Writer;
use bonesetter_proto::v1::{Notified, Step};
use bonesetter_testbed::fault::Fuse;
use futures::future::join_all;

use crate::bed::{Bed, kinds, titles};

/// What it sent in all, to NATS and to receivers, from the message on until its acknowledgement, when
/// nothing happened to it.
async fn sent_in_peace() -> u64 {
    let bed = Bed::start().await;
    bed.accept().await;
    let fuse = Fuse::default();
    let peace = Box::pin(async {
        fuse.arm(u64::MAX);
        bed.act(Step::Proposed, "proposed", "crash", Writer::Llm)
            .await;
        bed.acted_is_handled().await;
    });
    bed.until_it_dies(&fuse, peace).await;
    fuse.sent()
}

/// Kills it before it can send one more, starts another one, and tells how often Slack and the webhook
/// were told.
async fn killed_after(sent: u64) -> (usize, usize) {
    let bed = Bed::start().await;
    bed.accept().await;
    let fuse = Fuse::default();
    let kill = Box::pin(async {
        fuse.arm(sent);
        bed.act(Step::Proposed, "proposed", "crash", Writer::Llm)
            .await;
        // How often it asks for messages meanwhile is not always the same.
        tokio::select! {
            () = fuse.blown() => {}
            () = bed.acted_is_handled() => {}
        }
    });
    bed.until_it_dies(&fuse, kill).await;
    let notified = bed
        .while_running(async {
            bed.acted_is_handled().await;
            bed.stored::<Notified>(1).await
        })
        .await;
    assert_eq!(notified.len(), 1, "killed after {sent}");
    let deliveries = &notified[0].1.deliveries;
    assert!(
        deliveries.len() == 2 && deliveries.iter().all(|it| it.delivered),
        "killed after {sent}: {deliveries:?}"
    );
    let keys = bed.webhook_keys().await;
    assert_eq!(keys.len(), 1, "killed after {sent}: one notice has one key");
    assert!(keys.contains(&deliveries[0].idempotency_key));
    (
        titles(&bed.slack).await.len(),
        kinds(&bed.webhook).await.len(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_instant_loses_nothing_and_repeats_what_was_not_recorded_only() {
    let all = Box::pin(sent_in_peace()).await;
    assert!(all > 5, "{all}");
    let told = join_all((0..all).map(|sent| Box::pin(killed_after(sent)))).await;
    for (sent, (slack, webhook)) in told.iter().enumerate() {
        // Never lost; a second time only for a post that was not recorded.
        assert!((1..=2).contains(slack), "killed after {sent}: {told:?}");
        assert!((1..=2).contains(webhook), "killed after {sent}: {told:?}");
    }
    let repeated = told.iter().filter(|(slack, _)| *slack == 2).count();
    assert!(
        repeated > 0,
        "no kill fell between post and record: {told:?}"
    );
    assert!(repeated < told.len() / 2, "{told:?}");
}
