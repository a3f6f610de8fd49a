//! Messages of a given size, and what passes them on: the product's runner, and JetStream bare.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::Client;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context};
use bonesetter_chassis::bus::Publisher;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::stage::{Input, Outcome, Output, Stage};
use bonesetter_chassis::topology::ConsumerSpec;
use bonesetter_proto::v1::{Acted, Detected, Diagnosed, Enriched, Envelope, Incident, Redacted};
use bonesetter_proto::{IncidentId, Message, Namespace, Stage as StageName, Subject, Writer};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rand::SeedableRng as _;
use rand::distr::{Alphanumeric, SampleString as _};
use rand::rngs::StdRng;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::measure::LIMIT;

/// How many messages the product handles, and the comparison passes on, at a time.
pub(crate) const CONCURRENCY: usize = 32;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A message whose size is that of the incident in it.
pub(crate) trait Carrier: Message {
    fn carrying(incident: Incident) -> Self;
    fn carried(&self) -> Option<&Incident>;
}

macro_rules! carrier {
    ($($message:ident)*) => {$(
        impl Carrier for $message {
            fn carrying(incident: Incident) -> Self {
                Self { incident: Some(incident), ..Self::default() }
            }
            fn carried(&self) -> Option<&Incident> {
                self.incident.as_ref()
            }
        }
    )*};
}
carrier!(Detected Enriched Redacted Diagnosed Acted Unsigned);

/// In the place of [`Detected`], and signed by nobody, so that signatures are not what is measured.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Unsigned {
    #[prost(message, optional, tag = "1")]
    envelope: Option<Envelope>,
    #[prost(message, optional, tag = "2")]
    incident: Option<Incident>,
}

impl Message for Unsigned {
    const STAGE: StageName = Detected::STAGE;
    const EVENT_TYPE: &'static str = Detected::EVENT_TYPE;
    const SIGNED_BY: Option<Writer> = None;

    fn envelope(&self) -> Option<&Envelope> {
        self.envelope.as_ref()
    }

    fn envelope_mut(&mut self) -> &mut Option<Envelope> {
        &mut self.envelope
    }

    fn incident(&self) -> Option<&Incident> {
        self.incident.as_ref()
    }
}

/// A range of incidents and the size of their messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    /// The same seed makes the same messages.
    pub(crate) seed: u64,
}

impl Load {
    fn subject(stage: StageName, number: usize) -> anyhow::Result<Subject> {
        let mut id = vec![b'a'; IncidentId::LENGTH];
        let mut rest = number;
        for place in id.iter_mut().rev() {
            *place = ALPHABET[rest % 32];
            rest /= 32;
        }
        Ok(Subject {
            stage,
            cluster: "bench".to_owned(),
            namespace: Namespace::new("shop").ok(),
            kind: "Deployment".to_owned(),
            incident: IncidentId::new(String::from_utf8(id)?)?,
            step: "open".to_owned(),
        })
    }

    async fn publish_one<M: Carrier>(
        self,
        publisher: &Publisher<M>,
        number: usize,
    ) -> anyhow::Result<()> {
        let subject = Self::subject(M::STAGE, number)?;
        let mut random = StdRng::seed_from_u64(self.seed.wrapping_add(u64::try_from(number)?));
        // The envelope and the rest are about 260 bytes.
        let length = self.bytes.saturating_sub(260);
        let incident = Incident {
            id: subject.incident.to_string(),
            cluster: Alphanumeric.sample_string(&mut random, length),
            ..Incident::default()
        };
        publisher
            .publish(&subject, M::carrying(incident), "")
            .await?;
        Ok(())
    }

    /// Stores all of it, many at a time.
    pub(crate) async fn fill<M: Carrier>(self, service: &Service) -> anyhow::Result<()> {
        let publisher = service.publisher::<M>()?;
        stream::iter(self.first..self.first + self.count)
            .map(Ok)
            .try_for_each_concurrent(CONCURRENCY, async |number| {
                self.publish_one(&publisher, number).await
            })
            .await
    }

    /// Stores one after another, with pauses, so that each finds everybody idle.
    pub(crate) async fn trickle<M: Carrier>(
        self,
        service: &Service,
        every: Duration,
    ) -> anyhow::Result<()> {
        let publisher = service.publisher::<M>()?;
        let mut clock = tokio::time::interval(every);
        for number in self.first..self.first + self.count {
            clock.tick().await;
            self.publish_one(&publisher, number).await?;
        }
        Ok(())
    }
}

/// Passes on what it gets, under another step where the next consumer asks for one.
struct Pass<I, O, const IS_REPEATABLE: bool> {
    step: Option<&'static str>,
    handled: Arc<Semaphore>,
    types: std::marker::PhantomData<fn(I) -> O>,
}

impl<I: Carrier, O: Carrier, const IS_REPEATABLE: bool> Stage for Pass<I, O, IS_REPEATABLE> {
    type In = I;
    type Out = O;
    const IS_REPEATABLE: bool = IS_REPEATABLE;

    async fn handle(&self, input: &Input<I>) -> Outcome<O> {
        let step = self.step.unwrap_or(&input.subject.step).to_owned();
        let message = O::carrying(input.message.carried().cloned().unwrap_or_default());
        self.handled.add_permits(1);
        Outcome::Done(vec![Output { step, message }])
    }
}

/// The product's runner on a consumer.
pub(crate) struct Running {
    task: JoinHandle<anyhow::Result<()>>,
    handled: Arc<Semaphore>,
}

impl Running {
    /// Starts it; it ends with the service.
    pub(crate) fn start<I: Carrier, O: Carrier, const IS_REPEATABLE: bool>(
        service: &Service,
        spec: ConsumerSpec,
        step: Option<&'static str>,
    ) -> Self {
        let service = service.clone();
        let handled = Arc::new(Semaphore::new(0));
        let stage = Pass::<I, O, IS_REPEATABLE> {
            step,
            handled: handled.clone(),
            types: std::marker::PhantomData,
        };
        let task = tokio::spawn(async move { service.run_stage(&spec, stage).await });
        Self { task, handled }
    }

    /// Waits until so many messages have come to the handler, and asks the server nothing meanwhile.
    pub(crate) async fn has_handled(&self, count: usize) -> anyhow::Result<()> {
        let handled = self.handled.acquire_many(u32::try_from(count)?);
        let handled = tokio::time::timeout(LIMIT, handled).await;
        handled
            .with_context(|| format!("{count} messages were not handled within {LIMIT:?}"))??
            .forget();
        Ok(())
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.task.await?
    }
}

/// Passes on with the client alone: pull, publish with the same headers, id and expected sequence,
/// wait until it is stored, ack. In a task of its own, as the product. Returns when all acks have
/// reached the server.
pub(crate) async fn run_raw(
    client: &Client,
    spec: ConsumerSpec,
    out: StageName,
    count: usize,
) -> anyhow::Result<()> {
    tokio::spawn(pass_all_raw(client.clone(), spec, out, count)).await?
}

async fn pass_all_raw(
    client: Client,
    spec: ConsumerSpec,
    out: StageName,
    count: usize,
) -> anyhow::Result<()> {
    let js = jetstream::new(client.clone());
    let stage = spec.stream.stage.context("a stage")?;
    let names = (format!(".{stage}."), format!(".{out}."));
    let consumer: PullConsumer = js
        .get_consumer_from_stream(spec.name, spec.stream.name)
        .await?;
    consumer
        .stream()
        .max_messages_per_batch(200)
        .messages()
        .await?
        .take(count)
        .map(Ok)
        .try_for_each_concurrent(CONCURRENCY, async |message| {
            pass_raw(&js, message?, &names).await
        })
        .await?;
    client.flush().await?;
    Ok(())
}

async fn pass_raw(
    js: &Context,
    message: async_nats::jetstream::Message,
    (from, to): &(String, String),
) -> anyhow::Result<()> {
    let subject = message.subject.replace(from, to);
    let mut headers = async_nats::HeaderMap::new();
    for (name, values) in message.headers.iter().flat_map(|headers| headers.iter()) {
        let own: [&str; 2] = [
            NATS_MESSAGE_ID.as_ref(),
            NATS_EXPECTED_LAST_SUBJECT_SEQUENCE.as_ref(),
        ];
        let name_is: &str = name.as_ref();
        if !own.contains(&name_is) {
            headers.insert(name.clone(), values[0].clone());
        }
    }
    let out = PublishMessage::build()
        .headers(headers)
        .message_id(&subject)
        .expected_last_subject_sequence(0)
        .payload(message.payload.clone());
    js.send_publish(subject, out).await?.await?;
    message
        .ack()
        .await
        .map_err(|error| anyhow::anyhow!("ack: {error}"))
}
