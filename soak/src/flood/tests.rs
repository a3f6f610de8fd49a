//! A small flood, always the same. No times and no rates.

use std::path::Path;
use std::time::Duration;

use super::{Options, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_worked_off_once_in_bounded_memory_and_nobody_takes_more_than_it_may() {
    let options = Options {
        sources: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        messages: 120,
        seed: 4,
        delay: Duration::from_millis(50),
    };
    let outcome = Box::pin(run(&options)).await.expect("worked off");
    assert!(outcome.is_once(), "{outcome:?}");
    assert!(outcome.is_held_back(), "{outcome:?}");
    assert!(outcome.is_bounded(), "{outcome:?}");
}
