//! Replaying with a durable consumer: what is kept, then what comes, each once when it is
//! acknowledged, and never what is not signed by who should have signed it.

use crate::bed::{Bed, Case, FOREIGN, OWN};
use crate::example::{Example, sorted};

const PROTOBUF: &str = "EXTERNAL_DIAGNOSED";
const JSON: &str = "EXTERNAL_DIAGNOSED_JSON";

/// Messages are kept when it starts, and new ones come while it runs, also after a rotation of keys, and
/// while it does not. What is forged is handed back for later.
async fn goes_on_where_it_was(example: Example, stream: &str) {
    let bed = Bed::start().await;
    bed.forge(Case(1, OWN)).await;
    let kept = [Case(2, OWN), Case(4, OWN)];
    bed.diagnose(&[Case(0, FOREIGN), kept[0], Case(3, FOREIGN), kept[1]])
        .await;
    bed.copied(stream, 5).await;

    let mut running = example.start(&bed, OWN).await;
    let first = sorted(running.print(2).await);
    assert_eq!(first, sorted(kept.map(Case::line)));
    bed.rotate();
    let live = Case(6, OWN);
    bed.diagnose(&[Case(5, FOREIGN), live]).await;
    assert_eq!(running.print(1).await, [live.line()]);
    bed.settled(stream, 1).await;
    let (more, complaints) = running.end().await;
    assert!(more.is_empty(), "{more:?}");
    assert!(complaints.contains("not signed"), "{complaints}");

    let missed = Case(7, OWN);
    bed.diagnose(&[missed]).await;
    let mut running = example.start(&bed, OWN).await;
    assert_eq!(running.print(1).await, [missed.line()]);
    bed.settled(stream, 1).await;
    let (more, _) = running.end().await;
    assert!(more.is_empty(), "{more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_python_with_json() {
    goes_on_where_it_was(Example::Python("replay_json.py"), JSON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_python_with_protobuf() {
    goes_on_where_it_was(Example::Python("replay_protobuf.py"), PROTOBUF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_go() {
    goes_on_where_it_was(Example::Go("replay"), PROTOBUF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_rust() {
    goes_on_where_it_was(Example::Rust("replay"), PROTOBUF).await;
}

/// The script ends when it has printed what waits for it; it verifies nothing.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_nats_command() {
    let bed = Bed::start().await;
    let kept = [Case(1, OWN), Case(3, OWN)];
    bed.diagnose(&[Case(0, FOREIGN), kept[0], Case(2, FOREIGN), kept[1]])
        .await;
    bed.copied(JSON, 4).await;
    let replay = async || {
        Example::Cli("replay.sh")
            .start(&bed, OWN)
            .await
            .finish()
            .await
    };
    let (is_good, lines, complaints) = replay().await;
    assert!(is_good, "{complaints}");
    assert_eq!(sorted(lines), sorted(kept.map(Case::line)));
    bed.settled(JSON, 0).await;

    let (is_good, lines, complaints) = replay().await;
    assert!(is_good, "{complaints}");
    assert!(lines.is_empty(), "{lines:?}");

    let missed = Case(5, OWN);
    bed.diagnose(&[Case(4, FOREIGN), missed]).await;
    bed.copied(JSON, 6).await;
    let (is_good, lines, complaints) = replay().await;
    assert!(is_good, "{complaints}");
    assert_eq!(lines, [missed.line()]);
}
