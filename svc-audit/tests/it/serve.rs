//! `IncidentService`, asked by real clients over TLS.

use std::collections::BTreeSet;
use std::time::Duration;

use bonesetter_proto::grpc::incident_service_client::IncidentServiceClient;
use bonesetter_proto::v1::{
    Detected, FailureClass, GetIncidentRequest, Incident, IncidentState, IncidentSummary,
    ListIncidentsRequest, ListIncidentsResponse, ObjectRef, Phase, ResolvedReason,
    WatchIncidentsRequest, WatchIncidentsResponse,
};
use bonesetter_testbed::authority::Authority;
use sqlx::{Connection as _, PgConnection};
use svc_audit::Config;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Identity};
use tonic::{Code, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use uuid::Uuid;

use crate::bed::{Ledger, Nats, config, while_running};
use crate::serving::{Certificates, Server, process, settings};

const INSERT: &str = "\
    insert into audit.audit_events (id, event_type, user_id, session_id, \"timestamp\", agent_version, \
      namespace, stage, step, subject, stream, stream_sequence, stored_at, payload_hash) \
    values ($1, $2, $3, $4, now(), '0.1.0', $5, $6, $7, $8, 'BONESETTER_TEST', $9, now(), $10)";

/// An id of an incident.
fn id(letter: char) -> String {
    letter.to_string().repeat(26)
}

/// A row of the ledger.
#[derive(Clone, Copy)]
struct Row {
    incident: char,
    namespace: Option<&'static str>,
    event: &'static str,
    writer: &'static str,
    number: i64,
}

fn opened(incident: char, namespace: &'static str, number: i64) -> Row {
    Row {
        incident,
        namespace: Some(namespace),
        event: "incident_opened",
        writer: "svc-watcher",
        number,
    }
}

async fn insert(connection: &mut PgConnection, row: Row) {
    let (stage, step) = match row.event {
        "incident_opened" => ("detected", "open"),
        "incident_resolved" => ("detected", "resolved"),
        event if event.starts_with("change_") => ("acted", "proposed"),
        _ => ("diagnosed", "open"),
    };
    let subject = format!(
        "bonesetter.v1.{stage}.demo.{}.Deployment.{}.{step}",
        row.namespace.unwrap_or("_"),
        id(row.incident)
    );
    sqlx::query(INSERT)
        .bind(Uuid::new_v4())
        .bind(row.event)
        .bind(row.writer)
        .bind(id(row.incident))
        .bind(row.namespace)
        .bind(stage)
        .bind(step)
        .bind(subject)
        .bind(row.number)
        .bind("0".repeat(64))
        .execute(connection)
        .await
        .expect("inserted");
}

async fn list(
    client: &mut IncidentServiceClient<Channel>,
    request: ListIncidentsRequest,
) -> ListIncidentsResponse {
    client.list(request).await.expect("listed").into_inner()
}

fn ids(incidents: &[IncidentSummary]) -> String {
    let letters = incidents.iter().filter_map(|it| it.id.chars().next());
    letters.collect()
}

async fn answer(events: &mut Streaming<WatchIncidentsResponse>) -> WatchIncidentsResponse {
    let answer = tokio::time::timeout(Duration::from_secs(30), events.message()).await;
    answer.expect("in time").expect("an answer").expect("more")
}

async fn next(events: &mut Streaming<WatchIncidentsResponse>) -> (u64, String) {
    loop {
        if let Some(event) = answer(events).await.event {
            return (event.sequence, event.event_type);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_the_bus_is_listed_shown_and_watched() {
    let (ledger, nats, certificates) = (
        Ledger::start().await,
        Nats::start().await,
        Certificates::make(),
    );
    let server = Server::start(&ledger, &certificates);
    let mut client = server.client(certificates.client("sre")).await;
    let mut events = client
        .watch(WatchIncidentsRequest::default())
        .await
        .expect("watching")
        .into_inner();
    let detected = |phase: Phase, reason: ResolvedReason| Detected {
        incident: Some(Incident {
            id: id('a'),
            root_owner: Some(ObjectRef {
                name: "checkout".to_owned(),
                ..ObjectRef::default()
            }),
            ..Incident::default()
        }),
        phase: phase.into(),
        failure_class: FailureClass::OomKilled.into(),
        resolved_reason: reason.into(),
        ..Detected::default()
    };
    let open = detected(Phase::Open, ResolvedReason::Unspecified);
    nats.publish("svc-watcher", 'a', "open", open).await;
    let recording = nats.service("svc-audit").await;
    while_running(ledger.ingest(), recording, async {
        assert_eq!(next(&mut events).await.1, "incident_opened");
        let found = list(&mut client, ListIncidentsRequest::default()).await;
        let [incident] = &found.incidents[..] else {
            panic!("{found:?}");
        };
        assert_eq!(incident.id, id('a'));
        assert_eq!(
            (
                &*incident.cluster,
                &*incident.namespace,
                &*incident.kind,
                &*incident.name
            ),
            (nats.cluster(), "shop", "Deployment", "checkout")
        );
        assert_eq!(incident.failure_class(), FailureClass::OomKilled);
        assert_eq!(incident.state(), IncidentState::Open);
        let resolved = detected(Phase::Resolved, ResolvedReason::Recovered);
        nats.publish("svc-watcher", 'a', "resolved", resolved).await;
        assert_eq!(next(&mut events).await.1, "incident_resolved");
    })
    .await;
    let beginning = id('a')[..6].to_owned();
    let found = client.get(GetIncidentRequest { id: beginning }).await;
    let found = found.expect("found").into_inner();
    let incident = found.incident.unwrap();
    assert_eq!(incident.state(), IncidentState::Resolved);
    assert_eq!(incident.resolved_reason(), ResolvedReason::Recovered);
    assert_eq!(incident.events, 2);
    let types: Vec<&str> = found.events.iter().map(|it| &*it.event_type).collect();
    assert_eq!(types, ["incident_opened", "incident_resolved"]);
    assert!(found.events.iter().all(|it| it.payload_hash.len() == 64));
    server.stop().await;
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_sees_its_namespaces_and_a_stranger_nothing() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let mut database = ledger.connect("audit_ingest").await;
    insert(&mut database, opened('a', "shop", 1)).await;
    insert(&mut database, opened('b', "bank", 2)).await;
    let cluster_wide = Row {
        namespace: None,
        ..opened('c', "", 3)
    };
    insert(&mut database, cluster_wide).await;
    let server = Server::start(&ledger, &certificates);
    let all = ListIncidentsRequest::default();
    let mut sre = server.client(certificates.client("sre")).await;
    assert_eq!(ids(&list(&mut sre, all.clone()).await.incidents), "cba");
    let mut team = server.client(certificates.client("shop-team")).await;
    assert_eq!(ids(&list(&mut team, all.clone()).await.incidents), "a");
    for other in ['b', 'c'] {
        let error = team.get(GetIncidentRequest { id: id(other) }).await;
        assert_eq!(error.unwrap_err().code(), Code::NotFound, "{other}");
        let watch = WatchIncidentsRequest {
            incident_id: id(other),
            ..WatchIncidentsRequest::default()
        };
        let error = team.watch(watch).await.unwrap_err();
        assert_eq!(error.code(), Code::NotFound, "{other}");
    }
    let bank = ListIncidentsRequest {
        namespace: "bank".to_owned(),
        ..all.clone()
    };
    assert_eq!(ids(&list(&mut sre, bank.clone()).await.incidents), "b");
    let error = team.list(bank).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    let from_start = WatchIncidentsRequest {
        after_sequence: Some(0),
        ..WatchIncidentsRequest::default()
    };
    let mut events = team.watch(from_start).await.unwrap().into_inner();
    next(&mut events).await;
    insert(&mut database, opened('d', "bank", 4)).await;
    insert(&mut database, opened('e', "shop", 5)).await;
    let event = answer(&mut events).await.event.unwrap();
    assert_eq!(event.incident_id, id('e'), "the one of bank is not shown");

    // A certificate of the authority is not enough.
    let mut stranger = server.client(certificates.client("svc-llm")).await;
    let error = stranger.list(all.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(error.message().contains("svc-llm"), "{error}");
    // TLS 1.3: the server's refusal of a certificate comes after the client's handshake.
    let other = Certificates::make();
    let forged = other.authority.issue("sre", None, &["sre"]).unwrap();
    let forged = Identity::from_pem(forged.certificate, forged.key);
    for tls in [
        certificates.anonymous(),
        certificates.anonymous().identity(forged),
    ] {
        let Ok(channel) = server.try_channel(tls).await else {
            continue;
        };
        let answer = IncidentServiceClient::new(channel).list(all.clone()).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    server.stop().await;
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_pages_and_wrong_requests_a_reason() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let mut database = ledger.connect("audit_ingest").await;
    for (number, letter) in ('a'..='e').enumerate() {
        let number = i64::try_from(number).unwrap();
        insert(&mut database, opened(letter, "shop", number + 1)).await;
    }
    let later = |incident, event, number| Row {
        event,
        ..opened(incident, "shop", number)
    };
    insert(&mut database, later('b', "incident_resolved", 6)).await;
    insert(&mut database, later('c', "change_rolled_back", 7)).await;
    // Neither makes an incident, nor ends one.
    let doubted = |incident, event, number| Row {
        writer: "unverified",
        ..later(incident, event, number)
    };
    insert(&mut database, doubted('f', "malformed", 8)).await;
    insert(&mut database, doubted('d', "incident_resolved", 9)).await;
    let server = Server::start(&ledger, &certificates);
    let mut client = server.client(certificates.client("sre")).await;
    let mut request = ListIncidentsRequest {
        page_size: 2,
        ..ListIncidentsRequest::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = list(&mut client, request.clone()).await;
        pages.push(ids(&page.incidents));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(pages, ["ed", "cb", "a"]);
    let open = ListIncidentsRequest {
        open_only: true,
        ..ListIncidentsRequest::default()
    };
    let open = list(&mut client, open).await.incidents;
    assert_eq!(ids(&open), "edca");
    assert_eq!(open[2].state(), IncidentState::RolledBack);
    for wrong in [
        ListIncidentsRequest {
            page_size: 1001,
            ..ListIncidentsRequest::default()
        },
        ListIncidentsRequest {
            page_token: "x".to_owned(),
            ..ListIncidentsRequest::default()
        },
    ] {
        let error = client.list(wrong).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
    for (beginning, code) in [
        ("", Code::InvalidArgument),
        ("a'; drop table audit.audit_events", Code::InvalidArgument),
        ("%", Code::InvalidArgument),
        ("z", Code::NotFound),
    ] {
        let id = beginning.to_owned();
        let error = client.get(GetIncidentRequest { id }).await.unwrap_err();
        assert_eq!(error.code(), code, "{beginning}");
    }
    let mut twin = opened('a', "shop", 10);
    twin.incident = 'a';
    let close = format!("{}b", &id('a')[..25]);
    sqlx::query("update audit.audit_events set session_id = $1 where stream_sequence = 1")
        .bind(&close)
        .execute(&mut ledger.superuser().await)
        .await
        .unwrap();
    insert(&mut database, twin).await;
    let request = GetIncidentRequest {
        id: id('a')[..25].to_owned(),
    };
    let error = client.get(request).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    server.stop().await;
    ledger.drop().await;
}

/// Numbers are handed out before commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_once_what_commits_late() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let (mut slow, mut fast) = (
        ledger.connect("audit_ingest").await,
        ledger.connect("audit_ingest").await,
    );
    insert(&mut fast, opened('a', "shop", 1)).await;
    let server = Server::start(&ledger, &certificates);
    let mut client = server.client(certificates.client("sre")).await;
    let from = |after_sequence| WatchIncidentsRequest {
        after_sequence,
        ..WatchIncidentsRequest::default()
    };
    let mut events = client.watch(from(None)).await.unwrap().into_inner();
    let mut late = slow.begin().await.unwrap();
    insert(&mut late, opened('b', "shop", 2)).await;
    insert(&mut fast, opened('c', "shop", 3)).await;
    let (third, _) = next(&mut events).await;
    late.commit().await.unwrap();
    let (second, _) = next(&mut events).await;
    assert_eq!(second, third - 1);
    insert(&mut fast, opened('d', "shop", 4)).await;
    assert_eq!(next(&mut events).await.0, third + 1, "each is shown once");
    // As many as the settings allow to one.
    let error = client.watch(from(None)).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    server.process.shutdown.cancel();
    let error = events.message().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    server.stop().await;
    ledger.drop().await;
}

/// It has seen the third and not the second, which becomes visible while nobody watches.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_taken_up_again_misses_nothing() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let (mut slow, mut fast) = (
        ledger.connect("audit_ingest").await,
        ledger.connect("audit_ingest").await,
    );
    insert(&mut fast, opened('a', "shop", 1)).await;
    make_older(&ledger).await;
    let server = Server::start(&ledger, &certificates);
    let mut client = server.client(certificates.client("sre")).await;
    let mut events = client.watch(WatchIncidentsRequest::default()).await;
    let events = events.as_mut().unwrap().get_mut();
    let beginning = answer(events).await;
    assert!(beginning.event.is_none());
    let mut late = slow.begin().await.unwrap();
    insert(&mut late, opened('b', "shop", 2)).await;
    insert(&mut fast, opened('c', "shop", 3)).await;
    let last = answer(events).await;
    let third = last.event.unwrap().sequence;
    assert_eq!(
        (beginning.resume_after, last.resume_after),
        (third - 2, third - 2)
    );
    late.commit().await.unwrap();
    for is_long_ago in [false, true] {
        if is_long_ago {
            make_older(&ledger).await;
        }
        // By the place that was told, and by the highest number that was seen.
        for after in [last.resume_after, third] {
            let mut again = watch_after(&server, &certificates, after).await;
            let missed = next(&mut again).await.0;
            let missed = if missed == third - 2 {
                next(&mut again).await.0
            } else {
                missed
            };
            assert_eq!(missed, third - 1, "after {after}, long ago: {is_long_ago}");
            assert_eq!(next(&mut again).await.0, third);
        }
    }
    server.stop().await;
    ledger.drop().await;
}

/// Everything was recorded an hour earlier.
async fn make_older(ledger: &Ledger) {
    sqlx::query("update audit.audit_events set recorded_at = recorded_at - interval '1 hour'")
        .execute(&mut ledger.superuser().await)
        .await
        .unwrap();
}

async fn watch_after(
    server: &Server,
    certificates: &Certificates,
    after: u64,
) -> Streaming<WatchIncidentsResponse> {
    let mut client = server.client(certificates.client("shop-team")).await;
    let request = WatchIncidentsRequest {
        after_sequence: Some(after),
        ..WatchIncidentsRequest::default()
    };
    // The watch before may not be over yet.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match client.watch(request.clone()).await {
            Ok(answer) => return answer.into_inner(),
            Err(error) => assert_eq!(error.code(), Code::ResourceExhausted, "{error}"),
        }
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_is_watched_to_its_end() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let mut database = ledger.connect("audit_ingest").await;
    let numbers = 1..=1_203;
    for number in numbers.clone() {
        insert(&mut database, opened('a', "shop", number)).await;
    }
    let server = Server::start(&ledger, &certificates);
    let mut client = server.client(certificates.client("sre")).await;
    let request = WatchIncidentsRequest {
        after_sequence: Some(0),
        ..WatchIncidentsRequest::default()
    };
    let mut events = client.watch(request).await.unwrap().into_inner();
    let mut seen = BTreeSet::new();
    for _ in numbers.clone() {
        assert!(seen.insert(next(&mut events).await.0));
    }
    assert_eq!(seen.len(), numbers.count());
    server.stop().await;
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_again_when_they_change() {
    let (ledger, mut certificates) = (Ledger::start().await, Certificates::make());
    let server = Server::start(&ledger, &certificates);
    let before = certificates.client("sre");
    let mut client = server.client(before.clone()).await;
    list(&mut client, ListIncidentsRequest::default()).await;
    certificates.authority = Authority::make("two").unwrap();
    certificates.issue_to_server();
    let mut fresh = server.client(certificates.client("sre")).await;
    list(&mut fresh, ListIncidentsRequest::default()).await;
    assert!(server.try_channel(before).await.is_err());
    // Nonsense in a file leaves what was there.
    std::fs::write(certificates.file("server.crt"), "nonsense").unwrap();
    let mut still = server.client(certificates.client("sre")).await;
    list(&mut still, ListIncidentsRequest::default()).await;
    server.stop().await;
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_keep_nobody_out() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let server = Server::start(&ledger, &certificates);
    drop(server.client(certificates.client("sre")).await);
    let mut idle = Vec::new();
    // As many as end in half a minute, when each may take ten seconds.
    for _ in 0..256 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut client = server.client(certificates.client("sre")).await;
    list(&mut client, ListIncidentsRequest::default()).await;
    drop(idle);
    server.stop().await;
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_takes_too_long_is_ended() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let server = Server::start(&ledger, &certificates);
    let mut client = server.client(certificates.client("sre")).await;
    let mut superuser = ledger.superuser().await;
    let mut transaction = superuser.begin().await.unwrap();
    sqlx::query("lock table audit.audit_events in access exclusive mode")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let asked = client.list(ListIncidentsRequest::default());
    let answer = tokio::time::timeout(Duration::from_secs(30), asked).await;
    let error = answer.expect("an end").unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    transaction.rollback().await.unwrap();
    list(&mut client, ListIncidentsRequest::default()).await;
    server.stop().await;
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_a_small_part_of_the_ledger_is_not_answered_from_the_whole() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let mut database = ledger.connect("audit_ingest").await;
    insert(&mut database, opened('s', "shop", 1)).await;
    let mut superuser = ledger.superuser().await;
    sqlx::raw_sql(
        "insert into audit.audit_events (id, event_type, user_id, session_id, \"timestamp\", agent_version,
           namespace, stage, step, subject, stream, stream_sequence, stored_at, payload_hash)
         select gen_random_uuid(), event_type, user_id, session_id, \"timestamp\", agent_version,
           'bank', stage, step, subject, stream, 1 + number, stored_at, payload_hash
         from audit.audit_events, generate_series(1, 20000) as number;
         analyze audit.audit_events;",
    )
    .execute(&mut superuser)
    .await
    .unwrap();
    let server = Server::start(&ledger, &certificates);
    let mut client = server.client(certificates.client("shop-team")).await;
    let found = list(&mut client, ListIncidentsRequest::default()).await;
    assert_eq!(ids(&found.incidents), "s");
    server.stop().await;
    // The server of the database says so when a session has ended.
    let query = "select idx_scan from pg_stat_user_indexes
        where indexrelname = 'audit_events_namespace'";
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let scans: i64 = sqlx::query_scalar(query)
            .fetch_one(&mut superuser)
            .await
            .unwrap();
        if scans > 0 {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "the index is not used"
        );
        tokio::task::yield_now().await;
    }
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_are_those_of_grpc() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let server = Server::start(&ledger, &certificates);
    let channel = server.channel(certificates.client("sre")).await;
    let mut health = HealthClient::new(channel.clone());
    let request = HealthCheckRequest {
        service: "bonesetter.v1.IncidentService".to_owned(),
    };
    let mut changes = health.watch(request).await.unwrap().into_inner();
    loop {
        let change = changes.message().await.unwrap().expect("a status");
        if change.status() == ServingStatus::Serving {
            break;
        }
    }
    let mut reflection = ServerReflectionClient::new(channel);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection
        .server_reflection_info(futures::stream::iter([request]))
        .await;
    let answer = answers.unwrap().into_inner().message().await.unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.unwrap().message_response else {
        panic!("no list of services");
    };
    let names: BTreeSet<&str> = list.service.iter().map(|it| &*it.name).collect();
    assert!(names.contains("bonesetter.v1.IncidentService"), "{names:?}");
    server.stop().await;
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_start_with_a_role_that_could_write() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let config = Config {
        serve: Some(settings(&certificates)),
        ..config(ledger.url_file("audit_ingest"), None)
    };
    let error = svc_audit::run_alone(config, process()).await.unwrap_err();
    assert!(error.to_string().contains("may INSERT"), "{error}");
    ledger.drop().await;
}
