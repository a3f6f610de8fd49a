use std::collections::BTreeMap;
use std::time::SystemTime;

use async_nats::jetstream::ErrorCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_keys::Signature;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Bus, header};

/// Why a stored message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The user may not read the stream.
    #[error("not allowed to read stream {stream}: {reason}")]
    NotAllowed {
        /// Which.
        stream: String,
        /// As the server said it.
        reason: String,
    },
    /// The server answered with an error.
    #[error("cannot read stream {stream}: {reason}")]
    Refused {
        /// Which.
        stream: String,
        /// As the server said it.
        reason: String,
    },
    /// The server did not answer, or not in a form that we know.
    #[error("cannot read stream {stream}: {source}")]
    Request {
        /// Which.
        stream: String,
        /// Why.
        source: async_nats::jetstream::context::RequestError,
    },
    /// The answer holds something else than a message.
    #[error("stream {stream} answered with a message that cannot be decoded")]
    Undecodable {
        /// Which.
        stream: String,
    },
}

/// A message as the stream holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Where it was published.
    pub subject: String,
    /// Its place in the stream.
    pub sequence: u64,
    /// The bytes.
    pub payload: Bytes,
    /// Its headers; of repeated ones the last.
    pub headers: BTreeMap<String, String>,
    /// When the server stored it.
    pub stored_at: SystemTime,
}

impl StoredMessage {
    /// A header's value.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        self.headers.get(name.as_ref()).map(String::as_str)
    }

    /// The signature that the headers carry, not verified.
    pub fn signature(&self) -> Option<Signature> {
        signature(&self.headers)
    }
}

/// The signature that headers carry, not verified.
pub(crate) fn signature(headers: &BTreeMap<String, String>) -> Option<Signature> {
    Some(Signature {
        key_id: headers.get(header::KEY_ID)?.clone(),
        bytes: STANDARD.decode(headers.get(header::SIGNATURE)?).ok()?,
    })
}

/// Reads a stream message by message, with no permission but that to get messages: no consumer is made.
#[derive(Debug, Clone)]
pub struct StreamReader {
    pub(super) bus: Bus,
    pub(super) stream: String,
}

#[derive(Serialize)]
struct Query<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_by_subj: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    message: Option<RawMessage>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

#[derive(Deserialize)]
struct RawMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
    time: jiff::Timestamp,
}

impl StreamReader {
    /// Nothing is asked of the server yet.
    pub fn new(bus: Bus, stream: impl Into<String>) -> Self {
        Self {
            bus,
            stream: stream.into(),
        }
    }

    /// The newest message under a subject.
    pub async fn last(&self, subject: &str) -> Result<Option<StoredMessage>, ReadError> {
        self.get(&Query {
            seq: None,
            next_by_subj: None,
            last_by_subj: Some(subject),
        })
        .await
    }

    /// The message at a sequence.
    pub async fn at(&self, sequence: u64) -> Result<Option<StoredMessage>, ReadError> {
        // The first is 1, and the server takes a question for none to be malformed.
        if sequence == 0 {
            return Ok(None);
        }
        self.get(&Query {
            seq: Some(sequence),
            next_by_subj: None,
            last_by_subj: None,
        })
        .await
    }

    /// The first message at or after a sequence whose subject fits the filter.
    pub async fn next(&self, filter: &str, from: u64) -> Result<Option<StoredMessage>, ReadError> {
        let query = Query {
            seq: Some(from.max(1)),
            next_by_subj: Some(filter),
            last_by_subj: None,
        };
        self.get(&query).await
    }

    /// Every message whose subject fits the filter, oldest first, in memory.
    pub async fn all(&self, filter: &str) -> Result<Vec<StoredMessage>, ReadError> {
        let mut found = Vec::new();
        let mut from = 1;
        while let Some(message) = self.next(filter, from).await? {
            from = message.sequence + 1;
            found.push(message);
        }
        Ok(found)
    }

    async fn get(&self, query: &Query<'_>) -> Result<Option<StoredMessage>, ReadError> {
        let answer: Answer = self.ask("STREAM.MSG.GET", query).await?;
        match (answer.message, answer.error) {
            (Some(message), _) => {
                message
                    .decode()
                    .map(Some)
                    .ok_or_else(|| ReadError::Undecodable {
                        stream: self.stream.clone(),
                    })
            }
            (None, Some(error)) if error.err_code == ErrorCode::NO_MESSAGE_FOUND.0 => Ok(None),
            (None, error) => Err(ReadError::Refused {
                stream: self.stream.clone(),
                reason: error.map_or_else(|| "empty answer".to_owned(), |error| error.description),
            }),
        }
    }
}

impl StreamReader {
    /// Asks the API one thing about the stream.
    pub(super) async fn ask<Q: Serialize + ?Sized, A: DeserializeOwned>(
        &self,
        verb: &str,
        query: &Q,
    ) -> Result<A, ReadError> {
        let subject = format!("{verb}.{}", self.stream);
        let answered = self.bus.js.request(subject.clone(), query).await;
        answered.map_err(|source| {
            let stream = self.stream.clone();
            let violations = &self.bus.violations;
            if let Some(reason) = violations.take(&format!("$JS.API.{subject}")) {
                return ReadError::NotAllowed { stream, reason };
            }
            // The answer cannot be listened for under another user's inbox.
            if let Some(refusal) = violations.take_of("_INBOX_") {
                let reason = format!("{refusal}; the nkey is another user's than is asked for");
                return ReadError::NotAllowed { stream, reason };
            }
            ReadError::Request { stream, source }
        })
    }
}

impl RawMessage {
    fn decode(self) -> Option<StoredMessage> {
        // Headers are whatever somebody sent: one that is not text must not hide the rest of the stream.
        let headers = STANDARD.decode(&self.hdrs).ok()?;
        let headers = String::from_utf8_lossy(&headers);
        Some(StoredMessage {
            subject: self.subject,
            sequence: self.seq,
            payload: Bytes::from(STANDARD.decode(&self.data).ok()?),
            headers: parse_headers(&headers),
            stored_at: self.time.into(),
        })
    }
}

/// `NATS/1.0\r\nName: value\r\n...` (ADR-4).
fn parse_headers(text: &str) -> BTreeMap<String, String> {
    text.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_headers_that_are_no_text_is_read() {
        let raw = RawMessage {
            subject: "s".to_owned(),
            seq: 7,
            data: STANDARD.encode(b"payload"),
            hdrs: STANDARD.encode(b"NATS/1.0\r\nx: \xff\xfe\r\na: b\r\n\r\n"),
            time: jiff::Timestamp::UNIX_EPOCH,
        };
        let message = raw.decode().unwrap();
        assert_eq!(message.header("a"), Some("b"));
        assert_eq!(&message.payload[..], b"payload");
    }

    #[test]
    fn headers_are_read_as_the_server_stores_them() {
        let headers =
            parse_headers("NATS/1.0\r\nNats-Msg-Id: detected/x/open\r\ntraceparent:00-a\r\n\r\n");
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["Nats-Msg-Id"], "detected/x/open");
        assert_eq!(headers["traceparent"], "00-a");
    }
}
