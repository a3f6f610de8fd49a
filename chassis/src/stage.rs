//! The shapes that services are made of.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bonesetter_keys::{Signature, Verified};
use bonesetter_proto::v1::SignedMessage;
use bonesetter_proto::{Event, Message, Subject};
use bytes::Bytes;

use crate::bus::signature;

/// One message in, messages out.
pub trait Stage: Send + Sync + 'static {
    /// What it consumes.
    type In: Message;
    /// What it produces.
    type Out: Event;
    /// Whether handling a message again has no effect and costs little. Then the ack of an input is
    /// not waited for: where one is lost, the message comes again and finds its outputs stored. And while
    /// handlers end quickly, messages are pulled ahead.
    const IS_REPEATABLE: bool = false;
    /// Every reason that it [rejects](Outcome::Reject) messages for.
    const REASONS: &'static [&'static str] = &[];

    /// Handles one message. May be called again with the same message, also by another process.
    fn handle(&self, input: &Input<Self::In>) -> impl Future<Output = Outcome<Self::Out>> + Send;
}

/// One message in, an effect. The message is not decoded: a sink takes several types.
pub trait Sink: Send + Sync + 'static {
    /// Every reason that it [rejects](Outcome::Reject) messages for.
    const REASONS: &'static [&'static str] = &[];

    /// Handles one message. May be called again with the same message, also by another process.
    fn handle(&self, delivery: &Delivery) -> impl Future<Output = Outcome<Infallible>> + Send;
}

/// What a handler made of a message. The handler says what it knows; the runner alone decides what follows.
#[derive(Debug)]
pub enum Outcome<M> {
    /// Handled: the outputs are stored before the input is acknowledged.
    Done(Vec<Output<M>>),
    /// Handled, and each output is stored only if the guard lets it pass.
    Guarded(Vec<Output<M>>, Arc<dyn Guard>),
    /// It may go better later.
    Retry {
        /// How long to wait at least.
        after: Duration,
        /// For the log.
        cause: anyhow::Error,
    },
    /// It will never go better: to the dead letters.
    Reject {
        /// Short, stable, for machines, for example "undecodable"; one of the handler's `REASONS`.
        reason: &'static str,
        /// For people; must not hold content of the message.
        cause: anyhow::Error,
    },
}

/// Looks at messages as they are about to leave.
pub trait Guard: Debug + Send + Sync {
    /// Says why a message must not leave, after whatever has to be done about that. The error must not
    /// hold content of the message; the input goes to the dead letters with it as the cause.
    fn check<'a>(
        &'a self,
        wire: Wire<'a>,
    ) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + 'a>>;
}

/// A message as it is about to leave: final bytes.
#[derive(Debug, Clone)]
pub struct Wire<'a> {
    /// The subject.
    pub subject: &'a str,
    /// Names and values of all headers.
    pub headers: Vec<(String, String)>,
    /// The encoded message.
    pub payload: &'a [u8],
}

/// A message to publish. The runner adds the envelope.
#[derive(Debug, Clone, PartialEq)]
pub struct Output<M> {
    /// Makes the subject unique within the incident, for example "open".
    pub step: String,
    /// The message, without an envelope.
    pub message: M,
}

/// A decoded message, with what is known of its origin.
#[derive(Debug, Clone)]
pub enum Received<M> {
    /// Of a type that nobody signs.
    Unsigned(M),
    /// Its signature has been verified.
    Verified(Verified<M>),
}

impl<M> Received<M> {
    /// The proof of the signature; present exactly when the type is one that is signed.
    pub const fn verified(&self) -> Option<&Verified<M>> {
        match self {
            Self::Unsigned(_) => None,
            Self::Verified(verified) => Some(verified),
        }
    }
}

impl<M> Deref for Received<M> {
    type Target = M;

    fn deref(&self) -> &M {
        match self {
            Self::Unsigned(message) => message,
            Self::Verified(verified) => verified.get(),
        }
    }
}

/// A decoded message whose subject, envelope and, where its type is signed, signature have been checked.
#[derive(Debug, Clone)]
pub struct Input<M> {
    /// The message.
    pub message: Received<M>,
    /// The subject it was published under.
    pub subject: Subject,
    /// The original bytes and signature, for embedding; present exactly when the type is signed.
    pub signed: Option<SignedMessage>,
    /// How often it has been delivered, from 1.
    pub deliveries: u64,
    /// Its place in the stream.
    pub sequence: u64,
    /// The stream.
    pub stream: &'static str,
    /// When the server stored it.
    pub stored_at: SystemTime,
    /// W3C trace context of the publisher.
    pub traceparent: Option<String>,
}

/// A message as it was delivered, its subject parsed and nothing else.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The subject it was published under.
    pub subject: Subject,
    /// The bytes.
    pub payload: Bytes,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its place in the stream.
    pub sequence: u64,
    /// The stream.
    pub stream: &'static str,
    /// When the server stored it.
    pub stored_at: SystemTime,
    /// How often it has been delivered, from 1.
    pub deliveries: u64,
}

impl Delivery {
    /// The signature that the headers carry, not verified.
    pub fn signature(&self) -> Option<Signature> {
        signature(&self.headers)
    }
}
