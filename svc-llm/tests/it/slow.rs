//! A provider that does not answer for a while.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bonesetter_chassis::bus::{ConsumerState, StreamReader};
use bonesetter_chassis::stage::{Delivery, Outcome, Sink};
use bonesetter_chassis::topology::{AUDIT_REDACTED, DIAGNOSED, LLM};
use bonesetter_keys::incident_id;
use bonesetter_proto::v1::{Diagnosed, Redacted};
use bonesetter_proto::{IncidentId, Stage, Writer};
use bonesetter_testbed::fault::{Link, Proxy};
use prost::Message as _;

use crate::bus::Bed;
use crate::evidence::{BAD_VALUE, input};
use crate::provider::{answer, completion, config_at, serve};

/// More than the consumer hands out at a time.
const INCIDENTS: u32 = 40;
const REPLICAS: usize = 2;
const LIMIT: Duration = Duration::from_mins(1);

/// Stands for everybody else who reads what svc-llm reads.
struct Reader(Arc<AtomicUsize>);

impl Sink for Reader {
    async fn handle(&self, _: &Delivery) -> Outcome<Infallible> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Outcome::Done(Vec::new())
    }
}

/// Waits until something holds of what svc-llm has to do.
async fn llm_is(bed: &Bed, what: &str, is: impl Fn(&ConsumerState) -> bool) -> ConsumerState {
    let bus = bed.bus("svc-llm").await;
    let look = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            let state = bus.consumer_state(&LLM).await.unwrap();
            if is(&state) {
                return state;
            }
        }
    };
    let found = tokio::time::timeout(LIMIT, look).await;
    found.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_answer_holds_up_svc_llm_and_nobody_else() {
    let provider = serve(completion(&answer().to_string())).await;
    let proxy = Proxy::start(*provider.address()).await.unwrap();
    proxy.set(Link::Stalled);
    let config = config_at(&format!("http://{}", proxy.address()));
    let bed = Bed::start_with(&config, REPLICAS).await;
    let read = Arc::new(AtomicUsize::new(0));
    let other = bed.service("svc-audit", Writer::Redactor).await;
    let sink = Reader(read.clone());
    let reading = tokio::spawn(async move { other.run_sink(&AUDIT_REDACTED, sink).await });

    // Whoever writes is not held up: each of these waits until the message is stored.
    let redactor = bed.service("svc-redactor", Writer::Redactor).await;
    let publisher = redactor.publisher::<Redacted>().unwrap();
    let template = input(BAD_VALUE);
    let mut subjects = BTreeSet::new();
    for number in 0..INCIDENTS {
        let id = incident_id("demo", "uid", number);
        let mut subject = template.subject.clone();
        subject.incident = IncidentId::new(id.clone()).unwrap();
        let mut message = (*template.message).clone();
        message.envelope = None;
        message.incident.get_or_insert_default().id = id;
        publisher.publish(&subject, message, "").await.unwrap();
        subjects.insert(subject.at(Stage::Diagnosed, "open").to_string());
    }
    // Nor is who reads the same stream.
    let expected = subjects.len();
    let done = async {
        while read.load(Ordering::Relaxed) < expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, done)
        .await
        .expect("all was read");
    let busy = REPLICAS * LLM.concurrency;
    let full = |state: &ConsumerState| state.ack_pending >= busy as u64;
    let state = llm_is(&bed, "both replicas to be busy", full).await;
    assert_eq!(
        state.ack_pending, busy as u64,
        "taken ahead of what is handled"
    );
    assert_eq!(state.lag(), u64::from(INCIDENTS));
    let diagnosed = StreamReader::new(bed.bus("operator").await, DIAGNOSED.name);
    let filter = Stage::Diagnosed.filter();
    assert!(diagnosed.all(&filter).await.unwrap().is_empty());

    proxy.set(Link::Open);
    llm_is(&bed, "all to be diagnosed", ConsumerState::is_idle).await;
    let found = diagnosed.all(&filter).await.unwrap();
    assert_eq!(found.len(), subjects.len());
    for stored in found {
        assert!(subjects.contains(&stored.subject), "{}", stored.subject);
        let message = Diagnosed::decode(stored.payload).unwrap();
        assert_eq!(message.diagnosis.unwrap().diagnoser, "openai");
    }
    reading.abort();
}
