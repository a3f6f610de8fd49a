use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull;
use async_nats::{Client, Subject as NatsSubject};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Bus;
use crate::health::Waiting;
use crate::topology::ConsumerSpec;

/// A pull that gets nothing ends after this, or five seconds later when the server does not say so.
const EXPIRES: Duration = Duration::from_secs(5);
const BIND_RETRY: Duration = Duration::from_secs(1);
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
const ACK_ATTEMPTS: u32 = 3;

/// One delivery.
#[derive(Debug)]
pub(crate) struct Pulled {
    /// The durable that delivered it.
    pub(crate) consumer: &'static str,
    pub(crate) subject: String,
    pub(crate) payload: Bytes,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) sequence: u64,
    pub(crate) deliveries: u64,
    pub(crate) stored_at: SystemTime,
    pub(crate) pending: u64,
    pub(crate) acker: Acker,
}

/// Answers one delivery.
#[derive(Debug, Clone)]
pub(crate) struct Acker {
    client: Client,
    reply: NatsSubject,
}

impl Acker {
    /// Tells the server that the message is done, and makes sure that it knows. An ack that gets
    /// lost is not an error: the message comes again and finds everything done.
    pub(crate) async fn ack(&self) -> bool {
        for attempt in 1..=ACK_ATTEMPTS {
            let request = self
                .client
                .request(self.reply.clone(), Bytes::from_static(b"+ACK"));
            match tokio::time::timeout(ACK_TIMEOUT, request).await {
                Ok(Ok(_)) => return true,
                Ok(Err(error)) => tracing::debug!(%error, attempt, "ack was not confirmed"),
                Err(_) => tracing::debug!(attempt, "ack was not confirmed in time"),
            }
        }
        tracing::warn!(
            "an ack was not confirmed; the message will come again and find its work done"
        );
        false
    }

    /// Asks for redelivery after a delay. A bare nak would be immediate and burn the deliveries.
    pub(crate) async fn retry_after(&self, delay: Duration) {
        let nanos = delay.as_nanos().min(u128::from(u64::MAX));
        self.send(format!("-NAK {{\"delay\": {nanos}}}")).await;
    }

    /// Says that the work goes on.
    pub(crate) async fn in_progress(&self) {
        self.send("+WPI".to_owned()).await;
    }

    /// Ends the message without redelivery. The server publishes an advisory.
    pub(crate) async fn terminate(&self, reason: &str) {
        self.send(format!("+TERM {reason}")).await;
    }

    async fn send(&self, body: String) {
        if let Err(error) = self.client.publish(self.reply.clone(), body.into()).await {
            tracing::debug!(%error, "an answer to the server was lost; the ack wait decides");
        }
    }
}

/// Pulls from one durable consumer, never more than can be handled at once.
///
/// The client's endless `Stream` pulls ahead, and does so even while nobody reads from it: what it
/// holds during a slow call outlives the ack wait, is delivered again, handled twice and at last
/// buried. So every pull is a `Batch` of as many messages as handlers are free. It is made without
/// a heartbeat, because a batch that receives one is not woken by the next message.
pub(crate) struct Puller {
    bus: Bus,
    spec: ConsumerSpec,
    connects: watch::Receiver<u64>,
    /// Ready while the consumer is bound.
    waiting: Waiting,
    consumer: Option<PullConsumer>,
    batch: Option<pull::Batch>,
    returned: VecDeque<Pulled>,
}

impl Puller {
    pub(crate) fn new(bus: Bus, spec: ConsumerSpec, waiting: Waiting) -> Self {
        let connects = bus.connects.clone();
        Self {
            bus,
            spec,
            connects,
            waiting,
            consumer: None,
            batch: None,
            returned: VecDeque::new(),
        }
    }

    /// The next delivery, where `free` are the handlers that have nothing to do; `None` when
    /// shutting down.
    pub(crate) async fn next(
        &mut self,
        free: usize,
        shutdown: &CancellationToken,
    ) -> Option<Pulled> {
        loop {
            if let Some(pulled) = self.returned.pop_front() {
                return Some(pulled);
            }
            let Some(batch) = self.batch.as_mut() else {
                self.batch = Some(self.pull(free, shutdown).await?);
                continue;
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                Ok(()) = self.connects.changed() => {
                    tracing::debug!(consumer = self.spec.name, "connected anew, pulling anew");
                    self.end_pull();
                }
                next = batch.next() => match next {
                    Some(Ok(message)) => {
                        if let Some(pulled) = pulled(&self.bus.client, self.spec.name, &message) {
                            return Some(pulled);
                        }
                    }
                    Some(Err(error)) => {
                        tracing::warn!(consumer = self.spec.name, %error, "pulling anew");
                        self.end_pull();
                        self.consumer = None;
                        pause(shutdown).await?;
                    }
                    None => self.batch = None,
                },
            }
        }
    }

    /// Gives back what was pulled and is not begun, so that another replica need not wait for the
    /// ack wait.
    pub(crate) async fn hand_back(mut self) {
        if self.batch.is_some() {
            // What the server sent before it answers this has arrived when the answer has.
            let bound = self.bind().await;
            tracing::debug!(is_bound = bound.is_ok(), "handing back what was pulled");
        }
        self.end_pull();
        for pulled in self.returned {
            pulled.acker.retry_after(Duration::from_millis(1)).await;
        }
    }

    /// Drops the pull, keeping what it holds already.
    fn end_pull(&mut self) {
        let Some(mut batch) = self.batch.take() else {
            return;
        };
        while let Some(Some(Ok(message))) = batch.next().now_or_never() {
            self.returned
                .extend(pulled(&self.bus.client, self.spec.name, &message));
        }
    }

    async fn pull(&mut self, count: usize, shutdown: &CancellationToken) -> Option<pull::Batch> {
        loop {
            self.connects.mark_unchanged();
            match self.try_pull(count).await {
                Ok(batch) => {
                    self.waiting.ready();
                    return Some(batch);
                }
                Err(error) => {
                    self.consumer = None;
                    self.waiting.not_ready();
                    tracing::warn!(
                        consumer = self.spec.name, stream = self.spec.stream.name, %error,
                        "cannot bind to the consumer, trying again; `bonesetter provision` creates it"
                    );
                }
            }
            pause(shutdown).await?;
        }
    }

    async fn try_pull(&mut self, count: usize) -> Result<pull::Batch, async_nats::Error> {
        let consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => self.bind().await?,
        };
        let consumer = self.consumer.insert(consumer);
        let batch = consumer.batch().max_messages(count).expires(EXPIRES);
        Ok(batch.messages().await?)
    }

    async fn bind(&self) -> Result<PullConsumer, async_nats::Error> {
        let (consumer, stream) = (self.spec.name, self.spec.stream.name);
        Ok(self
            .bus
            .js
            .get_consumer_from_stream(consumer, stream)
            .await?)
    }
}

/// `None` when shutting down.
async fn pause(shutdown: &CancellationToken) -> Option<()> {
    tokio::select! {
        () = tokio::time::sleep(BIND_RETRY) => Some(()),
        () = shutdown.cancelled() => None,
    }
}

fn pulled(
    client: &Client,
    consumer: &'static str,
    message: &async_nats::jetstream::Message,
) -> Option<Pulled> {
    let (sequence, deliveries, stored_at, pending) = match message.info() {
        Ok(info) => (
            info.stream_sequence,
            u64::try_from(info.delivered).unwrap_or(1),
            SystemTime::from(info.published),
            info.pending,
        ),
        Err(error) => {
            tracing::warn!(%error, "a delivery without delivery information was ignored");
            return None;
        }
    };
    let reply = message.message.reply.clone()?;
    let mut headers = BTreeMap::new();
    for (name, values) in message.headers.iter().flat_map(|headers| headers.iter()) {
        if let Some(value) = values.last() {
            headers.insert(name.to_string(), value.as_str().to_owned());
        }
    }
    Some(Pulled {
        consumer,
        subject: message.subject.to_string(),
        payload: message.payload.clone(),
        headers,
        sequence,
        deliveries,
        stored_at,
        pending,
        acker: Acker {
            client: client.clone(),
            reply,
        },
    })
}
