use std::collections::BTreeSet;
use std::process::Command;

use bonesetter_demo::environment::Environment;
use bonesetter_demo::run::programs;
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

/// `bonesetter incidents` of the ledger.
pub(crate) fn listed(environment: &Environment) -> Value {
    let tls = environment.state.nats().expect("NATS");
    let tls = tls.settings(&environment.keys, "operator").tls;
    let output = Command::new(programs().expect("programs").join("bonesetter"))
        .args(["incidents", "-o", "json", "--ledger"])
        .arg(format!("https://{}", environment.ledger))
        .arg("--ledger-ca-file")
        .arg(tls.ca_file.expect("TLS"))
        .arg("--ledger-certificate-file")
        .arg(tls.certificate_file.expect("TLS"))
        .arg("--ledger-key-file")
        .arg(tls.key_file.expect("TLS"))
        .output()
        .expect("bonesetter");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What the ledger says of each incident is what the scenario ends with.
pub(crate) fn the_read_side_lists_every_incident(outcome: &Outcome) {
    let listed = outcome.listed.as_array().expect("a list");
    for scenario in SCENARIOS
        .iter()
        .filter(|scenario| scenario.ending != Ending::Silence)
    {
        let record = outcome.story.record(scenario.workload).expect("a record");
        let id = record.steps[0].subject.incident.as_str();
        let found: Vec<_> = listed.iter().filter(|it| it["id"] == id).collect();
        assert_eq!(found.len(), 1, "{}: {listed:?}", scenario.workload);
        let incident = found[0];
        assert_eq!(incident["name"], scenario.workload);
        assert_eq!(incident["namespace"], scenario.namespace);
        assert_ne!(incident["class"], "unknown", "{}", scenario.workload);
        assert_ne!(incident["cause"], "", "{}", scenario.workload);
        let state = if scenario.ending.is_mended() {
            ["mended", "resolved"].as_slice()
        } else {
            &["explained"]
        };
        let is_expected = state.iter().any(|state| incident["state"] == *state);
        assert!(is_expected, "{}: {incident}", scenario.workload);
    }
}

fn lines_of(object: &[u8], incident: &str) -> usize {
    String::from_utf8_lossy(object)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"))
        .filter(|event| event["session_id"] == incident)
        .count()
}
