//! One good world, and what each change of it must bring to light.

use std::time::{Duration, UNIX_EPOCH};

use bonesetter_chassis::topology::stream_of;
use bonesetter_demo::receiver::Received;
use bonesetter_proto::v1::{
    Acted, Delivery, Detected, Incident as Who, NoticeKind, Notified, ObjectRef, Phase,
};
use serde_json::{Value, json};

use super::*;
use crate::failure::Failure;
use crate::world::{Letter, Window};

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
const FALSE_ID: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbb";
const UID: &str = "uid-1";

fn subject(stage: Stage, step: &str) -> Subject {
    format!(
        "bonesetter.v1.{}.demo.ns.Deployment.{ID}.{step}",
        stage.as_str()
    )
    .parse()
    .unwrap()
}

impl World {
    /// Stores a message where its stage has its stream, with a row where the ledger records it.
    fn store(&mut self, subject: Subject, body: Body) {
        let stream = stream_of(subject.stage).unwrap().name;
        let sequence = 1 + self.steps.iter().filter(|it| it.stream == stream).count() as u64;
        if ledger_consumers().any(|consumer| consumer.stream.name == stream) {
            self.rows.insert((stream.to_owned(), sequence), 1);
        }
        self.steps.push(Step {
            subject,
            at: UNIX_EPOCH,
            stream,
            sequence,
            body,
        });
    }

    fn detect(&mut self, step: &str, phase: Phase) {
        let detected = Detected {
            incident: Some(Who {
                id: ID.to_owned(),
                root_owner: Some(ObjectRef {
                    uid: UID.to_owned(),
                    ..ObjectRef::default()
                }),
                ..Who::default()
            }),
            phase: phase.into(),
            ..Detected::default()
        };
        self.store(
            subject(Stage::Detected, step),
            Body::Detected(Box::new(detected)),
        );
    }

    fn act(&mut self, name: &str, step: ActedStep) {
        let acted = Acted {
            step: step.into(),
            ..Acted::default()
        };
        self.store(subject(Stage::Acted, name), Body::Acted(Box::new(acted)));
    }

    fn tell(&mut self, step: &str, kind: NoticeKind) {
        let delivery = |channel: &str| Delivery {
            channel: channel.to_owned(),
            delivered: true,
            idempotency_key: format!("key-{step}"),
            ..Delivery::default()
        };
        let notified = Notified {
            kind: kind.into(),
            deliveries: vec![delivery("slack"), delivery("webhook")],
            ..Notified::default()
        };
        self.store(
            subject(Stage::Notified, step),
            Body::Notified(Box::new(notified)),
        );
        let id = format!("key-{step}");
        let body = json!({"id": id, "incident": {"id": ID, "uid": UID}});
        self.webhook.push(received("/webhook", &body));
        let body = json!({"text": format!("{step} of incident {ID}")});
        self.slack.push(received("/slack", &body));
    }

    fn forget(&mut self, stage: Stage, step: &str) {
        let is_it = |it: &Step| it.subject.stage == stage && it.subject.step == step;
        self.steps.retain(|it| !is_it(it));
    }
}

fn received(path: &str, body: &Value) -> Received {
    Received {
        path: path.to_owned(),
        headers: BTreeMap::new(),
        body: body.to_string().into(),
        at: UNIX_EPOCH + Duration::from_secs(100),
    }
}

/// A workload that failed, was mended, and a piece of garbage that died.
fn good() -> World {
    let mut world = World::default();
    world.failures.push(Failure {
        kind: "Deployment".to_owned(),
        namespace: "ns".to_owned(),
        name: "shop-1".to_owned(),
        uid: UID.to_owned(),
        broken_generation: 2,
        generation: 3,
        is_removed: false,
    });
    world.detect("open", Phase::Open);
    world.store(
        subject(Stage::Redacted, "open"),
        Body::Redacted(Box::default()),
    );
    world.store(
        subject(Stage::Diagnosed, "open"),
        Body::Diagnosed(Box::default()),
    );
    world.act("intended", ActedStep::Intended);
    world.act("applied", ActedStep::Applied);
    world.act("verified", ActedStep::Verified);
    world.detect("resolved", Phase::Resolved);
    world.tell("applied-applied", NoticeKind::Applied);
    world.tell("verified-verified", NoticeKind::Verified);
    world.tell("resolved-resolved", NoticeKind::Resolved);
    let false_one = subject(Stage::Detected, "open").to_string();
    let false_one = false_one.replace(ID, FALSE_ID);
    world.store(false_one.parse().unwrap(), Body::Unreadable);
    for consumer in ["enricher", "audit-detected"] {
        world.letters.push(Letter {
            subject: false_one.clone(),
            consumer: consumer.to_owned(),
            reason: "undecodable".to_owned(),
        });
    }
    world.garbage.insert(false_one);
    world
}

#[test]
fn a_good_world_breaks_no_law() {
    let verdict = check(&good());
    assert_eq!(verdict.breaches, []);
    assert_eq!((verdict.incidents, verdict.changes), (1, 1));
    assert_eq!((verdict.notices, verdict.dead_letters), (6, 2));
}

#[test]
fn an_end_may_be_told_with_the_first_notice() {
    let breaches = |resolution: Value| {
        let mut world = good();
        world.forget(Stage::Notified, "resolved-resolved");
        world.webhook.pop();
        world.slack.pop();
        let mut first: Value = serde_json::from_slice(&world.webhook[0].body).unwrap();
        first["resolution"] = resolution;
        world.webhook[0].body = first.to_string().into();
        check(&world).breaches
    };
    assert_eq!(breaches(json!({"reason": "RECOVERED"})), []);
    let untold = format!("{ID}: nobody was told of resolved");
    assert_eq!(breaches(Value::Null), [(Breach::Lost, untold)]);
}

#[test]
fn every_breach_is_found() {
    type Change = fn(&mut World);
    let cases: [(&str, Breach, Change); 23] = [
        ("shop-1 was not detected", Breach::Lost, |world| {
            world
                .steps
                .retain(|step| step.subject.incident.as_str() != ID);
        }),
        ("open is not redacted", Breach::Lost, |world| {
            world.forget(Stage::Redacted, "open");
        }),
        ("open is not diagnosed", Breach::Lost, |world| {
            world.forget(Stage::Diagnosed, "open");
        }),
        ("nothing is decided on open", Breach::Lost, |world| {
            world.forget(Stage::Acted, "intended");
        }),
        ("what was intended came to nothing", Breach::Lost, |world| {
            world.forget(Stage::Acted, "applied");
        }),
        ("what was applied came to nothing", Breach::Lost, |world| {
            world.forget(Stage::Acted, "verified");
        }),
        ("not resolved", Breach::Lost, |world| {
            world.forget(Stage::Detected, "resolved");
        }),
        ("nobody was told of verified", Breach::Lost, |world| {
            world.forget(Stage::Notified, "verified-verified");
        }),
        ("nobody was told", Breach::Lost, |world| {
            world.forget(Stage::Notified, "applied-applied");
            world.forget(Stage::Notified, "verified-verified");
        }),
        ("has not arrived", Breach::Lost, |world| {
            world.webhook.pop();
        }),
        ("arrived and is not recorded", Breach::Lost, |world| {
            let body = json!({"id": "other", "incident": {"id": ID}});
            world.webhook.push(received("/webhook", &body));
        }),
        ("2 of 3 messages in Slack", Breach::Lost, |world| {
            world.slack.pop();
        }),
        ("has no row", Breach::Lost, |world| {
            world.rows.pop_last();
        }),
        ("rows are not archived", Breach::Lost, |world| {
            world.unarchived = 2;
        }),
        ("1 times of 2 that are recorded", Breach::Lost, |world| {
            world.act("rolled-back", ActedStep::RolledBack);
            world.forget(Stage::Acted, "verified");
            world.tell("rolled-back-rolled-back", NoticeKind::RolledBack);
        }),
        ("messages wait for llm", Breach::Lost, |world| {
            world.backlog.insert("llm".to_owned(), 1);
        }),
        ("is stored twice", Breach::Twice, |world| {
            world.act("applied", ActedStep::Applied);
        }),
        ("has 2 rows", Breach::Twice, |world| {
            world.rows.values_mut().for_each(|rows| *rows = 2);
        }),
        (
            "was changed 2 times, 1 are recorded",
            Breach::Twice,
            |world| {
                world.failures[0].generation = 4;
            },
        ),
        ("messages twice, without a reason", Breach::Twice, |world| {
            world.slack.push(world.slack[0].clone());
        }),
        ("(llm): exhausted", Breach::Dead, |world| {
            world.letters.push(Letter {
                subject: subject(Stage::Redacted, "open").to_string(),
                consumer: "llm".to_owned(),
                reason: "exhausted".to_owned(),
            });
        }),
        ("garbage that enricher took", Breach::Other, |world| {
            world.letters.retain(|letter| letter.consumer != "enricher");
        }),
        ("follows from garbage", Breach::Other, |world| {
            let from = subject(Stage::Redacted, "open").to_string();
            let follows = from.replace(ID, FALSE_ID).parse().unwrap();
            world.store(follows, Body::Redacted(Box::default()));
        }),
    ];
    for (text, breach, change) in cases {
        let mut world = good();
        change(&mut world);
        let verdict = check(&world);
        let is_found = |found: &(Breach, String)| found.0 == breach && found.1.contains(text);
        assert!(
            verdict.breaches.iter().any(is_found),
            "{text}: {:?}",
            verdict.breaches
        );
    }
}

#[test]
fn a_message_that_is_shown_twice_is_explained_by_a_fault_at_its_time_only() {
    let arrival = UNIX_EPOCH + Duration::from_secs(100);
    let minute = Duration::from_mins(1);
    for (from, to, explained) in [
        (arrival - minute, arrival + minute, 1),
        (arrival + Duration::from_secs(2), arrival + minute, 1),
        (arrival - minute, arrival - Duration::from_secs(10), 0),
        (arrival + Duration::from_secs(10), arrival + minute, 0),
    ] {
        let mut world = good();
        world.slack.push(world.slack[0].clone());
        world.windows.push(Window { from, to });
        let verdict = check(&world);
        assert_eq!(verdict.repeated_in_slack, explained);
        assert_eq!(verdict.breaches.is_empty(), explained == 1);
    }
}

#[test]
fn a_repetition_with_its_key_is_no_breach() {
    let mut world = good();
    world.webhook.push(world.webhook[0].clone());
    let verdict = check(&world);
    assert_eq!((verdict.repeated_by_key, verdict.breaches), (1, vec![]));
}

#[test]
fn a_removed_workload_may_have_been_changed_after_the_last_look() {
    let mut world = good();
    world.failures[0].generation = 2;
    assert_eq!(check(&world).count(Breach::Lost), 1);
    world.failures[0].is_removed = true;
    assert_eq!(check(&world).breaches, []);
}
