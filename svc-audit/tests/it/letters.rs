//! Dead letters that wait for a decision, as the keeper counts them.

use bonesetter_chassis::topology::{ENRICHER, redrive_of};
use bonesetter_proto::v1::RedriveAction;

use crate::keeping::Keeping;

async fn assert_open(bed: &Keeping, count: u64) {
    bed.keep().await;
    let text = bed.metrics();
    let name = "bonesetter_keeper_open_dead_letters";
    let series = format!("{name}{{consumer=\"enricher\"}} {count}\n");
    assert!(text.contains(&series), "{series}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_open_until_somebody_has_decided_and_again_after_the_next() {
    let mut bed = Keeping::start(i64::MAX).await;
    assert_open(&bed, 0).await;
    bed.nats.open_incidents("a").await;
    bed.take_all_but(&ENRICHER, |_| true).await;
    assert_open(&bed, 1).await;
    bed.decide(RedriveAction::Handle, &ENRICHER, 1).await;
    assert_open(&bed, 0).await;
    // It dies again, and the letter that says so is not answered.
    bed.take_all_but(redrive_of(&ENRICHER).unwrap(), |_| true)
        .await;
    assert_open(&bed, 1).await;
    bed.replace_keeper().await;
    assert_open(&bed, 1).await;
    bed.drop().await;
}
