//! What becomes of a message that a worker cannot handle, or never answers.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, AckKind};
use bonesetter_chassis::bus::{DecideError, StoredMessage, StreamReader, decision_subject};
use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::stage::{Input, Outcome};
use bonesetter_chassis::topology::{
    ADVISORY, AUDIT_ADVISORIES, ConsumerSpec, DETECTED, DLQ, ENRICHED, ENRICHER, NOTIFIER_RESOLVED,
    REDACTOR, redrive_of,
};
use bonesetter_proto::v1::{
    DeadLetter, Detected, Enriched, Envelope, Notified, Redrive, RedriveAction,
};
use bonesetter_proto::{Stage, Subject, to_timestamp};
use futures::StreamExt as _;
use prost::Message as _;
use tokio::task::JoinHandle;

use crate::bed::{Bed, stored, subject};
use crate::runner::{nats_client, pass, publish, run};

/// Dead letters, oldest first, with their places.
async fn letters(bed: &Bed, count: usize) -> Vec<(u64, DeadLetter)> {
    let found = stored(&bed.bus("operator").await, Stage::Dlq, count).await;
    let letter = |stored: StoredMessage| {
        let letter = DeadLetter::decode(stored.payload).unwrap();
        assert_eq!(letter.envelope.as_ref().unwrap().subject, stored.subject);
        (stored.sequence, letter)
    };
    found.into_iter().map(letter).collect()
}

/// The consumer allows so few deliveries, so short, that the server gives up within the test.
async fn give_up_soon(bed: &Bed, spec: &ConsumerSpec) {
    let js = jetstream::new(nats_client(bed, "provisioner").await);
    let consumer: PullConsumer = js
        .get_consumer_from_stream(spec.name, spec.stream.name)
        .await
        .unwrap();
    let config = &consumer.cached_info().config;
    let config = jetstream::consumer::pull::Config {
        durable_name: config.durable_name.clone(),
        filter_subject: config.filter_subject.clone(),
        ack_policy: config.ack_policy,
        deliver_policy: config.deliver_policy,
        max_ack_pending: config.max_ack_pending,
        ack_wait: Duration::from_millis(200),
        max_deliver: 1,
        ..jetstream::consumer::pull::Config::default()
    };
    js.create_consumer_on_stream(config, spec.stream.name)
        .await
        .unwrap();
}

/// Takes a message as a service does, and answers it so, or not at all.
async fn take(bed: &Bed, spec: &ConsumerSpec, answer: Option<AckKind>) {
    let js = jetstream::new(nats_client(bed, spec.user).await);
    let consumer: PullConsumer = js
        .get_consumer_from_stream(spec.name, spec.stream.name)
        .await
        .unwrap();
    let pull = consumer.batch().max_messages(1);
    let mut batch = pull
        .expires(Duration::from_secs(30))
        .messages()
        .await
        .unwrap();
    let message = batch.next().await.expect("delivered").unwrap();
    if let Some(answer) = answer {
        message.ack_with(answer).await.unwrap();
        js.client().flush().await.unwrap();
    }
    // The server gives up when it would deliver again.
    let _ = consumer
        .batch()
        .expires(Duration::from_millis(500))
        .messages()
        .await
        .unwrap()
        .next()
        .await;
}

struct Running {
    service: Service,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn end(self) {
        self.service.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// The second layer, as svc-audit runs it.
async fn second_layer(bed: &Bed) -> Running {
    let service = bed.service("svc-audit").await;
    let running = service.clone();
    let task = tokio::spawn(async move { running.run_advisories(&AUDIT_ADVISORIES).await });
    Running { service, task }
}

async fn enricher(
    bed: &Bed,
    handler: impl Fn(&Input<Detected>) -> Outcome<Enriched> + Send + Sync + 'static,
) -> Running {
    let service = bed.service("svc-enricher").await;
    let (_, task) = run::<Detected, Enriched>(&service, ENRICHER, handler);
    Running { service, task }
}

fn reject(_: &Input<Detected>) -> Outcome<Enriched> {
    Outcome::Reject {
        reason: "impossible",
        cause: anyhow::anyhow!("it cannot be done"),
    }
}

/// What the redriver publishes; answers the newest letter there is.
async fn redrive(bed: &Bed, about: &Subject, message: (&str, u64), consumer: &str) {
    let bus = bed.bus("redriver").await;
    let reader = StreamReader::new(bus.clone(), "BONESETTER_DLQ");
    let letter = reader.last(&Stage::Dlq.filter()).await.unwrap();
    let subject = decision_subject(about, RedriveAction::Handle, consumer);
    let decision = Redrive {
        stream: message.0.to_owned(),
        sequence: message.1,
        consumer: consumer.to_owned(),
        letter: letter.map_or(0, |letter| letter.sequence),
        action: RedriveAction::Handle.into(),
        ..Redrive::default()
    };
    let reader = StreamReader::new(bus.clone(), "BONESETTER_REDRIVE");
    let about = Stage::Redrive.incident_filter(&subject.incident);
    let last = reader.last(&about).await.unwrap();
    let last = last.map_or(0, |last| last.sequence);
    bus.decide(&Clock::system(), &subject, decision, last)
        .await
        .expect("decided");
}

/// A decision of somebody who has seen no other about the incident.
async fn decide_unseen(
    bed: &Bed,
    action: RedriveAction,
    consumer: &str,
) -> Result<u64, DecideError> {
    let bus = bed.bus("redriver").await;
    let subject = decision_subject(&subject(0, "open"), action, consumer);
    let decision = Redrive {
        stream: DETECTED.name.to_owned(),
        sequence: 1,
        consumer: consumer.to_owned(),
        letter: 1,
        action: action.into(),
        ..Redrive::default()
    };
    bus.decide(&Clock::system(), &subject, decision, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drops_and_who_redrives_at_the_same_time_do_not_both_decide() {
    let bed = Bed::start().await;
    decide_unseen(&bed, RedriveAction::Drop, "enricher")
        .await
        .expect("the first");
    for action in [RedriveAction::Handle, RedriveAction::Drop] {
        let error = decide_unseen(&bed, action, "enricher").await.unwrap_err();
        assert!(matches!(error, DecideError::Overtaken), "{error}");
    }
    // Of another incident nothing was decided.
    let bus = bed.bus("redriver").await;
    let other = decision_subject(&subject(1, "open"), RedriveAction::Drop, "enricher");
    let stored = bus
        .decide(&Clock::system(), &other, Redrive::default(), 0)
        .await;
    assert_eq!(stored.expect("decided"), 2);
}

/// What stands at the same place of a stream that was made anew is another message.
#[tokio::test(flavor = "multi_thread")]
async fn another_message_at_the_place_of_a_dead_one_is_not_handled_for_it() {
    let bed = Bed::start().await;
    publish(&bed, 0..1).await;
    let worker = enricher(&bed, reject).await;
    let letter = letters(&bed, 1).await.remove(0).1;
    worker.end().await;
    let reader = StreamReader::new(bed.bus("operator").await, DETECTED.name);
    let stored = reader.at(1).await.unwrap().unwrap();
    assert_eq!(letter.stored_at, Some(to_timestamp(stored.stored_at)));

    let asked = Redrive {
        stream: DETECTED.name.to_owned(),
        sequence: 1,
        consumer: "enricher".to_owned(),
        letter: 1,
        action: RedriveAction::Handle.into(),
        stored_at: Some(to_timestamp(stored.stored_at - Duration::from_secs(1))),
        ..Redrive::default()
    };
    let about = decision_subject(&subject(0, "open"), RedriveAction::Handle, "enricher");
    let bus = bed.bus("redriver").await;
    let decided = bus.decide(&Clock::system(), &about, asked, 0).await;
    decided.expect("decided");
    let mended = enricher(&bed, pass).await;
    let found = letters(&bed, 2).await;
    mended.end().await;
    assert_eq!(found[1].1.reason, "gone");
}

/// Until everything that the durable has had is answered, and so much was.
async fn settled(bed: &Bed, spec: &ConsumerSpec, count: u64) {
    let js = jetstream::new(nats_client(bed, "provisioner").await);
    loop {
        let consumer: PullConsumer = js
            .get_consumer_from_stream(spec.name, spec.stream.name)
            .await
            .unwrap();
        let info = consumer.cached_info();
        if info.ack_floor.stream_sequence >= count && info.num_ack_pending == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_never_answered_gets_its_dead_letter_from_the_server() {
    let bed = Bed::start().await;
    give_up_soon(&bed, &ENRICHER).await;
    publish(&bed, 0..1).await;
    take(&bed, &ENRICHER, None).await;
    let audit = second_layer(&bed).await;
    let found = letters(&bed, 1).await;
    let letter = &found[0].1;
    assert_eq!(
        (letter.stream.as_str(), letter.sequence),
        (DETECTED.name, 1)
    );
    assert_eq!(letter.consumer, "enricher");
    assert_eq!(letter.reason, "unanswered");
    assert_eq!(letter.deliveries, 1);
    assert_eq!(letter.dead_subject, subject(0, "open").to_string());
    let own = subject(0, "open").at(Stage::Dlq, "svc-audit").to_string();
    assert_eq!(letter.envelope.as_ref().unwrap().subject, own);

    // The same advisory once more, as after a crash between the letter and the ack.
    let about = subject(0, "open");
    redrive(&bed, &about, (ADVISORY.name, 1), AUDIT_ADVISORIES.name).await;
    settled(&bed, redrive_of(&AUDIT_ADVISORIES).unwrap(), 1).await;
    assert_eq!(letters(&bed, 1).await.len(), 1);
    audit.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_buried_is_not_buried_again_and_what_it_only_ended_is() {
    let bed = Bed::start().await;
    publish(&bed, 0..1).await;
    let worker = enricher(&bed, reject).await;
    letters(&bed, 1).await;
    worker.end().await;
    publish(&bed, 1..2).await;
    take(&bed, &ENRICHER, Some(AckKind::Term)).await;
    let audit = second_layer(&bed).await;
    settled(&bed, &AUDIT_ADVISORIES, 2).await;
    let found = letters(&bed, 2).await;
    audit.end().await;
    let found: Vec<_> = found
        .iter()
        .map(|(_, letter)| (letter.sequence, letter.reason.as_str()))
        .collect();
    assert_eq!(found, [(1, "impossible"), (2, "ended")]);
}

/// The stream of the dead letters takes so much.
async fn give_room(bed: &Bed, max_bytes: i64) {
    let js = jetstream::new(nats_client(bed, "provisioner").await);
    let stream = js.get_stream(DLQ.name).await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.max_bytes = max_bytes;
    js.update_stream(config).await.unwrap();
}

/// Until a line of the metrics is there.
async fn counted(service: &Service, line: &str) {
    loop {
        let text = service.metrics.encode().unwrap();
        if text.lines().any(|found| found == line) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_outlives_a_stream_of_dead_letters_that_is_full() {
    let bed = Bed::start().await;
    publish(&bed, 0..1).await;
    give_room(&bed, 1).await;
    let service = bed.service("svc-enricher").await;
    let spec = ConsumerSpec {
        max_deliver: 1,
        ..ENRICHER
    };
    let (_, task) = run::<Detected, Enriched>(&service, spec, reject);
    // With the second delivery, which is the last, the message ends.
    let failed = "bonesetter_dead_letters_not_stored_total{consumer=\"enricher\"} 2";
    counted(&service, failed).await;
    let audit = second_layer(&bed).await;
    counted(
        &audit.service,
        "bonesetter_messages_retried_total{consumer=\"audit-advisories\"} 1",
    )
    .await;
    give_room(&bed, DLQ.max_bytes).await;
    let found = letters(&bed, 1).await;
    audit.end().await;
    Running { service, task }.end().await;
    let letter = &found[0].1;
    assert_eq!(letter.reason, "impossible");
    assert_eq!(letter.cause, "it cannot be done");
    assert_eq!((letter.sequence, letter.consumer.as_str()), (1, "enricher"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_dead_letter_finds_no_room_comes_again() {
    let bed = Bed::start().await;
    publish(&bed, 0..1).await;
    give_room(&bed, 1).await;
    let worker = enricher(&bed, reject).await;
    let failed = "bonesetter_dead_letters_not_stored_total{consumer=\"enricher\"}";
    counted(&worker.service, &format!("{failed} 1")).await;
    counted(&worker.service, &format!("{failed} 2")).await;
    give_room(&bed, DLQ.max_bytes).await;
    let found = letters(&bed, 1).await;
    worker.end().await;
    assert_eq!(found[0].1.reason, "impossible");
}

/// What a taken-over service may send under its right to acknowledge.
#[tokio::test(flavor = "multi_thread")]
async fn advisories_about_no_message_are_dead_letters_and_hold_up_no_others() {
    let bed = Bed::start().await;
    let client = nats_client(&bed, "svc-enricher").await;
    let (stream, name) = (ENRICHER.stream.name, ENRICHER.name);
    for sequence in ["0", "x", "18446744073709551615", "-1"] {
        let forged = format!("$JS.ACK.{stream}.{name}.99999999999999999999.{sequence}.1.1.0");
        client
            .publish(forged, "+TERM dead letter 0: x".into())
            .await
            .unwrap();
    }
    client.flush().await.unwrap();
    publish(&bed, 0..1).await;
    take(&bed, &ENRICHER, Some(AckKind::Term)).await;
    let audit = second_layer(&bed).await;
    settled(&bed, &AUDIT_ADVISORIES, 5).await;
    let found = letters(&bed, 5).await;
    audit.end().await;
    let of = |stream: &str| {
        let reasons = found.iter().filter(|(_, letter)| letter.stream == stream);
        reasons
            .map(|(_, letter)| letter.reason.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(stream), ["ended"]);
    assert_eq!(of(AUDIT_ADVISORIES.stream.name), ["undecodable"; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_message_gets_a_letter_from_who_cannot_read_it() {
    let bed = Bed::start().await;
    give_up_soon(&bed, &REDACTOR).await;
    let worker = enricher(&bed, pass).await;
    for number in 0..2 {
        publish(&bed, number..number + 1).await;
        take(&bed, &REDACTOR, None).await;
    }
    worker.end().await;
    let audit = second_layer(&bed).await;
    settled(&bed, &AUDIT_ADVISORIES, 2).await;
    let mut found = letters(&bed, 2).await;
    found.sort_by_key(|(_, letter)| letter.sequence);
    audit.end().await;
    for (_, letter) in &found {
        assert_eq!(letter.stream, ENRICHED.name);
        assert_eq!(letter.dead_subject, "");
    }
    let sequences: Vec<_> = found.iter().map(|(_, letter)| letter.sequence).collect();
    assert_eq!(sequences, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_handled_again_when_that_is_asked_and_its_result_is_stored_once() {
    let bed = Bed::start().await;
    publish(&bed, 0..1).await;
    let broken = enricher(&bed, reject).await;
    letters(&bed, 1).await;
    broken.end().await;

    let about = subject(0, "open");
    redrive(&bed, &about, (DETECTED.name, 1), "enricher").await;
    redrive(&bed, &about, (DETECTED.name, 1), "enricher").await;
    let mended = enricher(&bed, |input| {
        assert_eq!((input.sequence, input.stream), (1, DETECTED.name));
        pass(input)
    })
    .await;
    settled(&bed, redrive_of(&ENRICHER).unwrap(), 2).await;
    mended.end().await;
    let redactor = StreamReader::new(bed.bus("svc-redactor").await, ENRICHED.name);
    let results = redactor.all(&Stage::Enriched.filter()).await.unwrap();
    assert_eq!(results.len(), 1, "handled twice, stored once");
    assert_eq!(
        results[0].subject,
        about.at(Stage::Enriched, "open").to_string()
    );
    assert_eq!(letters(&bed, 1).await.len(), 1);
    // Nothing was published again.
    let stream = stored(&bed.bus("operator").await, Stage::Detected, 1).await;
    assert_eq!(stream.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_again_gets_another_dead_letter() {
    let bed = Bed::start().await;
    publish(&bed, 0..1).await;
    let broken = enricher(&bed, reject).await;
    letters(&bed, 1).await;
    redrive(&bed, &subject(0, "open"), (DETECTED.name, 1), "enricher").await;
    let found = letters(&bed, 2).await;
    broken.end().await;
    assert_eq!(found[1].1.reason, "impossible");
    assert_eq!(
        (found[1].1.stream.as_str(), found[1].1.sequence),
        (DETECTED.name, 1)
    );
    assert_eq!(found[1].1.consumer, "enricher");
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_over_what_is_handled_again_is_a_dead_letter_of_the_message() {
    let bed = Bed::start().await;
    publish(&bed, 0..1).await;
    let broken = enricher(&bed, reject).await;
    letters(&bed, 1).await;
    broken.end().await;
    let redriven = redrive_of(&ENRICHER).unwrap();
    give_up_soon(&bed, redriven).await;
    redrive(&bed, &subject(0, "open"), (DETECTED.name, 1), "enricher").await;
    take(&bed, redriven, None).await;
    let audit = second_layer(&bed).await;
    let found = letters(&bed, 2).await;
    settled(&bed, &AUDIT_ADVISORIES, 2).await;
    audit.end().await;
    assert_eq!(letters(&bed, 2).await.len(), 2);
    let letter = &found[1].1;
    assert_eq!(
        (letter.stream.as_str(), letter.sequence),
        (DETECTED.name, 1)
    );
    assert_eq!(
        (letter.consumer.as_str(), letter.reason.as_str()),
        ("enricher", "unanswered")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_handled_again_is_refused_with_its_reason() {
    let bed = Bed::start().await;
    publish(&bed, 0..1).await;
    let subject = subject(0, "open");
    redrive(&bed, &subject, (DETECTED.name, 7), "enricher").await;
    redrive(&bed, &subject, ("BONESETTER_ACTED", 1), "enricher").await;
    // A service that holds a step of its stream only.
    redrive(&bed, &subject, (DETECTED.name, 1), "notifier-resolved").await;
    let forged = nats_client(&bed, "redriver").await;
    let place = decision_subject(&subject, RedriveAction::Handle, "enricher").to_string();
    forged
        .publish(place.clone(), bytes::Bytes::from_static(b"\xff\xff"))
        .await
        .unwrap();
    let envelope = Some(Envelope {
        subject: place.clone(),
        ..Envelope::default()
    });
    let hollow = Redrive {
        envelope,
        ..Redrive::default()
    };
    let hollow = hollow.encode_to_vec().into();
    forged.publish(place.clone(), hollow).await.unwrap();
    forged.flush().await.unwrap();

    let worker = enricher(&bed, pass).await;
    let found = letters(&bed, 4).await;
    worker.end().await;
    let reasons: Vec<_> = found
        .iter()
        .map(|(_, letter)| (letter.reason.as_str(), letter.stream.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [
            ("gone", DETECTED.name),
            ("other-stream", "BONESETTER_ACTED"),
            ("undecodable", "BONESETTER_REDRIVE"),
            ("not-asked", "BONESETTER_REDRIVE"),
        ]
    );
    assert_eq!(found[3].1.consumer, redrive_of(&ENRICHER).unwrap().name);
    assert_eq!(found[3].1.envelope.as_ref().unwrap().caused_by, place);
    assert_eq!(
        found[0].1.cause,
        "message 7 is no longer in BONESETTER_DETECTED"
    );
    assert!(
        found[0]
            .1
            .envelope
            .as_ref()
            .unwrap()
            .subject
            .contains(".shop.Deployment.")
    );

    let notifier = bed.service("svc-notifier").await;
    let (_, task) = run::<Detected, Notified>(&notifier, NOTIFIER_RESOLVED, pass);
    let found = letters(&bed, 5).await;
    notifier.shutdown.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(found[4].1.reason, "not-for-consumer");
}
