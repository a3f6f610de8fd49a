//! Somebody who holds the credentials of a user and tries everything.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, HeaderMap, ServerError, StatusCode};
use bonesetter_chassis::bus;
use bytes::Bytes;
use futures::StreamExt as _;
use nkeys::KeyPair;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::bed::Bed;

/// How long an answer of the server may take.
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// What the server made of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// The user may not even ask.
    Denied,
    /// The server read the request and refused it, with this code of its API.
    Refused(u64),
    /// Nobody listens there in this account.
    Nobody,
    /// The server did it.
    Done,
}

/// A client that sees what the server says of its permissions.
pub(crate) struct Spy {
    pub(crate) client: Client,
    violations: mpsc::UnboundedReceiver<String>,
    markers: u32,
}

impl Spy {
    /// With the nkey of a user of the bed.
    pub(crate) async fn of(bed: &Bed, user: &str) -> Self {
        let seed = std::fs::read_to_string(bed.keys.nkey_seed(user)).unwrap();
        Self::with_seed(bed, seed, user).await
    }

    pub(crate) async fn with_seed(bed: &Bed, seed: String, user: &str) -> Self {
        let (sender, violations) = mpsc::unbounded_channel();
        let client = with_certificates(bed, ConnectOptions::with_nkey(seed), user)
            .custom_inbox_prefix(format!("_INBOX_{user}"))
            .event_callback(move |event| {
                if let Event::ServerError(ServerError::Other(text)) = event {
                    let _ = sender.send(text);
                }
                std::future::ready(())
            })
            .connect(bed.nats.url())
            .await
            .unwrap();
        Self {
            client,
            violations,
            markers: 0,
        }
    }

    /// Sends a request and says what came of it; a server that says nothing fails the test.
    pub(crate) async fn request(&mut self, subject: &str, body: &Value) -> Verdict {
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let quoted = format!("Publish to \"{subject}\"").to_lowercase();
        // A message that is delivered keeps its own subject, so an inbox of its own is needed to see it.
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.unwrap();
        let sent = self
            .client
            .publish_with_reply(subject.to_owned(), inbox, body);
        sent.await.unwrap();
        let answered = async {
            tokio::select! {
                () = violation(&mut self.violations, &quoted) => Verdict::Denied,
                answer = answers.next() => match answer.expect("connected") {
                    answer if answer.status == Some(StatusCode::NO_RESPONDERS) => Verdict::Nobody,
                    answer => read(&answer.payload),
                },
            }
        };
        let verdict = tokio::time::timeout(WAIT, answered).await;
        assert!(
            verdict.is_ok(),
            "{subject}: neither an answer nor a refusal"
        );
        verdict.unwrap()
    }

    /// Publishes and waits until the server has either refused or taken it.
    pub(crate) async fn publish(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Verdict {
        let body = body.into();
        match reply {
            Some(reply) => {
                let (subject, reply) = (subject.to_owned(), reply.to_owned());
                let sent = self.client.publish_with_reply(subject, reply, body);
                sent.await.unwrap();
            }
            None => self.client.publish(subject.to_owned(), body).await.unwrap(),
        }
        self.settle(&format!("Publish to \"{subject}\"")).await
    }

    /// Subscribes and waits until the server has either refused or taken it.
    pub(crate) async fn subscribe(&mut self, subject: &str) -> Verdict {
        let subscription = self.client.subscribe(subject.to_owned()).await.unwrap();
        let verdict = self.settle(&format!("Subscription to \"{subject}\"")).await;
        drop(subscription);
        verdict
    }

    /// The server answers in order: what it has to say of an operation comes before what it has to
    /// say of the next one, and the next one here is one that nobody may do.
    async fn settle(&mut self, operation: &str) -> Verdict {
        self.markers += 1;
        let name = format!("_spy.{}.marker", self.markers);
        let mut marker = self.client.subscribe(name.clone()).await.unwrap();
        let sent = self.client.publish(name.clone(), Bytes::new());
        sent.await.unwrap();
        let operation = operation.to_lowercase();
        let seen = async {
            loop {
                tokio::select! {
                    text = self.violations.recv() => {
                        let text = text.expect("connected").to_lowercase();
                        if text.contains(&operation) {
                            return Verdict::Denied;
                        }
                        if text.contains(&name) {
                            return Verdict::Done;
                        }
                    }
                    // Who may do everything gets the marker.
                    Some(_) = marker.next() => return Verdict::Done,
                }
            }
        };
        tokio::time::timeout(WAIT, seen).await.expect("an answer")
    }
}

/// The options of a client that is not ours, with the certificate of a user.
pub(crate) fn with_certificates(bed: &Bed, options: ConnectOptions, user: &str) -> ConnectOptions {
    let tls = bed.nats.settings(&bed.keys, user).unwrap().tls;
    bus::with_certificates(options, &tls).unwrap()
}

async fn violation(violations: &mut mpsc::UnboundedReceiver<String>, quoted: &str) {
    loop {
        match violations.recv().await {
            Some(text) if text.to_lowercase().contains(quoted) => return,
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

fn read(payload: &[u8]) -> Verdict {
    let answer: Value = serde_json::from_slice(payload).unwrap_or(Value::Null);
    match answer["error"]["err_code"].as_u64() {
        Some(code) => Verdict::Refused(code),
        None => Verdict::Done,
    }
}

/// Somebody in an account who may do everything there: what is tried in vain works for this one.
pub(crate) struct Admin(KeyPair);

impl Admin {
    pub(crate) fn new() -> Self {
        Self(KeyPair::new_user())
    }

    /// Adds this user to an account that holds streams.
    pub(crate) fn joining(&self, accounts: &str, account: &str) -> String {
        let key = self.0.public_key();
        let opening = format!("  {account} {{\n    jetstream: enabled\n");
        assert!(accounts.contains(&opening), "{account} holds no streams");
        let with_admin = format!("{opening}    users: [{{ nkey: {key} }}]\n");
        accounts.replacen(&opening, &with_admin, 1)
    }

    pub(crate) async fn spy(&self, bed: &Bed) -> Spy {
        Spy::with_seed(bed, self.0.seed().unwrap(), "admin").await
    }
}

/// A message with any headers, without any of our own machinery.
pub(crate) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(*name, *value);
    }
    headers
}
