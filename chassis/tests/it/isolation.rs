use bonesetter_chassis::bus::{PublishError, ReadError, StreamReader};
use bonesetter_chassis::topology::{AUDIT, ENRICHED, REDACTED, STREAMS};
use bonesetter_proto::Stage;
use bonesetter_proto::v1::Archived;

use crate::attacks::behind_the_boundary;
use crate::bed::{Bed, subject};

#[tokio::test(flavor = "multi_thread")]
async fn the_raw_stream_is_closed_to_everybody_behind_the_boundary() {
    let bed = Bed::start().await;
    for user in behind_the_boundary().chain(["keeper", "provisioner"]) {
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

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_job_alone_tells_of_itself_and_it_sees_nothing_else() {
    let bed = Bed::start().await;
    let subject = subject(0, "open").at(Stage::Audit, "archived-1");
    let ledger = bed
        .service("svc-audit")
        .await
        .publisher::<Archived>()
        .unwrap();
    let error = ledger
        .publish(&subject, Archived::default(), "")
        .await
        .unwrap_err();
    assert!(
        matches!(error, PublishError::NotAllowed { .. }),
        "{error:?}"
    );
    let archive = bed.service("svc-audit-export").await;
    archive
        .publisher::<Archived>()
        .unwrap()
        .publish(&subject, Archived::default(), "")
        .await
        .expect("published");
    for stream in STREAMS.iter().filter(|stream| **stream != AUDIT) {
        let reader = StreamReader::new(archive.bus.clone(), stream.name);
        let error = reader.at(1).await.unwrap_err();
        assert!(matches!(error, ReadError::NotAllowed { .. }), "{error}");
    }
}
