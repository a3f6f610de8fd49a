//! Without the right: every example ends, says what it may not do, and prints nothing.

use crate::bed::{Bed, Case, FOREIGN, OWN};
use crate::example::Example;

const ALL: [Example; 9] = [
    Example::Cli("listen.sh"),
    Example::Cli("replay.sh"),
    Example::Python("listen.py"),
    Example::Python("replay_json.py"),
    Example::Python("replay_protobuf.py"),
    Example::Go("listen"),
    Example::Go("replay"),
    Example::Rust("listen"),
    Example::Rust("replay"),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_example_without_the_right_ends_and_names_what_it_may_not_do() {
    let bed = Bed::start().await;
    bed.diagnose(&[Case(0, FOREIGN)]).await;
    bed.copied("EXTERNAL_DIAGNOSED_JSON", 1).await;
    for example in ALL {
        let running = example.start(&bed, FOREIGN).await;
        let (is_good, lines, complaints) = running.finish().await;
        assert!(!is_good, "{example:?}: {complaints}");
        assert!(lines.is_empty(), "{example:?}: {lines:?}");
        // The client for Python writes what the server says in small letters.
        let said = complaints.to_lowercase();
        let names_it = said.contains("permissions violation") && said.contains(FOREIGN);
        assert!(names_it, "{example:?}: {complaints}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_example_with_a_key_that_nobody_knows_ends_and_says_so() {
    let bed = Bed::start().await;
    for example in ALL {
        let mut environment = bed.environment(OWN);
        environment.push(("NATS_NKEY", bed.unknown_seed()));
        let running = example.start_with(&bed, environment).await;
        let (is_good, lines, complaints) = running.finish().await;
        assert!(!is_good, "{example:?}: {complaints}");
        assert!(lines.is_empty(), "{example:?}: {lines:?}");
        let said = complaints.to_lowercase();
        assert!(
            said.contains("authorization violation"),
            "{example:?}: {complaints}"
        );
    }
}
