use bonesetter_chassis::secret::SecretFile;
use sqlx::{AssertSqlSafe, PgConnection};
use svc_audit::postgres::archive::ArchiveLedger;
use svc_audit::postgres::ingest::Ledger as IngestLedger;
use svc_audit::postgres::{Database, DatabaseError};

use crate::bed::Ledger;

const INSERT: &str = "insert into audit.audit_events (id, event_type, user_id, session_id, \
    \"timestamp\", agent_version, stage, step, subject, stream, stream_sequence, stored_at, payload_hash) \
    values (gen_random_uuid(), 'tool_call', 'u', 's', now(), 'v', 'redacted', 'open', 'x', 'S', 1, now(), \
    repeat('a', 64))";

/// The SQLSTATE with which PostgreSQL refused; empty when it did not.
async fn tried(connection: &mut PgConnection, statement: &str) -> String {
    match sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
    {
        Ok(_) => String::new(),
        Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
        Err(error) => panic!("{statement}: {error}"),
    }
}

const DENIED: &str = "42501";

const PLAN: &str = "insert into audit.audit_exports (from_seq, to_seq, events, bucket, key, sha256) \
    values (1, 1, 1, 'b', 'k', repeat('a', 64))";
/// What no role may do.
const CHANGES: [&str; 14] = [
    "update audit.audit_events set user_id = 'z'",
    "delete from audit.audit_events",
    "truncate audit.audit_events",
    "drop table audit.audit_events",
    "alter table audit.audit_events disable trigger all",
    "create table audit.other (a int)",
    "create table public.other (a int)",
    "select 1; lock table audit.audit_events in share mode",
    "update audit.audit_exports set key = 'z'",
    "delete from audit.audit_exports",
    "truncate audit.audit_exports",
    "delete from audit.audit_export_results",
    "set role audit_owner",
    "alter role audit_ingest superuser",
];

#[tokio::test]
async fn each_role_may_do_its_work_and_nothing_else() {
    let ledger = Ledger::start().await;
    let own_seq = INSERT
        .replace("(id,", "(seq, id,")
        .replace("values (", "overriding system value values (1, ");
    let own_time = INSERT
        .replace("(id,", "(recorded_at, id,")
        .replace("values (", "values (now(), ");
    let allowed: [(&str, &[&str]); 5] = [
        ("audit_ingest", &[INSERT]),
        (
            "audit_archiver",
            &[
                "select count(*) from audit.audit_events",
                "select audit.archive_horizon()",
                PLAN,
                "select count(*) from audit.audit_exports",
            ],
        ),
        (
            "audit_sweeper",
            &[
                "select count(*) from audit.waiting",
                "insert into audit.overdue (session_id, awaited, step) values ('i', 'notice', 's')",
            ],
        ),
        ("audit_keeper", &["select count(*) from audit.archived"]),
        ("audit_reader", &["select count(*) from audit.audit_events"]),
    ];
    let denied: [(&str, &[&str]); 5] = [
        (
            "audit_ingest",
            &[
                "select count(*) from audit.audit_events",
                &own_seq,
                &own_time,
                "select audit.archive_horizon()",
                PLAN,
                "select count(*) from audit.audit_exports",
            ],
        ),
        (
            "audit_keeper",
            &[
                INSERT,
                "select count(*) from audit.audit_events",
                "select count(*) from audit.waiting",
                PLAN,
            ],
        ),
        (
            "audit_archiver",
            &[INSERT, "select count(*) from audit.waiting"],
        ),
        (
            "audit_sweeper",
            &[
                INSERT,
                "select count(*) from audit.audit_events",
                "select count(*) from audit.overdue",
                "select audit.archive_horizon()",
                PLAN,
            ],
        ),
        (
            "audit_reader",
            &[INSERT, PLAN, "select audit.archive_horizon()"],
        ),
    ];
    for (role, statements) in allowed {
        let mut connection = ledger.connect(role).await;
        for statement in statements {
            assert_eq!(
                tried(&mut connection, statement).await,
                "",
                "{role}: {statement}"
            );
        }
    }
    for (role, statements) in denied {
        let mut connection = ledger.connect(role).await;
        for statement in statements.iter().chain(&CHANGES) {
            assert_eq!(
                tried(&mut connection, statement).await,
                DENIED,
                "{role}: {statement}"
            );
        }
    }
    ledger.drop().await;
}

async fn open(path: std::path::PathBuf) -> Result<(), DatabaseError> {
    let database = Database::new(SecretFile::new(path), 1)?;
    IngestLedger::open(database).await.map(|_| ())
}

#[tokio::test]
async fn a_role_that_could_change_what_was_recorded_is_refused() {
    let ledger = Ledger::start().await;
    open(ledger.url_file("audit_ingest"))
        .await
        .expect("the right role");
    let refusal = |result: Result<(), DatabaseError>| match result {
        Err(error @ DatabaseError::Privileges { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let error = refusal(open(ledger.superuser_file()).await);
    for expected in [
        "postgres",
        "is a superuser",
        "may UPDATE",
        "may DELETE",
        "may TRUNCATE",
    ] {
        assert!(error.contains(expected), "{error}");
    }
    let error = refusal(open(ledger.url_file("audit_reader")).await);
    assert!(error.contains("may not INSERT"), "{error}");
    // One column is enough.
    let mut superuser = ledger.superuser().await;
    let grant = "grant update (step) on audit.audit_events to audit_ingest";
    assert_eq!(tried(&mut superuser, grant).await, "");
    let error = refusal(open(ledger.url_file("audit_ingest")).await);
    assert!(
        error.contains("audit_ingest may UPDATE on audit.audit_events"),
        "{error}"
    );
    ledger.drop().await;
}

#[tokio::test]
async fn the_archive_job_refuses_a_role_that_could_write_events() {
    let ledger = Ledger::start().await;
    let database = |role: &str| Database::new(SecretFile::new(ledger.url_file(role)), 1).unwrap();
    assert!(
        ArchiveLedger::open(&database("audit_archiver"))
            .await
            .unwrap()
            .is_some()
    );
    let error = ArchiveLedger::open(&database("audit_ingest"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("may INSERT on audit.audit_events"),
        "{error}"
    );
    ledger.drop().await;
}

#[tokio::test]
async fn a_database_without_tables_says_what_to_do() {
    let ledger = Ledger::start().await;
    let mut superuser = ledger.superuser().await;
    assert_eq!(tried(&mut superuser, "drop schema audit cascade").await, "");
    let error = open(ledger.url_file("audit_ingest")).await.unwrap_err();
    assert!(
        error.to_string().contains("apply the files of deploy/sql"),
        "{error}"
    );
    ledger.drop().await;
}
