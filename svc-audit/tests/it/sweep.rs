use std::pin::Pin;
use std::time::Duration;

use bonesetter_chassis::bus::StoredMessage;
use bonesetter_proto::v1::{
    Acted, Awaited, Detected, FailureClass, Incident, ObjectRef, Overdue, Phase, Redacted,
    ResolvedReason, Step,
};
use bonesetter_proto::{IncidentId, Stage, Subject};
use prost::Message as _;
use svc_audit::SWEEP;

use crate::bed::{Ledger, Nats, while_running};

fn incident(letter: char) -> Incident {
    Incident {
        id: letter.to_string().repeat(IncidentId::LENGTH),
        root_owner: Some(ObjectRef {
            kind: "Deployment".to_owned(),
            namespace: "shop".to_owned(),
            name: format!("cart-{letter}"),
            ..ObjectRef::default()
        }),
        ..Incident::default()
    }
}

async fn detect(nats: &Nats, letter: char, phase: Phase) {
    let (step, resolved_reason) = match phase {
        Phase::Resolved => ("resolved", ResolvedReason::Recovered),
        _ => ("open", ResolvedReason::Unspecified),
    };
    let detected = Detected {
        incident: Some(incident(letter)),
        phase: phase.into(),
        failure_class: FailureClass::OomKilled.into(),
        resolved_reason: resolved_reason.into(),
        ..Detected::default()
    };
    nats.publish("svc-watcher", letter, step, detected).await;
}

async fn redact(nats: &Nats, letter: char) {
    let redacted = Redacted {
        incident: Some(incident(letter)),
        ..Redacted::default()
    };
    nats.publish("svc-redactor", letter, "open", redacted).await;
}

async fn act(nats: &Nats, letter: char, step: Step, name: &str) {
    let acted = Acted {
        incident: Some(incident(letter)),
        step: step.into(),
        ..Acted::default()
    };
    nats.publish("svc-actuator", letter, name, acted).await;
}

fn read(stored: &StoredMessage) -> (String, Overdue) {
    let subject: Subject = stored.subject.parse().unwrap();
    let overdue = Overdue::decode(stored.payload.clone()).unwrap();
    (
        format!(
            "{} {}",
            subject.incident.as_str().chars().next().unwrap(),
            subject.step
        ),
        overdue,
    )
}

/// Polls until so much is overdue.
async fn overdue(nats: &Nats, count: usize) -> Vec<(String, Overdue)> {
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    loop {
        let mut found: Vec<_> = nats.stored(Stage::Overdue).await.iter().map(read).collect();
        if found.len() >= count {
            found.sort_by(|a, b| a.0.cmp(&b.0));
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{found:?}");
        tokio::task::yield_now().await;
    }
}

fn names(found: &[(String, Overdue)]) -> Vec<&str> {
    found.iter().map(|(name, _)| name.as_str()).collect()
}

/// Runs a sweeper until `until` is done.
fn while_sweeping<'a, T: 'a>(
    ledger: &'a Ledger,
    nats: &'a Nats,
    until: impl Future<Output = T> + 'a,
) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    Box::pin(async move {
        let service = nats.mode(SWEEP).await;
        while_running(ledger.sweep(), service, until).await
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_follows_is_told_once_by_whatever_number_of_sweepers() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    // b has its evidence and no diagnosis; c is over; d is being changed; e was changed and proposed.
    for letter in "abcde".chars() {
        detect(&nats, letter, Phase::Open).await;
    }
    redact(&nats, 'b').await;
    detect(&nats, 'c', Phase::Resolved).await;
    for letter in "de".chars() {
        redact(&nats, letter).await;
        act(&nats, letter, Step::Intended, "intended").await;
    }
    act(&nats, 'e', Step::Applied, "applied").await;
    detect(&nats, 'd', Phase::Resolved).await;
    // The sweeper's own messages are recorded too: 5 + 1 + 1 + 4 + 1 + 1, and what is overdue.
    let all = [
        "a evidence-open",
        "b diagnosis-open",
        "d change-intended",
        "e diagnosis-open",
        "e notice-applied",
        "e verification-applied",
    ];
    let recording = nats.service("svc-audit").await;
    let rows = i64::try_from(13 + all.len()).unwrap();
    let found = while_running(ledger.ingest(), recording, async {
        let (first, second) = tokio::join!(
            while_sweeping(&ledger, &nats, overdue(&nats, all.len())),
            while_sweeping(&ledger, &nats, overdue(&nats, all.len())),
        );
        assert_eq!(names(&first), names(&second));
        ledger.recorded(rows).await;
        first
    })
    .await;
    assert_eq!(names(&found), all);
    let (_, evidence) = &found[0];
    assert_eq!(evidence.awaited(), Awaited::Evidence);
    assert_eq!(evidence.failure_class(), FailureClass::OomKilled);
    assert_eq!(evidence.incident, Some(incident('a')), "with its name");
    assert_eq!(evidence.limit_seconds, 1);
    let caused_by = &evidence.envelope.as_ref().unwrap().caused_by;
    assert_eq!(
        *caused_by,
        nats.subject('a', Stage::Detected, "open").to_string()
    );
    assert_eq!(ledger.count("overdue").await, 6);

    // A sweeper that starts again knows what was told, also when the stream has forgotten it.
    let again = while_running(ledger.ingest(), nats.service("svc-audit").await, async {
        detect(&nats, 'f', Phase::Open).await;
        while_sweeping(&ledger, &nats, overdue(&nats, all.len() + 1)).await
    })
    .await;
    assert_eq!(names(&again)[all.len()..], ["f evidence-open"]);
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_telling_and_recording_it_tells_nothing_twice() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    detect(&nats, 'a', Phase::Open).await;
    while_running(ledger.ingest(), nats.service("svc-audit").await, async {
        while_sweeping(&ledger, &nats, overdue(&nats, 1)).await;
        sqlx::raw_sql("delete from audit.overdue")
            .execute(&mut ledger.superuser().await)
            .await
            .unwrap();
        detect(&nats, 'b', Phase::Open).await;
        let found = while_sweeping(&ledger, &nats, overdue(&nats, 2)).await;
        assert_eq!(names(&found), ["a evidence-open", "b evidence-open"]);
    })
    .await;
    assert_eq!(ledger.count("overdue").await, 2, "recorded after all");
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_behind_is_not_taken_for_a_stage_that_does_not_answer() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    detect(&nats, 'a', Phase::Open).await;
    detect(&nats, 'b', Phase::Open).await;
    ledger.record(&nats, 2).await;
    // The ledger is down when the evidence comes.
    redact(&nats, 'a').await;
    let sweeping = nats.mode(SWEEP).await;
    while_running(ledger.sweep(), sweeping.clone(), async {
        let behind = "bonesetter_audit_sweep_behind_seconds{awaited=\"evidence\"} inf";
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while !sweeping.metrics.encode().unwrap().contains(behind) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{}",
                sweeping.metrics.encode().unwrap()
            );
            tokio::task::yield_now().await;
        }
        assert!(nats.stored(Stage::Overdue).await.is_empty());
        // It comes back and catches up: a has its evidence (and no diagnosis), b has none.
        let recording = nats.service("svc-audit").await;
        let found = while_running(ledger.ingest(), recording, overdue(&nats, 2)).await;
        assert_eq!(names(&found), ["a diagnosis-open", "b evidence-open"]);
    })
    .await;
    ledger.drop().await;
}
