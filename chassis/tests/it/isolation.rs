use bonesetter_chassis::bus::{ReadError, StreamReader};
use bonesetter_chassis::topology::{ENRICHED, REDACTED};

use crate::bed::Bed;

#[tokio::test(flavor = "multi_thread")]
async fn the_raw_stream_is_closed_to_everybody_behind_the_boundary() {
    let bed = Bed::start().await;
    for user in [
        "svc-llm",
        "svc-actuator",
        "svc-notifier",
        "svc-audit",
        "operator",
    ] {
        let reader = StreamReader::new(bed.bus(user).await, ENRICHED.name);
        let error = reader.at(1).await.unwrap_err();
        assert!(
            matches!(error, ReadError::NotAllowed { .. }),
            "{user}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_reads_what_is_redacted() {
    let bed = Bed::start().await;
    let reader = StreamReader::new(bed.bus("operator").await, REDACTED.name);
    assert_eq!(reader.at(1).await.unwrap(), None);
}
