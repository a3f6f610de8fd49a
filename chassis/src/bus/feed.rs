use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::{Message, StatusCode, Subject, Subscriber};
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;

use super::Bus;
use crate::topology::ANSWERED_WITHIN;

/// A request that gets nothing ends after this.
const EXPIRES: Duration = Duration::from_secs(5);
const _: () = assert!(EXPIRES.as_secs() < ANSWERED_WITHIN.as_secs());
/// By then the server has said so, or never will.
const SILENCE: Duration = Duration::from_secs(10);
const ROUND_TRIP: Duration = Duration::from_secs(2);
/// The server's word on how much of a request it will not answer any more (ADR-9, ADR-37).
const UNANSWERED: &str = "Nats-Pending-Messages";

/// What a consumer sends, asked for in requests that all answer to one inbox.
///
/// The client has a `Batch`, an inbox of its own for every request; under load that is a
/// subscription for every message. Its endless `Stream` has one inbox and pulls ahead, which the
/// puller must not.
#[derive(Debug)]
pub(super) struct Feed {
    consumer: PullConsumer,
    inbox: Subject,
    deliveries: Subscriber,
    /// Asked for, neither delivered nor refused.
    asked: usize,
    silent_at: Instant,
}

/// Why a feed is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    #[error("the server answered a pull with {status} {description:?}")]
    Refused {
        status: StatusCode,
        description: String,
    },
    #[error("the server has not answered a pull")]
    Silent,
    #[error("the subscription ended")]
    Ended,
    #[error("a pull could not be sent: {0}")]
    Request(#[from] async_nats::jetstream::consumer::pull::BatchRequestError),
}

impl Feed {
    pub(super) async fn open(
        bus: &Bus,
        consumer: PullConsumer,
    ) -> Result<Self, async_nats::SubscribeError> {
        let inbox = Subject::from(bus.client.new_inbox());
        Ok(Self {
            consumer,
            deliveries: bus.client.subscribe(inbox.clone()).await?,
            inbox,
            asked: 0,
            silent_at: Instant::now(),
        })
    }

    /// Whether everything that was asked for has been answered.
    pub(super) const fn is_answered(&self) -> bool {
        self.asked == 0
    }

    /// Sees to it that up to `wanted` messages are asked for. While some are, the server has no more
    /// than it has sent, so what is missing is asked for when it is worth a request: a quarter of
    /// `most` that can be handled at a time.
    pub(super) async fn ask(&mut self, wanted: usize, most: usize) -> Result<(), FeedError> {
        let missing = wanted.saturating_sub(self.asked);
        if missing == 0 || (self.asked > 0 && missing < most.div_ceil(4)) {
            return Ok(());
        }
        let request = BatchConfig {
            batch: missing,
            expires: Some(EXPIRES),
            ..BatchConfig::default()
        };
        self.consumer
            .request_batch(request, self.inbox.clone())
            .await?;
        self.asked += missing;
        self.silent_at = Instant::now() + SILENCE;
        Ok(())
    }

    /// The next message; `None` when everything that was asked for has been answered.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, FeedError> {
        while self.asked > 0 {
            let next = tokio::time::timeout_at(self.silent_at, self.deliveries.next());
            let message = next
                .await
                .map_err(|_| FeedError::Silent)?
                .ok_or(FeedError::Ended)?;
            if let Some(message) = self.take(message)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// What has arrived already.
    pub(super) fn arrived(&mut self) -> Vec<Message> {
        let mut found = Vec::new();
        while let Some(Some(message)) = self.deliveries.next().now_or_never() {
            found.extend(self.take(message).ok().flatten());
        }
        found
    }

    /// Ends the subscription and returns what the server has sent. (The client forgets a
    /// subscription without waiting for the server: draining it would lose what is on its way.)
    pub(super) async fn close(mut self) -> Vec<Message> {
        // What the server sent before it answers this has arrived when the answer has.
        let answer = tokio::time::timeout(ROUND_TRIP, self.consumer.get_info()).await;
        if !matches!(answer, Ok(Ok(_))) {
            tracing::debug!("the server may have sent more than is handed back");
        }
        self.arrived()
    }

    fn take(&mut self, message: Message) -> Result<Option<Message>, FeedError> {
        // A delivery names where its ack goes, a word of the server does not. What is stored can
        // begin like a word of the server, when one was directed into the stream as an answer.
        if message.reply.is_some() {
            self.asked = if ends_the_answers(&message) {
                0
            } else {
                self.asked.saturating_sub(1)
            };
            return Ok(Some(message));
        }
        match message.status {
            None | Some(StatusCode::OK | StatusCode::IDLE_HEARTBEAT) => Ok(None),
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {
                let headers = message.headers.as_ref();
                let unanswered = headers
                    .and_then(|headers| headers.get(UNANSWERED))
                    .and_then(|count| count.as_str().parse().ok())
                    .unwrap_or(self.asked);
                self.asked = self.asked.saturating_sub(unanswered);
                Ok(None)
            }
            Some(status) => Err(FeedError::Refused {
                status,
                description: message.description.unwrap_or_default(),
            }),
        }
    }
}

/// Whether the server passes on nothing more of what was asked for. From one account to another it takes an
/// empty message for the end of the answers to a request, also one that a stream holds; what the consumer
/// has sent behind it comes again after the ack wait.
fn ends_the_answers(message: &Message) -> bool {
    message.payload.is_empty() && message.headers.is_none()
}
