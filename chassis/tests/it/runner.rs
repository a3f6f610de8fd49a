use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bonesetter_chassis::bus::header;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::stage::{Input, Outcome, Output, Stage};
use bonesetter_chassis::topology::{ConsumerSpec, ENRICHER, LLM, REDACTOR};
use bonesetter_proto::v1::{
    DeadLetter, Detected, Diagnosed, Enriched, Envelope, Evidence, Redacted,
};
use bonesetter_proto::{Event as _, Message, Stage as StageName};
use prost::Message as _;
use tokio::task::JoinHandle;

use crate::bed::{Bed, detected, stored, subject};
use crate::spy::with_certificates;

type Handler<I, O> = dyn Fn(&Input<I>) -> Outcome<O> + Send + Sync;

/// A stage that does what the test says.
struct Scripted<I, O> {
    handler: Box<Handler<I, O>>,
    handled: Arc<AtomicU64>,
}

impl<I: Message, O: Message> Stage for Scripted<I, O> {
    type In = I;
    type Out = O;
    const REASONS: &'static [&'static str] = &["impossible"];

    async fn handle(&self, input: &Input<I>) -> Outcome<O> {
        self.handled.fetch_add(1, Ordering::SeqCst);
        (self.handler)(input)
    }
}

pub(crate) fn run<I: Message, O: Message>(
    service: &Service,
    spec: ConsumerSpec,
    handler: impl Fn(&Input<I>) -> Outcome<O> + Send + Sync + 'static,
) -> (Arc<AtomicU64>, JoinHandle<anyhow::Result<()>>) {
    let handled = Arc::new(AtomicU64::new(0));
    let stage = Scripted {
        handler: Box::new(handler),
        handled: handled.clone(),
    };
    let service = service.clone();
    (
        handled,
        tokio::spawn(async move { service.run_stage(&spec, stage).await }),
    )
}

pub(crate) fn pass<O: Message>(input: &Input<impl Message>) -> Outcome<O> {
    Outcome::Done(vec![Output {
        step: input.subject.step.clone(),
        message: O::default(),
    }])
}

pub(crate) async fn publish(bed: &Bed, numbers: Range<u8>) {
    let publisher = bed
        .service("svc-watcher")
        .await
        .publisher::<Detected>()
        .unwrap();
    for number in numbers {
        let subject = subject(number, "open");
        publisher
            .publish(&subject, detected(&subject), "")
            .await
            .unwrap();
    }
}

fn letter(payload: &bytes::Bytes) -> DeadLetter {
    DeadLetter::decode(payload.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_passes_messages_on_once_and_names_what_caused_them() {
    let bed = Bed::start().await;
    publish(&bed, 0..5).await;
    let enricher = bed.service("svc-enricher").await;
    let (_, running) = run::<Detected, Enriched>(&enricher, ENRICHER, pass);
    // The redactor is the one reader of the raw stream; it sees every message once.
    let seen: Arc<Mutex<BTreeMap<String, (u64, String)>>> = Arc::default();
    let kept = seen.clone();
    let redactor = bed.service("svc-redactor").await;
    let (_, redacting) = run::<Enriched, Redacted>(
        &redactor,
        bonesetter_chassis::topology::REDACTOR,
        move |input| {
            let caused_by = input.message.envelope.clone().unwrap().caused_by;
            let mut kept = kept.lock().unwrap();
            kept.entry(input.subject.to_string())
                .or_insert((0, caused_by))
                .0 += 1;
            pass(input)
        },
    );
    let found = stored(&bed.bus("operator").await, StageName::Redacted, 5).await;
    assert_eq!(found.len(), 5);
    for service in [&enricher, &redactor] {
        service.shutdown.cancel();
    }
    running.await.unwrap().unwrap();
    redacting.await.unwrap().unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 5);
    for (subject, (times, caused_by)) in &*seen {
        assert_eq!(*times, 1, "{subject}");
        assert_eq!(caused_by, &subject.replace(".enriched.", ".detected."));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_exports_no_traces_passes_trace_context_on_as_it_came() {
    const CONTEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let bed = Bed::start().await;
    let subject = subject(0, "open").at(StageName::Enriched, "open");
    let payload = Enriched::default().into_bytes(Envelope {
        subject: subject.to_string(),
        ..Envelope::default()
    });
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(header::TRACEPARENT, CONTEXT);
    let raw = nats_client(&bed, "svc-enricher").await;
    raw.publish_with_headers(subject.to_string(), headers, payload.into())
        .await
        .unwrap();
    raw.flush().await.unwrap();
    let redactor = bed.service("svc-redactor").await;
    let (_, running) = run::<Enriched, Redacted>(&redactor, REDACTOR, pass);
    let found = stored(&bed.bus("operator").await, StageName::Redacted, 1).await;
    redactor.shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(found[0].header(header::TRACEPARENT), Some(CONTEXT));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_comes_again_and_what_never_succeeds_is_buried() {
    let bed = Bed::start().await;
    publish(&bed, 0..2).await;
    let enricher = bed.service("svc-enricher").await;
    let spec = ConsumerSpec {
        max_deliver: 2,
        ..ENRICHER
    };
    let hopeless = subject(0, "open");
    let (handled, running) = run::<Detected, Enriched>(&enricher, spec, move |input| {
        if input.subject == hopeless || input.deliveries == 1 {
            let cause = anyhow::anyhow!("the API server is away");
            return Outcome::Retry {
                after: Duration::from_millis(1),
                cause,
            };
        }
        pass(input)
    });
    let letters = dead_letters(&bed, 1).await;
    enricher.shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, "exhausted");
    assert_eq!(letters[0].deliveries, 2);
    assert_eq!(letters[0].cause, "the API server is away");
    assert_eq!(
        (letters[0].stream.as_str(), letters[0].sequence),
        ("BONESETTER_DETECTED", 1)
    );
    assert_eq!(handled.load(Ordering::SeqCst), 4);
}

/// Dead letters are read by a subscription-free reader of the operator.
async fn dead_letters(bed: &Bed, count: usize) -> Vec<DeadLetter> {
    let found = stored(&bed.bus("operator").await, StageName::Dlq, count).await;
    found
        .iter()
        .map(|message| letter(&message.payload))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_buried_at_once_with_its_reason() {
    let bed = Bed::start().await;
    let raw = nats_client(&bed, "svc-enricher").await;
    let raw_subject = |number| {
        let subject = subject(number, "open");
        subject.at(StageName::Enriched, "open").to_string()
    };
    for (subject, payload) in [
        (raw_subject(0), b"\xff\xff\xff".to_vec()),
        (raw_subject(1), Enriched::default().encode_to_vec()),
        (
            "bonesetter.v1.enriched.not.a.subject".to_owned(),
            Vec::new(),
        ),
    ] {
        raw.publish(subject, payload.into()).await.unwrap();
    }
    raw.flush().await.unwrap();
    let redactor = bed.service("svc-redactor").await;
    let (handled, running) = run::<Enriched, Redacted>(&redactor, REDACTOR, pass);
    let mut reasons: Vec<String> = dead_letters(&bed, 3)
        .await
        .into_iter()
        .map(|letter| letter.reason)
        .collect();
    redactor.shutdown.cancel();
    running.await.unwrap().unwrap();
    reasons.sort();
    assert_eq!(reasons, ["bad-subject", "subject-differs", "undecodable"]);
    assert_eq!(
        handled.load(Ordering::SeqCst),
        0,
        "a handler never sees garbage"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_and_forged_messages_never_reach_a_handler() {
    let bed = Bed::start().await;
    let raw = nats_client(&bed, "svc-redactor").await;
    let unsigned = subject(0, "open")
        .at(StageName::Redacted, "open")
        .to_string();
    let body = || Redacted {
        evidence: Some(Evidence::default()),
        ..Redacted::default()
    };
    raw.publish(unsigned, body().encode_to_vec().into())
        .await
        .unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("bonesetter-key-id", "0011223344556677");
    headers.insert("bonesetter-sig", "AAAA");
    let forged = subject(1, "open")
        .at(StageName::Redacted, "open")
        .to_string();
    raw.publish_with_headers(forged, headers, body().encode_to_vec().into())
        .await
        .unwrap();
    raw.flush().await.unwrap();
    let llm = bed.service("svc-llm").await;
    let (handled, running) = run::<Redacted, Diagnosed>(&llm, LLM, pass);
    let mut reasons: Vec<String> = dead_letters(&bed, 2)
        .await
        .into_iter()
        .map(|letter| letter.reason)
        .collect();
    llm.shutdown.cancel();
    running.await.unwrap().unwrap();
    reasons.sort();
    assert_eq!(reasons, ["forged", "unsigned"]);
    assert_eq!(handled.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_server_is_killed_in_the_middle() {
    let mut bed = Bed::start().await;
    publish(&bed, 0..20).await;
    let enricher = bed.service("svc-enricher").await;
    let (handled, running) = run::<Detected, Enriched>(&enricher, ENRICHER, pass);
    while handled.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    bed.nats.kill();
    bed.nats.restart().await.unwrap();
    let redactor = bed.service("svc-redactor").await;
    let (_, redacting) =
        run::<Enriched, Redacted>(&redactor, bonesetter_chassis::topology::REDACTOR, pass);
    let found = stored(&bed.bus("operator").await, StageName::Redacted, 20).await;
    assert_eq!(found.len(), 20, "each once");
    for service in [&enricher, &redactor] {
        service.shutdown.cancel();
    }
    running.await.unwrap().unwrap();
    redacting.await.unwrap().unwrap();
}

/// A plain client, as somebody would use it who holds a service's credentials.
pub(crate) async fn nats_client(bed: &Bed, user: &str) -> async_nats::Client {
    let seed = std::fs::read_to_string(bed.keys.nkey_seed(user)).unwrap();
    login(bed, user, seed).await.unwrap()
}

pub(crate) async fn login(
    bed: &Bed,
    user: &str,
    seed: String,
) -> Result<async_nats::Client, async_nats::ConnectError> {
    with_certificates(bed, async_nats::ConnectOptions::with_nkey(seed), user)
        .custom_inbox_prefix(format!("_INBOX_{user}"))
        .connect(bed.nats.url())
        .await
}
