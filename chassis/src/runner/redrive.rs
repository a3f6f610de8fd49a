//! Messages that a person wants handled again.
//!
//! Nothing is published again: a request holds a reference, the message is fetched from where it is
//! and handled as if it had been delivered, and the request is acknowledged when that is done. Why
//! not by publishing the message again: it would need a second subject for the same step, every
//! reader of the stream would see it, and whoever may redrive could write what a service writes.

use std::time::Duration;

use bonesetter_keys::VerifyingKeys;
use bonesetter_proto::v1::{Redrive, RedriveAction};
use bonesetter_proto::{Stage, from_timestamp};

use super::input::{InputError, read_input};
use super::{End, Runner};
use crate::bus::{Dead, Pulled, ReadError, StoredMessage, StreamReader, may_be_same};
use crate::topology::ConsumerSpec;

/// Somebody must mend the installation, or the server is away; the request waits.
const FETCH_RETRY: Duration = Duration::from_secs(5);

/// What a request comes to, before anything is handled.
pub(super) enum Request {
    /// The message, to be answered through the request.
    Handle(Box<Pulled>),
    /// There is nothing to handle, and this is what it ends with.
    End(Box<Pulled>, Dead, End),
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the request cannot be read: {0}")]
    Request(InputError),
    #[error("the request does not ask for a message to be handled again")]
    NotAsked,
    #[error("the request is for consumer {asked:?}, and was sent to {ours}")]
    OtherConsumer { asked: String, ours: &'static str },
    #[error("{consumer} handles messages of {ours}, and the request refers to one of {asked:?}")]
    OtherStream {
        asked: String,
        ours: &'static str,
        consumer: &'static str,
    },
    #[error("message {sequence} is no longer in {stream}")]
    Gone { sequence: u64, stream: &'static str },
    #[error("message {sequence} of {stream} is not one that {consumer} handles ({filter})")]
    NotForUs {
        sequence: u64,
        stream: &'static str,
        consumer: &'static str,
        filter: String,
    },
}

impl Refusal {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Request(error) => error.reason(),
            Self::NotAsked | Self::OtherConsumer { .. } => "not-asked",
            Self::OtherStream { .. } => "other-stream",
            Self::Gone { .. } => "gone",
            Self::NotForUs { .. } => "not-for-consumer",
        }
    }
}

impl Runner {
    /// Fetches what a request refers to.
    pub(super) async fn resolve(&self, spec: &ConsumerSpec, request: Pulled) -> Request {
        let read = read_input::<Redrive>(&request, spec.stream.name, &VerifyingKeys::default());
        let asked = match read {
            Ok(input) => input.message,
            Err(error) => {
                let dead = Dead::of(spec, &request);
                return refuse(request, dead, Refusal::Request(error));
            }
        };
        // What asks for nothing, or somebody else, died itself: what it refers to may be anything.
        if let Some(refusal) = self.misdirected(&asked) {
            let dead = Dead::of(spec, &request);
            return refuse(request, dead, refusal);
        }
        let dead = Dead {
            stream: asked.stream.clone(),
            sequence: asked.sequence,
            consumer: asked.consumer.clone(),
            stored_at: asked.stored_at.as_ref().and_then(from_timestamp),
            subject: String::new(),
            stage: self.spec.stream.stage.map_or("", Stage::as_str),
            caused_by: request.subject.clone(),
            ..Dead::of(spec, &request)
        };
        match self.fetch(&asked).await {
            Ok(Ok(stored)) => {
                tracing::info!(
                    consumer = self.spec.name,
                    sequence = stored.sequence,
                    stream = self.spec.stream.name,
                    "handling a message again, as asked"
                );
                Request::Handle(Box::new(Pulled {
                    subject: stored.subject,
                    payload: stored.payload,
                    headers: stored.headers,
                    sequence: stored.sequence,
                    stored_at: stored.stored_at,
                    ..request
                }))
            }
            Ok(Err(refusal)) => refuse(request, dead, refusal),
            Err(error) => {
                let end = End::Retry {
                    after: FETCH_RETRY,
                    cause: error.into(),
                };
                Request::End(Box::new(request), dead, end)
            }
        }
    }

    fn misdirected(&self, asked: &Redrive) -> Option<Refusal> {
        let ours = self.spec.name;
        if asked.action() != RedriveAction::Handle {
            return Some(Refusal::NotAsked);
        }
        (asked.consumer != ours).then(|| Refusal::OtherConsumer {
            asked: asked.consumer.clone(),
            ours,
        })
    }

    async fn fetch(&self, asked: &Redrive) -> Result<Result<StoredMessage, Refusal>, ReadError> {
        let (consumer, stream) = (self.spec.name, self.spec.stream.name);
        if asked.stream != stream {
            return Ok(Err(Refusal::OtherStream {
                asked: asked.stream.clone(),
                ours: stream,
                consumer,
            }));
        }
        let sequence = asked.sequence;
        let stored_at = asked.stored_at.as_ref().and_then(from_timestamp);
        let reader = StreamReader::new(self.bus.clone(), stream);
        Ok(match reader.at(sequence).await? {
            None => Err(Refusal::Gone { sequence, stream }),
            Some(stored) if !may_be_same(Some(stored.stored_at), stored_at) => {
                Err(Refusal::Gone { sequence, stream })
            }
            Some(stored) if !fits(&self.spec.filter(), &stored.subject) => Err(Refusal::NotForUs {
                sequence,
                stream,
                consumer,
                filter: self.spec.filter(),
            }),
            Some(stored) => Ok(stored),
        })
    }
}

fn refuse(request: Pulled, dead: Dead, refusal: Refusal) -> Request {
    let reason = refusal.reason();
    let cause = refusal.into();
    Request::End(Box::new(request), dead, End::Dead { reason, cause })
}

/// Whether a subject matches a filter, as the server does it.
fn fits(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_server_matches_them() {
        for (filter, subject, expected) in [
            ("a.>", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.b.d", false),
            ("a.*.c", "a.b.c.d", false),
            ("a.*", "a", false),
            ("a.b", "a.b", true),
        ] {
            assert_eq!(fits(filter, subject), expected, "{filter} {subject}");
        }
    }
}
