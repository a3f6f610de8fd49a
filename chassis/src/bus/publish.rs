use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_keys::SigningKey;
use bonesetter_proto::v1::Envelope;
use bonesetter_proto::{Event, Subject, to_timestamp};
use bytes::Bytes;
use rand::Rng as _;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::attributes::describe;
use super::{Bus, ReadError, StreamReader, header};
use crate::clock::Clock;
use crate::stage::{Guard, Wire};
use crate::telemetry::{self, Messaging, TRACES_ONLY, begin_trace, inject};
use crate::topology::{MAX_MESSAGE_BYTES, stream_of};

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Room for headers and the server's own accounting.
const HEADER_ALLOWANCE: usize = 8 * 1024;

/// Where a published message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Stored by this call, at this sequence.
    Now(u64),
    /// It was there already: an earlier attempt, or another replica, had stored the same step.
    Before(u64),
}

/// Why a message was not published. Passing faults are retried inside and never come out.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The user may not publish there.
    #[error(
        "not allowed to publish to {subject}: {reason}; the user's permissions come from `bonesetter deploy nats`"
    )]
    NotAllowed {
        /// Where.
        subject: String,
        /// As the server said it.
        reason: String,
    },
    /// Larger than the stream accepts.
    #[error("a message of {bytes} bytes for {subject} exceeds the limit of {limit}")]
    TooLarge {
        /// Where.
        subject: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Somebody else's message stands under the subject.
    #[error("another message ({found:?}) is stored under {subject}")]
    Foreign {
        /// Where.
        subject: String,
        /// The message id found there.
        found: String,
    },
    /// The guard of the messages objects.
    #[error("the message for {subject} is held back: {reason:#}")]
    HeldBack {
        /// Where.
        subject: String,
        /// As the guard said it.
        reason: anyhow::Error,
    },
    /// The process is shutting down.
    #[error("shutting down while publishing to {subject}")]
    ShuttingDown {
        /// Where.
        subject: String,
    },
}

impl PublishError {
    /// The value of `error.type` on the span.
    const fn kind(&self) -> &'static str {
        match self {
            Self::NotAllowed { .. } => "not-allowed",
            Self::TooLarge { .. } => "too-large",
            Self::Foreign { .. } => "foreign-output",
            Self::HeldBack { .. } => "held-back",
            Self::ShuttingDown { .. } => "shutting-down",
        }
    }
}

/// Publishes the messages of one stage.
#[derive(Debug)]
pub struct Publisher<M> {
    bus: Bus,
    clock: Clock,
    producer: Producer,
    /// Present exactly when the messages are signed.
    signer: Option<Arc<SigningKey>>,
    shutdown: CancellationToken,
    message: PhantomData<fn() -> M>,
}

/// Who publishes, as it stands in every envelope.
#[derive(Debug, Clone)]
pub(crate) struct Producer {
    pub(crate) name: &'static str,
    pub(crate) version: String,
}

impl<M> Clone for Publisher<M> {
    fn clone(&self) -> Self {
        Self {
            bus: self.bus.clone(),
            clock: self.clock.clone(),
            producer: self.producer.clone(),
            signer: self.signer.clone(),
            shutdown: self.shutdown.clone(),
            message: PhantomData,
        }
    }
}

impl<M: Event> Publisher<M> {
    pub(crate) fn new(
        bus: Bus,
        clock: Clock,
        producer: Producer,
        signer: Option<Arc<SigningKey>>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            bus,
            clock,
            producer,
            signer,
            shutdown,
            message: PhantomData,
        }
    }

    /// Stores a message once under its subject, however often this is called, and waits until it is
    /// stored. Retries passing faults for as long as the process lives.
    pub async fn publish(
        &self,
        subject: &Subject,
        message: M,
        caused_by: &str,
    ) -> Result<Stored, PublishError> {
        self.publish_past(None, subject, message, caused_by).await
    }

    /// The same for what a guard lets pass.
    pub(crate) async fn publish_past(
        &self,
        guard: Option<&dyn Guard>,
        subject: &Subject,
        message: M,
        caused_by: &str,
    ) -> Result<Stored, PublishError> {
        let id = message_id(subject);
        let messaging = Messaging {
            operation: "send",
            operation_type: "send",
            stream: stream_of(subject.stage).map_or("", |stream| stream.name),
            consumer: None,
            message_id: Some(&id),
            bus: &self.bus,
        };
        let span = tracing::info_span!(
            target: TRACES_ONLY,
            "send",
            otel.name = messaging.name(),
            otel.kind = "producer",
            subject = %subject,
        );
        messaging.describe(&span);
        begin_trace(&span, subject.incident.as_str());
        let stored = self
            .build_and_store(guard, subject, &id, message, caused_by)
            .instrument(span.clone())
            .await;
        if let Err(error) = &stored {
            telemetry::fail(&span, error.kind());
        }
        stored
    }

    async fn build_and_store(
        &self,
        guard: Option<&dyn Guard>,
        subject: &Subject,
        id: &str,
        message: M,
        caused_by: &str,
    ) -> Result<Stored, PublishError> {
        let now = self.clock.now();
        let name = subject.to_string();
        let payload = Bytes::from(message.into_bytes(Envelope {
            subject: name.clone(),
            message_id: id.to_owned(),
            caused_by: caused_by.to_owned(),
            produced_at: Some(to_timestamp(now)),
            producer: self.producer.name.to_owned(),
            producer_version: self.producer.version.clone(),
        }));
        telemetry::set_body_size(&tracing::Span::current(), payload.len());
        let limit = usize::try_from(MAX_MESSAGE_BYTES).unwrap_or(usize::MAX) - HEADER_ALLOWANCE;
        if payload.len() > limit {
            return Err(PublishError::TooLarge {
                subject: name,
                bytes: payload.len(),
                limit,
            });
        }
        let mut headers = HeaderMap::new();
        inject(&mut headers, subject.incident.as_str());
        describe::<M>(&mut headers, subject, id, self.producer.name, now);
        if let Some(signer) = &self.signer {
            let signature = signer.sign(&name, &payload);
            headers.insert(header::KEY_ID, signature.key_id);
            headers.insert(header::SIGNATURE, STANDARD.encode(signature.bytes));
        }
        if let Some(guard) = guard {
            let wire = Wire {
                subject: &name,
                headers: written(&headers, id),
                payload: &payload,
            };
            let checked = guard.check(wire).await;
            checked.map_err(|reason| PublishError::HeldBack {
                subject: name.clone(),
                reason,
            })?;
        }
        self.store(name, id, headers, payload).await
    }

    async fn store(
        &self,
        subject: String,
        id: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Stored, PublishError> {
        let mut delay = FIRST_RETRY;
        loop {
            let message = PublishMessage::build()
                .headers(headers.clone())
                .message_id(id)
                .expected_last_subject_sequence(0)
                .payload(payload.clone());
            let sent = self.send(&subject, message).await;
            let is_taken = match &sent {
                Ok(ack) if !ack.duplicate => return Ok(Stored::Now(ack.sequence)),
                Ok(_) => true,
                Err(error) => error.kind() == PublishErrorKind::WrongLastSequence,
            };
            if is_taken && let Some(stored) = Box::pin(self.stored_before(&subject, id)).await? {
                return Ok(stored);
            }
            let error = match sent {
                Ok(_) => {
                    "the stream says duplicate, and the stored message cannot be read".to_owned()
                }
                Err(error) => {
                    match error.kind() {
                        PublishErrorKind::StreamNotFound if self.bus.is_connected() => {
                            tracing::error!(%subject, "no stream takes this subject; run `bonesetter provision`");
                        }
                        PublishErrorKind::MaxPayloadExceeded => {
                            let bytes = payload.len();
                            return Err(PublishError::TooLarge {
                                subject,
                                bytes,
                                limit: bytes,
                            });
                        }
                        _ => {}
                    }
                    error.to_string()
                }
            };
            if let Some(reason) = self.bus.violations.take(&subject) {
                return Err(PublishError::NotAllowed { subject, reason });
            }
            tracing::warn!(%subject, %error, retry_in = ?delay, "publishing failed, the same message is sent again");
            let pause = delay.mul_f64(rand::rng().random_range(0.5..1.0));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shutdown.cancelled() => return Err(PublishError::ShuttingDown { subject }),
            }
            delay = (delay * 2).min(LAST_RETRY);
        }
    }

    async fn send(
        &self,
        subject: &str,
        message: PublishMessage,
    ) -> Result<
        async_nats::jetstream::publish::PublishAck,
        async_nats::jetstream::context::PublishError,
    > {
        self.bus
            .js
            .send_publish(subject.to_owned(), message)
            .await?
            .await
    }

    /// Looks whether what stands under the subject is the message with our id; `None` when that
    /// cannot be told now.
    async fn stored_before(&self, subject: &str, id: &str) -> Result<Option<Stored>, PublishError> {
        let Some(stream) = stream_of(M::STAGE) else {
            return Ok(None);
        };
        match StreamReader::new(self.bus.clone(), stream.name)
            .last(subject)
            .await
        {
            Ok(Some(found)) => {
                let found_id = found.header(NATS_MESSAGE_ID).unwrap_or_default();
                if found_id == id {
                    Ok(Some(Stored::Before(found.sequence)))
                } else {
                    Err(PublishError::Foreign {
                        subject: subject.to_owned(),
                        found: found_id.to_owned(),
                    })
                }
            }
            Ok(None) => Ok(None),
            Err(ReadError::NotAllowed { reason, .. }) => Err(PublishError::NotAllowed {
                subject: subject.to_owned(),
                reason,
            }),
            Err(error) => {
                tracing::warn!(%subject, %error, "cannot read back what is stored");
                Ok(None)
            }
        }
    }
}

/// Headers as they are sent, with the message id.
fn written(headers: &HeaderMap, id: &str) -> Vec<(String, String)> {
    let mut written = vec![(NATS_MESSAGE_ID.to_string(), id.to_owned())];
    for (name, values) in headers.iter() {
        for value in values {
            written.push((name.to_string(), value.to_string()));
        }
    }
    written
}

/// The same step of the same incident always has the same id, and ids of stages never collide.
pub(crate) fn message_id(subject: &Subject) -> String {
    format!("{}/{}/{}", subject.stage, subject.incident, subject.step)
}
