use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_TTL;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures::future::ready;
use futures::{Stream, TryStreamExt as _};

use super::{Bus, ReadError, StoredMessage, StreamReader};
use crate::topology::BucketSpec;

const OPERATION: &str = "KV-Operation";

/// Why a bucket operation did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// Somebody else changed the key since it was read, or it exists already.
    #[error("key {key:?} of bucket {bucket} was changed by somebody else")]
    Conflict {
        /// Which bucket.
        bucket: &'static str,
        /// Which key.
        key: String,
    },
    /// The bucket cannot be read.
    #[error("cannot read bucket {bucket}: {source}")]
    Read {
        /// Which bucket.
        bucket: &'static str,
        /// Why.
        source: ReadError,
    },
    /// The bucket cannot be written; whether the value was stored is unknown after a timeout.
    #[error("cannot write key {key:?} of bucket {bucket}: {reason}")]
    Write {
        /// Which bucket.
        bucket: &'static str,
        /// Which key.
        key: String,
        /// Why.
        reason: String,
    },
}

/// A value and the revision that the next update must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is stored.
    pub value: Bytes,
    /// Its revision.
    pub revision: u64,
}

/// One KV bucket, written by compare-and-set only. Keys are escaped subject tokens joined by dots.
#[derive(Debug, Clone)]
pub struct Bucket {
    bus: Bus,
    spec: BucketSpec,
    reader: StreamReader,
}

impl Bucket {
    /// Nothing is asked of the server yet.
    pub fn new(bus: Bus, spec: BucketSpec) -> Self {
        let reader = StreamReader::new(bus.clone(), format!("KV_{}", spec.name));
        Self { bus, spec, reader }
    }

    /// The present value; `None` when there is none or it was deleted.
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, KvError> {
        Ok(self.last(key).await?.filter(is_value).map(entry))
    }

    /// Every key that begins with a prefix, whole tokens with the dot after them or nothing, with its
    /// value, in no order. What is written meanwhile may come in both forms.
    pub fn entries(
        &self,
        prefix: &str,
    ) -> impl Stream<Item = Result<(String, Entry), KvError>> + Send + use<> {
        let bucket = self.spec.name;
        let root = self.subject("");
        let stored = self.reader.every(&format!("{root}{prefix}>"));
        let values = stored.try_filter(|message| ready(is_value(message)));
        let entries = values.try_filter_map(move |message| {
            let key = message.subject.strip_prefix(&root).map(str::to_owned);
            ready(Ok(key.map(|key| (key, entry(message)))))
        });
        entries.map_err(move |source| KvError::Read { bucket, source })
    }

    /// Stores a value under a key that has none. Returns the revision.
    pub async fn create(&self, key: &str, value: Bytes) -> Result<u64, KvError> {
        match self.last(key).await? {
            None => self.write(key, value, 0, HeaderMap::new()).await,
            Some(deleted) if !is_value(&deleted) => {
                let revision = deleted.sequence;
                self.write(key, value, revision, HeaderMap::new()).await
            }
            Some(_) => Err(self.conflict(key)),
        }
    }

    /// Replaces the value that has the given revision. Returns the new revision.
    pub async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, KvError> {
        self.write(key, value, revision, HeaderMap::new()).await
    }

    /// Deletes the value that has the given revision. What marks that goes by itself after a while.
    pub async fn delete(&self, key: &str, revision: u64) -> Result<(), KvError> {
        let mut headers = HeaderMap::new();
        headers.insert(OPERATION, "DEL");
        let seconds = self.spec.mark_kept.as_secs();
        headers.insert(NATS_MESSAGE_TTL, seconds.to_string());
        let deleted = self.write(key, Bytes::new(), revision, headers).await;
        deleted.map(|_| ())
    }

    async fn last(&self, key: &str) -> Result<Option<StoredMessage>, KvError> {
        self.reader
            .last(&self.subject(key))
            .await
            .map_err(|source| KvError::Read {
                bucket: self.spec.name,
                source,
            })
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        revision: u64,
        headers: HeaderMap,
    ) -> Result<u64, KvError> {
        let subject = self.subject(key);
        let message = PublishMessage::build()
            .headers(headers)
            .expected_last_subject_sequence(revision)
            .payload(value);
        let result = match self.bus.js.send_publish(subject.clone(), message).await {
            Ok(ack) => ack.await,
            Err(error) => Err(error),
        };
        result.map(|ack| ack.sequence).map_err(|error| {
            if error.kind() == PublishErrorKind::WrongLastSequence {
                return self.conflict(key);
            }
            let reason = self
                .bus
                .violations
                .take(&subject)
                .unwrap_or_else(|| error.to_string());
            KvError::Write {
                bucket: self.spec.name,
                key: key.to_owned(),
                reason,
            }
        })
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.spec.name)
    }

    fn conflict(&self, key: &str) -> KvError {
        KvError::Conflict {
            bucket: self.spec.name,
            key: key.to_owned(),
        }
    }
}

fn is_value(message: &StoredMessage) -> bool {
    message.header(OPERATION).is_none()
}

fn entry(message: StoredMessage) -> Entry {
    Entry {
        value: message.payload,
        revision: message.sequence,
    }
}
