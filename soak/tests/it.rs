//! A short soak, always the same faults: what `make soak` does for as long as one wants.

use std::path::Path;
use std::time::Duration;

use bonesetter_soak::run::{Options, run};
use bonesetter_testbed::State;

#[tokio::test]
async fn two_minutes_of_faults_lose_nothing_and_do_nothing_twice() {
    let options = Options {
        sources: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        length: Duration::from_mins(2),
        seed: 300,
    };
    let testbed = State::load().expect("a testbed");
    let outcome = Box::pin(run(testbed, &options)).await.expect("a soak");
    assert!(outcome.is_good(), "{:?}", outcome.verdict.breaches);
    assert!(outcome.failures > 10, "{outcome:?}");
    assert!(outcome.kills > 5, "{outcome:?}");
    assert_eq!(outcome.verdict.incidents, outcome.failures);
}
