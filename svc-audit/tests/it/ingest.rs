use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use bonesetter_chassis::secret::SecretFile;
use bonesetter_chassis::stage::Delivery;
use bonesetter_keys::VerifyingKeys;
use bonesetter_proto::v1::{
    Acted, Diagnosed, Diagnosis, Evidence, Notified, QueryRecord, Redacted, Step,
};
use bonesetter_proto::{Stage, Writer};
use bytes::Bytes;
use sqlx::Row as _;
use svc_audit::event::AuditEvent;
use svc_audit::postgres::Database;
use svc_audit::postgres::ingest::Ledger as IngestLedger;

use crate::bed::{Ledger, Nats, while_running};

async fn publish_one_incident(nats: &Nats) {
    nats.open_incidents("a").await;
    let query = QueryRecord {
        tool: "kubernetes.list_events".to_owned(),
        inputs_hash: "a".repeat(64),
        result_hash: "b".repeat(64),
    };
    let evidence = Evidence {
        queries: vec![query],
        ..Evidence::default()
    };
    let redacted = Redacted {
        evidence: Some(evidence),
        ..Redacted::default()
    };
    nats.publish("svc-redactor", 'a', "open", redacted).await;
    let diagnosis = Diagnosis {
        tokens: 12,
        latency_ms: 34,
        ..Diagnosis::default()
    };
    let diagnosed = Diagnosed {
        diagnosis: Some(diagnosis),
        ..Diagnosed::default()
    };
    nats.publish("svc-llm", 'a', "open", diagnosed).await;
    let acted = Acted {
        step: Step::Proposed.into(),
        ..Acted::default()
    };
    nats.publish("svc-actuator", 'a', "proposed", acted).await;
    nats.publish(
        "svc-notifier",
        'a',
        "incident-proposed",
        Notified::default(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stage_becomes_a_row_once() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    publish_one_incident(&nats).await;
    ledger.record(&nats, 5).await;
    let mut superuser = ledger.superuser().await;
    let rows = sqlx::query(
        "select event_type, user_id, session_id, agent_version, namespace, tool_calls::text, \
           latency_ms, token_count from audit.audit_events order by stream_sequence, event_type",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    let found: Vec<(String, String)> = rows
        .iter()
        .map(|row| (row.get("event_type"), row.get("user_id")))
        .collect();
    let expected = [
        ("change_proposed", "svc-actuator"),
        ("incident_opened", "svc-watcher"),
        ("notification", "svc-notifier"),
        ("recommendation", "svc-llm"),
        ("tool_call", "svc-redactor"),
    ];
    assert_eq!(
        found,
        expected.map(|(event, user)| (event.to_owned(), user.to_owned()))
    );
    for row in &rows {
        assert_eq!(row.get::<String, _>("session_id"), "a".repeat(26));
        assert_eq!(row.get::<String, _>("agent_version"), "0+test");
        assert_eq!(row.get::<String, _>("namespace"), "shop");
    }
    assert_eq!(rows[3].get::<i64, _>("latency_ms"), 34);
    assert_eq!(rows[3].get::<i64, _>("token_count"), 12);
    assert!(
        rows[4]
            .get::<String, _>("tool_calls")
            .contains("kubernetes.list_events")
    );
    ledger.drop().await;
}

#[tokio::test]
async fn a_redelivery_is_no_second_row_and_a_stream_made_anew_is_not_mistaken_for_one() {
    let ledger = Ledger::start().await;
    let database = Database::new(SecretFile::new(ledger.url_file("audit_ingest")), 1).unwrap();
    let writer = IngestLedger::open(database).await.unwrap();
    let first = Delivery {
        subject: "bonesetter.v1.detected.c.n.Deployment.aaaaaaaaaaaaaaaaaaaaaaaaaa.open"
            .parse()
            .unwrap(),
        payload: Bytes::new(),
        headers: BTreeMap::new(),
        sequence: 1,
        stream: "BONESETTER_DETECTED",
        stored_at: UNIX_EPOCH + Duration::from_secs(1),
        deliveries: 1,
    };
    let anew = Delivery {
        stored_at: UNIX_EPOCH + Duration::from_secs(2),
        ..first.clone()
    };
    for (delivery, is_new) in [
        (&first, true),
        (&first, false),
        (&anew, true),
        (&anew, false),
    ] {
        let event = AuditEvent::of(delivery, &VerifyingKeys::default());
        assert_eq!(writer.record(&event).await.unwrap(), is_new);
    }
    ledger.recorded(2).await;
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_a_forged_signature_is_recorded_as_such() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    // The actuator's user may publish there; with the key of another service it proves nothing.
    let forger = nats.service_with_key("svc-actuator", Writer::Llm).await;
    let subject = nats.subject('a', Stage::Acted, "intended");
    let acted = Acted {
        step: Step::Intended.into(),
        ..Acted::default()
    };
    forger
        .publisher()
        .unwrap()
        .publish(&subject, acted, "")
        .await
        .expect("published");
    ledger.record(&nats, 1).await;
    let mut superuser = ledger.superuser().await;
    let row = sqlx::query("select event_type, user_id, failure_reason from audit.audit_events")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>("event_type"), "auth_failure");
    assert_eq!(row.get::<String, _>("user_id"), "unverified");
    assert_eq!(row.get::<String, _>("failure_reason"), "forged");
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_nothing_is_lost() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    publish_one_incident(&nats).await;
    let config = ledger.ingest();
    let url = std::fs::read_to_string(&config.database.url_file).unwrap();
    // Nobody listens on port 1; the file is read again, as it is when a password rotates.
    std::fs::write(
        &config.database.url_file,
        "postgres://audit_ingest:it@127.0.0.1:1/x",
    )
    .unwrap();
    let service = nats.service("svc-audit").await;
    let readiness = service.readiness.clone();
    let file = config.database.url_file.clone();
    let until = async {
        while readiness.missing() != ["postgresql"] {
            tokio::task::yield_now().await;
        }
        std::fs::write(&file, url).unwrap();
        ledger.recorded(5).await;
    };
    Box::pin(while_running(config, service, until)).await;
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_cut_while_recording_lose_and_double_nothing() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    let service = nats.service("svc-audit").await;
    let until = async {
        for letters in ["abcd", "efgh", "ijkl", "mnop"] {
            nats.open_incidents(letters).await;
            let mut superuser = ledger.superuser().await;
            sqlx::query(
                "select pg_terminate_backend(pid) from pg_stat_activity \
                 where usename = 'audit_ingest' and datname = current_database()",
            )
            .execute(&mut superuser)
            .await
            .unwrap();
        }
        ledger.recorded(16).await;
    };
    Box::pin(while_running(ledger.ingest(), service, until)).await;
    ledger.drop().await;
}
