//! Listening: what is made while the example runs, of its namespace and of no other.

use crate::bed::{Bed, Case, FOREIGN, OWN};
use crate::example::{Example, sorted};

async fn hears_its_own_and_no_other(example: Example) {
    let bed = Bed::start().await;
    bed.diagnose(&[Case(0, OWN)]).await;
    bed.copied("EXTERNAL_DIAGNOSED_JSON", 1).await;
    let mut running = example.start(&bed, OWN).await;
    bed.listened_to(&format!("bonesetter.v1.diagnosed-json.*.{OWN}.>"))
        .await;
    let own = [Case(2, OWN), Case(4, OWN)];
    bed.diagnose(&[Case(1, FOREIGN), own[0], Case(3, FOREIGN), own[1]])
        .await;
    bed.copied("EXTERNAL_DIAGNOSED_JSON", 5).await;
    // What is heard comes in order: before this one all that was stored before it.
    let last = Case(5, OWN);
    bed.diagnose(&[last]).await;
    // Twins are made several at a time.
    let first = sorted(running.print(own.len()).await);
    assert_eq!(first, sorted(own.map(Case::line)));
    assert_eq!(running.print(1).await, [last.line()]);
    let (more, _) = running.end().await;
    assert!(more.is_empty(), "{more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_nats_command() {
    hears_its_own_and_no_other(Example::Cli("listen.sh")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_python() {
    hears_its_own_and_no_other(Example::Python("listen.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_go() {
    hears_its_own_and_no_other(Example::Go("listen")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_rust() {
    hears_its_own_and_no_other(Example::Rust("listen")).await;
}
