use std::collections::BTreeSet;

use bonesetter_demo::scenario::{Ending, SCENARIOS};
use bonesetter_keys::content_hash;
use serde_json::Value;
use sqlx::Row as _;

use crate::Outcome;

/// Every step that the streams hold of an incident has exactly one row.
pub(crate) async fn every_step_has_a_row(outcome: &Outcome) {
    let pool = sqlx::PgPool::connect(&outcome.environment.database_url)
        .await
        .expect("connected");
    for scenario in SCENARIOS
        .iter()
        .filter(|scenario| scenario.ending != Ending::Silence)
    {
        let record = outcome.story.record(scenario.workload).expect("a record");
        for step in record
            .steps
            .iter()
            .filter(|step| step.stream != "BONESETTER_AUDIT")
        {
            let rows = sqlx::query(
                "select event_type, user_id, session_id, namespace from audit.audit_events \
                 where stream = $1 and stream_sequence = $2",
            )
            .bind(step.stream)
            .bind(i64::try_from(step.sequence).expect("small"))
            .fetch_all(&pool)
            .await
            .expect("read");
            assert_eq!(rows.len(), 1, "{}", step.subject);
            assert_eq!(
                rows[0].get::<String, _>("session_id"),
                step.subject.incident.as_str()
            );
            assert_eq!(
                rows[0].get::<Option<String>, _>("namespace").as_deref(),
                Some(scenario.namespace)
            );
            assert!(
                rows[0].get::<String, _>("user_id").starts_with("svc-"),
                "{}",
                step.subject
            );
        }
    }
    let queries: i64 = sqlx::query_scalar(
        "select count(*) from audit.audit_events where jsonb_array_length(coalesce(tool_calls, '[]')) > 0",
    )
    .fetch_one(&pool)
    .await
    .expect("counted");
    assert!(
        queries >= 8,
        "the queries of {queries} incidents are recorded"
    );
    pool.close().await;
}

/// Every archived object is what the stream says it is, and cannot be deleted, by anybody.
pub(crate) async fn rows_are_archived_under_lock(outcome: &Outcome) {
    let s3 = outcome.environment.state.s3_root().expect("MinIO");
    let mut keys = BTreeSet::new();
    for scenario in SCENARIOS
        .iter()
        .filter(|scenario| scenario.ending != Ending::Silence)
    {
        let record = outcome.story.record(scenario.workload).expect("a record");
        for step in &record.steps {
            let bonesetter::timeline::Body::Archived(archived) = &step.body else {
                continue;
            };
            let object = s3
                .get_object(&archived.key)
                .await
                .expect("the archived object");
            assert_eq!(content_hash(&object), archived.sha256, "{}", archived.key);
            assert!(
                lines_of(&object, step.subject.incident.as_str()) > 0,
                "{}",
                archived.key
            );
            keys.insert(archived.key.clone());
        }
    }
    assert!(!keys.is_empty(), "nothing was archived");
    for version in s3.list_object_versions("events/").await.expect("listed") {
        let retention = s3
            .get_object_retention(&version.key, &version.version_id)
            .await
            .expect("a retention");
        assert_eq!(retention.mode, "COMPLIANCE", "{}", version.key);
    }
}

fn lines_of(object: &[u8], incident: &str) -> usize {
    String::from_utf8_lossy(object)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"))
        .filter(|event| event["session_id"] == incident)
        .count()
}
