use std::collections::BTreeSet;
use std::time::Duration;

use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::secret::SecretFile;
use bonesetter_keys::content_hash;
use bonesetter_proto::v1::Archived;
use bonesetter_proto::{Message as _, Stage};
use bonesetter_testbed::S3Admin;
use prost::Message as _;
use sqlx::{AssertSqlSafe, PgConnection};
use svc_audit::archive::{ArchiveError, Archiver};
use svc_audit::postgres::Database;
use svc_audit::s3::Bucket;
use svc_audit::{EXPORT_ONCE, ExportMetrics};

use crate::bed::{Ledger, Nats};

async fn record(ledger: &Ledger, nats: &Nats, letters: &str, rows: i64) {
    nats.open_incidents(letters).await;
    ledger.record(nats, rows).await;
}

async fn archived(nats: &Nats) -> Vec<Archived> {
    let stored = nats.stored(Stage::Audit).await;
    stored
        .into_iter()
        .map(|message| Archived::decode(message.payload).unwrap())
        .collect()
}

async fn objects(root: &S3Admin, nats: &Nats) -> Vec<(String, String)> {
    let prefix = format!("events/{}/", nats.cluster());
    let versions = root.list_object_versions(&prefix).await.expect("listed");
    assert!(versions.iter().all(|version| !version.is_delete_marker));
    versions
        .into_iter()
        .map(|version| (version.key, version.version_id))
        .collect()
}

async fn run_sql(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_exported_once_under_lock_and_told() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    let root = ledger.state().s3_root().unwrap();
    record(&ledger, &nats, "abc", 3).await;
    ledger.export_to_end(&nats, 2).await.expect("exported");
    ledger.export_to_end(&nats, 2).await.expect("nothing left");

    let objects = objects(&root, &nats).await;
    assert_eq!(objects.len(), 2, "{objects:?}");
    let told = archived(&nats).await;
    assert_eq!(told.len(), 3);
    assert_eq!(told.iter().map(|message| message.events).sum::<u32>(), 3);
    let mut lines = 0;
    for (key, version) in &objects {
        let bytes = root.get_object(key).await.expect("read by root");
        let hash = content_hash(&bytes);
        assert!(key.contains(&hash[..16]), "{key}");
        let message = told
            .iter()
            .find(|message| message.key == *key)
            .expect("told");
        assert_eq!((&message.sha256, &message.version_id), (&hash, version));
        for line in std::str::from_utf8(&bytes).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(row["event_type"], "incident_opened");
            lines += 1;
        }
        let retention = root
            .get_object_retention(key, version)
            .await
            .expect("retention");
        assert_eq!(retention.mode, "COMPLIANCE");
        assert!(
            root.delete_object(key, Some(version)).await.is_err(),
            "deleted by root"
        );
    }
    assert_eq!(lines, 3);
    assert!(told.iter().all(|message| message.envelope().is_some()));
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_can_put_and_nothing_else() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    let put_only = ledger.state().s3_put_only().unwrap();
    record(&ledger, &nats, "a", 1).await;
    ledger.export_to_end(&nats, 10).await.expect("exported");
    let (key, version) = objects(&ledger.state().s3_root().unwrap(), &nats)
        .await
        .remove(0);
    assert!(put_only.get_object(&key).await.is_err());
    assert!(put_only.list_object_versions("events/").await.is_err());
    assert!(put_only.delete_object(&key, Some(&version)).await.is_err());
    assert!(put_only.get_object_retention(&key, &version).await.is_err());
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_died_before_its_result_is_finished_with_the_same_object() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    record(&ledger, &nats, "ab", 2).await;
    ledger.export_to_end(&nats, 10).await.expect("exported");
    let root = ledger.state().s3_root().unwrap();
    let before = objects(&root, &nats).await;
    // As if the process had died between the object and its result; and there are new rows since.
    run_sql(
        &mut ledger.superuser().await,
        "delete from audit.audit_export_results",
    )
    .await;
    record(&ledger, &nats, "c", 3).await;
    ledger.export_to_end(&nats, 10).await.expect("finished");
    let after = objects(&root, &nats).await;
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(after.contains(&before[0]), "no second version");
    assert_eq!(archived(&nats).await.len(), 3);
    assert_eq!(ledger.count("audit_export_results").await, 2);
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_changed_after_they_were_planned_stop_the_export() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    record(&ledger, &nats, "ab", 2).await;
    ledger.export_to_end(&nats, 10).await.expect("exported");
    let mut superuser = ledger.superuser().await;
    run_sql(&mut superuser, "delete from audit.audit_export_results").await;
    run_sql(
        &mut superuser,
        "update audit.audit_events set user_id = 'somebody-else'",
    )
    .await;
    let error = format!("{:#}", ledger.export_to_end(&nats, 10).await.unwrap_err());
    assert!(error.contains("are not those that were planned"), "{error}");
    ledger.drop().await;
}

/// Numbers are handed out before commit: the row with the lower one may become visible later.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_commits_late_is_not_skipped() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    let insert = "insert into audit.audit_events (id, event_type, user_id, session_id, \"timestamp\", \
        agent_version, stage, step, subject, stream, stream_sequence, stored_at, payload_hash) \
        values (gen_random_uuid(), 'tool_call', 'u', 's', now(), 'v', 'redacted', 'open', 'x', 'S', \
        $n, now(), repeat('a', 64))";
    let mut late = ledger.connect("audit_ingest").await;
    run_sql(&mut late, &format!("begin; {}", insert.replace("$n", "1"))).await;
    let mut early = ledger.connect("audit_ingest").await;
    run_sql(&mut early, &insert.replace("$n", "2")).await;
    let committing = async {
        let mut superuser = ledger.superuser().await;
        let waits = "select exists (select from pg_locks where not granted \
            and relation = 'audit.audit_events'::regclass and mode = 'ShareLock')";
        while !sqlx::query_scalar::<_, bool>(waits)
            .fetch_one(&mut superuser)
            .await
            .unwrap()
        {
            tokio::task::yield_now().await;
        }
        run_sql(&mut late, "commit").await;
    };
    let (exported, ()) = tokio::join!(ledger.export_to_end(&nats, 10), committing);
    exported.expect("exported");
    let mut superuser = ledger.superuser().await;
    let events: i32 = sqlx::query_scalar("select events from audit.audit_exports")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(events, 2);
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_that_is_away_is_named_and_made_up_for() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    record(&ledger, &nats, "a", 1).await;
    let mut config = ledger.export(10);
    if let Some(export) = config.export.as_mut() {
        export.endpoint = "http://127.0.0.1:1".to_owned();
    }
    let service = nats.mode(EXPORT_ONCE).await;
    let error = format!("{:#}", svc_audit::run(config, service).await.unwrap_err());
    assert!(error.contains("putting events/"), "{error}");
    assert!(archived(&nats).await.is_empty());
    ledger.export_to_end(&nats, 10).await.expect("made up for");
    assert_eq!(archived(&nats).await.len(), 1);
    ledger.drop().await;
}

/// Exports with little patience for the bus.
async fn export_impatiently(ledger: &Ledger, nats: &Nats) -> Result<usize, ArchiveError> {
    let service = nats.mode(EXPORT_ONCE).await;
    let settings = ledger.export(10).export.unwrap();
    let file = SecretFile::new(ledger.url_file("audit_archiver"));
    let archiver = Archiver {
        database: Database::new(file, 2).unwrap(),
        bucket_name: settings.bucket.clone(),
        rows: settings.rows,
        bucket: Bucket::new(settings),
        publisher: service.publisher().unwrap(),
        bus: service.bus.clone(),
        told_within: Duration::from_secs(1),
        cluster: nats.cluster().to_owned(),
        clock: Clock::system(),
        metrics: ExportMetrics::new(&service.metrics),
    };
    archiver.export().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_ends_an_export_which_goes_on_when_there_is_room() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    record(&ledger, &nats, "abc", 3).await;
    // There is room for what was archived of one incident.
    nats.resize_streams(1500).await;
    for _ in 0..2 {
        let error = export_impatiently(&ledger, &nats).await.unwrap_err();
        let error = error.to_string();
        for word in ["BONESETTER_AUDIT", "is full", "--max-bytes"] {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert_eq!(archived(&nats).await.len(), 1);
    }
    nats.resize_streams(i64::MAX).await;
    ledger.export_to_end(&nats, 10).await.expect("finished");
    let told = archived(&nats).await;
    let incidents: BTreeSet<_> = told
        .iter()
        .map(|message| message.incident.as_ref().unwrap().id.clone())
        .collect();
    assert_eq!((told.len(), incidents.len()), (3, 3));
    let root = ledger.state().s3_root().unwrap();
    assert_eq!(objects(&root, &nats).await.len(), 1);
    assert_eq!(ledger.count("audit_export_results").await, 1);
    ledger.drop().await;
}
