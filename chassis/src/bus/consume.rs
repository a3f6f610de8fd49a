use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use async_nats::jetstream;
use async_nats::{Client, Subject as NatsSubject};
use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Bus;
use super::feed::{Feed, FeedError};
use crate::health::Waiting;
use crate::topology::ConsumerSpec;

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
    pub(crate) acker: Acker,
}

/// Answers one delivery.
#[derive(Debug, Clone)]
pub(crate) struct Acker {
    client: Client,
    reply: NatsSubject,
}

impl Acker {
    /// Tells the server that the message is done. Where that gets lost, the message comes again.
    pub(crate) async fn ack(&self) {
        self.send("+ACK".into()).await;
    }

    /// Tells the server that the message is done, and makes sure that it knows. An ack that gets
    /// lost is not an error: the message comes again and finds everything done.
    pub(crate) async fn ack_and_wait(&self) -> bool {
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

/// Pulls from one durable consumer, never more than it is told.
///
/// The client's endless `Stream` pulls ahead, and does so even while nobody reads from it: what it
/// holds during a slow call outlives the ack wait, is delivered again, handled twice and at last
/// buried. So as many messages are asked for as are wanted now.
pub(crate) struct Puller {
    bus: Bus,
    spec: ConsumerSpec,
    connects: watch::Receiver<u64>,
    /// Ready while the consumer is bound.
    waiting: Waiting,
    feed: Option<Feed>,
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
            feed: None,
            returned: VecDeque::new(),
        }
    }

    /// The next delivery, where so many are wanted; `None` when shutting down.
    pub(crate) async fn next(
        &mut self,
        wanted: usize,
        shutdown: &CancellationToken,
    ) -> Option<Pulled> {
        loop {
            if let Some(pulled) = self.returned.pop_front() {
                return Some(pulled);
            }
            let Some(feed) = self.feed.as_mut() else {
                self.feed = Some(self.bind(shutdown).await?);
                continue;
            };
            let most = self.spec.concurrency;
            let next = async {
                feed.ask(wanted, most).await?;
                feed.next().await
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                Ok(()) = self.connects.changed() => {
                    tracing::debug!(consumer = self.spec.name, "connected anew, pulling anew");
                    self.end_pull();
                }
                next = next => match next {
                    Ok(Some(message)) => {
                        if let Some(pulled) = pulled(&self.bus, self.spec.name, message) {
                            return Some(pulled);
                        }
                    }
                    Ok(None) => {}
                    Err(error) => {
                        self.fail(&error);
                        pause(shutdown).await?;
                    }
                },
            }
        }
    }

    /// Whether nothing is here or on its way.
    pub(crate) fn must_ask(&self) -> bool {
        self.returned.is_empty() && self.feed.as_ref().is_some_and(Feed::is_answered)
    }

    fn fail(&mut self, error: &FeedError) {
        tracing::warn!(consumer = self.spec.name, %error, "pulling anew");
        self.end_pull();
    }

    /// Gives back what was pulled and is not begun, so that another replica need not wait for the
    /// ack wait.
    pub(crate) async fn hand_back(mut self) {
        if let Some(feed) = self.feed.take() {
            let rest = feed.close().await;
            let rest = rest
                .into_iter()
                .filter_map(|it| pulled(&self.bus, self.spec.name, it));
            self.returned.extend(rest);
        }
        for pulled in self.returned {
            pulled.acker.retry_after(Duration::from_millis(1)).await;
        }
    }

    /// Drops the inbox, keeping what has arrived in it.
    fn end_pull(&mut self) {
        if let Some(mut feed) = self.feed.take() {
            let arrived = feed.arrived().into_iter();
            let arrived = arrived.filter_map(|message| pulled(&self.bus, self.spec.name, message));
            self.returned.extend(arrived);
        }
    }

    async fn bind(&mut self, shutdown: &CancellationToken) -> Option<Feed> {
        loop {
            self.connects.mark_unchanged();
            match self.try_bind().await {
                Ok(feed) => {
                    self.waiting.ready();
                    return Some(feed);
                }
                Err(error) => {
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

    async fn try_bind(&self) -> Result<Feed, async_nats::Error> {
        let (consumer, stream) = (self.spec.name, self.spec.stream.name);
        let bound = self.bus.js.get_consumer_from_stream(consumer, stream);
        Ok(Feed::open(&self.bus, bound.await?).await?)
    }
}

/// `None` when shutting down.
async fn pause(shutdown: &CancellationToken) -> Option<()> {
    tokio::select! {
        () = tokio::time::sleep(BIND_RETRY) => Some(()),
        () = shutdown.cancelled() => None,
    }
}

fn pulled(bus: &Bus, consumer: &'static str, message: async_nats::Message) -> Option<Pulled> {
    let message = jetstream::Message {
        message,
        context: bus.js.clone(),
    };
    let (sequence, deliveries, stored_at) = match message.info() {
        Ok(info) => (
            info.stream_sequence,
            u64::try_from(info.delivered).unwrap_or(1),
            SystemTime::from(info.published),
        ),
        Err(error) => {
            tracing::warn!(%error, "a delivery without delivery information was ignored");
            return None;
        }
    };
    let async_nats::Message {
        subject,
        reply,
        payload,
        headers: given,
        ..
    } = message.message;
    let reply = reply?;
    let mut headers = BTreeMap::new();
    for (name, values) in given.iter().flat_map(|headers| headers.iter()) {
        if let Some(value) = values.last() {
            headers.insert(name.to_string(), value.as_str().to_owned());
        }
    }
    Some(Pulled {
        consumer,
        subject: subject.into_string(),
        payload,
        headers,
        sequence,
        deliveries,
        stored_at,
        acker: Acker {
            client: bus.client.clone(),
            reply,
        },
    })
}
