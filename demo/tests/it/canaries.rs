use bonesetter_chassis::bus::StreamReader;
use bonesetter_chassis::topology::{ADVISORY, ENRICHED, STREAMS, StreamSpec};
use bonesetter_redact::{Redactor, Rules};
use sqlx::Row as _;

use crate::Outcome;

/// The planted secrets are in no message behind the boundary, no log, trace, metric, notice, row or archived
/// object, in no encoding.
pub(crate) async fn no_canary_got_out(outcome: &Outcome) {
    let redactor = Redactor::new(Rules::builtin().expect("rules")).expect("rules");
    let mut finder = redactor.session(b"finder");
    for (_, value) in &outcome.canaries.values {
        finder.learn_value(value);
        let planted = finder.egress_check(value.as_bytes());
        assert!(planted.is_err(), "the search finds what it looks for");
    }
    let mut searched = 0;
    let mut search = |place: &str, bytes: &[u8]| {
        searched += bytes.len();
        assert_eq!(finder.egress_check(bytes), Ok(()), "in {place}");
    };
    let bus = outcome
        .environment
        .connect("operator")
        .await
        .expect("connected");
    let is_behind = |stream: &&StreamSpec| ![ENRICHED, ADVISORY].contains(stream);
    for stream in STREAMS.iter().filter(is_behind) {
        let reader = StreamReader::new(bus.clone(), stream.name);
        for message in reader.all(&stream.filter()).await.expect("readable") {
            search(&message.subject, &message.payload);
            for (name, value) in &message.headers {
                search(name, value.as_bytes());
            }
        }
    }
    for path in ["/slack", "/webhook"] {
        let received = outcome.receiver.received(path);
        assert!(!received.is_empty(), "nothing arrived at {path}");
        for request in received {
            search(path, &request.body);
        }
    }
    assert!(!outcome.traces.spans.is_empty(), "no traces arrived");
    search("a trace", outcome.traces.text.as_bytes());
    for (name, log) in &outcome.logs {
        search(name, log);
    }
    for (name, metrics) in &outcome.metrics {
        search(name, metrics.as_bytes());
    }
    for row in rows(&outcome.environment.database_url).await {
        search("a row of the ledger", row.as_bytes());
    }
    let s3 = outcome.environment.state.s3_root().expect("MinIO");
    for version in s3.list_object_versions("").await.expect("listed") {
        search(
            &version.key,
            &s3.get_object(&version.key).await.expect("readable"),
        );
    }
    assert!(searched > 100_000, "only {searched} bytes were searched");
}

async fn rows(url: &str) -> Vec<String> {
    let pool = sqlx::PgPool::connect(url).await.expect("connected");
    let mut text = Vec::new();
    for statement in [
        "select row_to_json(r)::text from audit.audit_events r",
        "select row_to_json(r)::text from audit.audit_exports r",
    ] {
        let rows = sqlx::query(statement).fetch_all(&pool).await.expect("read");
        text.extend(rows.into_iter().map(|row| row.get::<String, _>(0)));
    }
    pool.close().await;
    text
}
