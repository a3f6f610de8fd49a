//! What triggers an effect must be signed by its writer over subject and payload, and must have come
//! by a publish, not as an answer of the server to somebody else's request.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use async_nats::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_chassis::bus::provision;
use bonesetter_chassis::stage::Outcome;
use bonesetter_chassis::topology::{
    ACTUATOR_APPLY, ACTUATOR_DECIDE, ACTUATOR_VERIFY, ConsumerSpec, ENRICHER, LLM, NOTIFIER_ACTED,
    NOTIFIER_OVERDUE, NOTIFIER_RESOLVED, REDACTOR,
};
use bonesetter_keys::SigningKey;
use bonesetter_proto::v1::{
    Acted, DeadLetter, Detected, Diagnosed, Enriched, Envelope, Notified, Overdue, Redacted,
};
use bonesetter_proto::{Message, Stage, Subject, Writer};
use prost::Message as _;

use crate::bed::{Bed, stored, subject};
use crate::runner::{nats_client, pass, run};
use crate::spy::{Admin, Verdict, headers};

fn payload<M: Message>(subject: &str) -> Vec<u8> {
    let mut message = M::default();
    *message.envelope_mut() = Some(Envelope {
        subject: subject.to_owned(),
        ..Envelope::default()
    });
    message.encode_to_vec()
}

fn signed(key: &SigningKey, subject: &str, payload: &[u8]) -> HeaderMap {
    let signature = key.sign(subject, payload);
    headers(&[
        ("bonesetter-key-id", &signature.key_id),
        ("bonesetter-sig", &STANDARD.encode(signature.bytes)),
    ])
}

/// Publishes one good message and every bad one that somebody could who holds the writer's
/// credentials of the bus but not its key; only the good one may reach the handler of the stage.
async fn only_signed<I: Message, O: Message>(
    spec: ConsumerSpec,
    writer: Writer,
    user: &'static str,
) {
    let bed = Bed::start().await;
    let step = spec.step.unwrap_or("open");
    let at = |number: u8| -> Subject { subject(number, step).at(I::STAGE, step) };
    let key = SigningKey::read(&bed.keys.signing(writer)).unwrap();
    let other = Writer::ALL
        .into_iter()
        .find(|other| *other != writer)
        .unwrap();
    let foreign = SigningKey::read(&bed.keys.signing(other)).unwrap();
    let client = nats_client(&bed, writer.service()).await;
    let mut number = 0;
    let send = async |subject: &str, headers: HeaderMap, payload: Vec<u8>| {
        let subject = subject.to_owned();
        let sent = client.publish_with_headers(subject, headers, payload.into());
        sent.await.unwrap();
    };
    let mut next = || {
        number += 1;
        at(number).to_string()
    };
    let mut expected = BTreeMap::new();

    let subject = next();
    send(&subject, HeaderMap::new(), payload::<I>(&subject)).await;
    expected.insert(subject, "unsigned".to_owned());

    let subject = next();
    let body = payload::<I>(&subject);
    send(&subject, signed(&foreign, &subject, &body), body).await;
    expected.insert(subject, "forged".to_owned());

    let (original, moved) = (next(), next());
    let body = payload::<I>(&original);
    send(&moved, signed(&key, &original, &body), body).await;
    expected.insert(moved, "forged".to_owned());

    let subject = next();
    let headers = signed(&key, &subject, &payload::<I>(&subject));
    send(&subject, headers, payload::<I>(&original)).await;
    expected.insert(subject, "forged".to_owned());

    let subject = next();
    let body = payload::<I>(&original);
    send(&subject, signed(&key, &subject, &body), body).await;
    expected.insert(subject, "forged".to_owned());

    for header in ["Nats-Stream", "Nats-Subject", "status"] {
        let subject = next();
        let body = payload::<I>(&subject);
        let mut headers = signed(&key, &subject, &body);
        headers.insert(header, "x");
        send(&subject, headers, body).await;
        expected.insert(subject, "injected".to_owned());
    }

    let good = next();
    let body = payload::<I>(&good);
    send(&good, signed(&key, &good, &body), body).await;
    client.flush().await.unwrap();

    let service = bed.service(user).await;
    let (handled, running) = run::<I, O>(&service, spec, |_| Outcome::Done(Vec::new()));
    let letters = stored(&bed.bus("operator").await, Stage::Dlq, expected.len()).await;
    while handled.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    service.shutdown.cancel();
    running.await.unwrap().unwrap();
    let found: BTreeMap<String, String> = letters
        .iter()
        .map(|letter| DeadLetter::decode(letter.payload.clone()).unwrap())
        .map(|letter| (letter.dead_subject, letter.reason))
        .collect();
    assert_eq!(found, expected, "{}", spec.name);
    assert_eq!(handled.load(Ordering::SeqCst), 1, "{}", spec.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn collecting_evidence_takes_signed_detections_only() {
    only_signed::<Detected, Enriched>(ENRICHER, Writer::Watcher, "svc-enricher").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn diagnosing_takes_signed_evidence_only() {
    only_signed::<Redacted, Diagnosed>(LLM, Writer::Redactor, "svc-llm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deciding_takes_signed_diagnoses_only() {
    only_signed::<Diagnosed, Acted>(ACTUATOR_DECIDE, Writer::Llm, "svc-actuator").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_takes_signed_intents_only() {
    only_signed::<Acted, Acted>(ACTUATOR_APPLY, Writer::Actuator, "svc-actuator").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verifying_and_taking_back_takes_signed_changes_only() {
    only_signed::<Acted, Acted>(ACTUATOR_VERIFY, Writer::Actuator, "svc-actuator").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telling_takes_signed_decisions_only() {
    only_signed::<Acted, Notified>(NOTIFIER_ACTED, Writer::Actuator, "svc-notifier").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telling_of_an_end_takes_signed_detections_only() {
    only_signed::<Detected, Notified>(NOTIFIER_RESOLVED, Writer::Watcher, "svc-notifier").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telling_what_is_overdue_takes_signed_findings_only() {
    only_signed::<Overdue, Notified>(NOTIFIER_OVERDUE, Writer::Sweeper, "svc-notifier").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_server_is_no_message_of_an_unsigned_stage_either() {
    let bed = Bed::start().await;
    let enricher = nats_client(&bed, "svc-enricher").await;
    let subject = subject(0, "open").at(Stage::Enriched, "open").to_string();
    let body = payload::<Enriched>(&subject);
    enricher
        .publish_with_headers(subject, headers(&[("Nats-Stream", "x")]), body.into())
        .await
        .unwrap();
    enricher.flush().await.unwrap();
    let redactor = bed.service("svc-redactor").await;
    let (handled, running) = run::<Enriched, Redacted>(&redactor, REDACTOR, pass);
    let letters = stored(&bed.bus("operator").await, Stage::Dlq, 1).await;
    redactor.shutdown.cancel();
    running.await.unwrap().unwrap();
    let letter = DeadLetter::decode(letters[0].payload.clone()).unwrap();
    assert_eq!(letter.reason, "injected");
    assert_eq!(handled.load(Ordering::SeqCst), 0);
}

/// The server's answers, directed into the stream of decisions through a reply subject by somebody in the
/// account that holds the streams; of our users none is there.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_server_is_not_a_decision() {
    let admin = Admin::new();
    let bed = Bed::start_with(&[], |accounts| admin.joining(&accounts, "BONESETTER")).await;
    provision(&bed.bus("provisioner").await).await.unwrap();
    let intended = |number: u8| {
        let subject = subject(number, "intended").at(Stage::Acted, "intended");
        subject.to_string()
    };
    let mut admin = admin.spy(&bed).await;
    let own = subject(0, "open").at(Stage::Diagnosed, "open").to_string();
    // The server does store these: it checks the subject of the request, not that of the answer.
    let stored_ack = admin.publish(&own, Some(&intended(1)), "x").await;
    let stored_info = "$JS.API.CONSUMER.INFO.BONESETTER_REDACTED.llm";
    let stored_info = admin.publish(stored_info, Some(&intended(2)), "").await;
    let direct = "$JS.API.STREAM.MSG.GET.BONESETTER_DIAGNOSED";
    let stored_message = admin
        .publish(direct, Some(&intended(3)), r#"{"seq":1}"#)
        .await;
    // What a pull of nothing is answered with is a header that begins with a status, and no body.
    let pull = "$JS.API.CONSUMER.MSG.NEXT.BONESETTER_REDACTED.llm";
    let stored_status = admin
        .publish(pull, Some(&intended(4)), r#"{"batch":1,"no_wait":true}"#)
        .await;
    assert_eq!(
        [stored_ack, stored_info, stored_message, stored_status],
        [const { Verdict::Done }; 4]
    );
    assert_eq!(
        stored(&bed.bus("operator").await, Stage::Acted, 4)
            .await
            .len(),
        4
    );

    let actuator = bed.service("svc-actuator").await;
    let (handled, running) = run::<Acted, Acted>(&actuator, ACTUATOR_APPLY, pass);
    let letters = stored(&bed.bus("operator").await, Stage::Dlq, 4).await;
    actuator.shutdown.cancel();
    running.await.unwrap().unwrap();
    for letter in letters {
        let letter = DeadLetter::decode(letter.payload).unwrap();
        assert_eq!(letter.reason, "unsigned", "{letter:?}");
    }
    assert_eq!(handled.load(Ordering::SeqCst), 0);
}
