//! That it measures: every message of a small load goes through both ways, and is counted. No
//! times.

use crate::bed::Sync;
use crate::measure::{Effort, Place, one_stage};
use crate::six::six_stages;

const SMALL: Effort = Effort {
    rounds: 1,
    trickle: 5,
    seed: 7,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_stage_is_measured_beside_the_bare_client() {
    for (sync, place) in [(Sync::Always, Place::Plain), (Sync::Default, Place::Signed)] {
        let one = Box::pin(one_stage(sync, place, (1024, 40), SMALL));
        let one = one.await.unwrap();
        assert!(one.share().is_finite() && one.share() > 0.0);
        for (raw, own) in &one.idle {
            assert!(raw.p50_ms <= raw.p99_ms && own.p50_ms <= own.p99_ms);
        }
        assert_eq!((one.rounds.len(), one.idle.len()), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn six_stages_are_measured_beside_the_bare_client() {
    let six = Box::pin(six_stages(Sync::Always, (1024, 20), SMALL));
    let six = six.await.unwrap();
    assert!(six.share().is_finite() && six.share() > 0.0);
}
