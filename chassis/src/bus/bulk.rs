//! Reading much of a stream at once, with the same two permissions as reading a little of it.
//!
//! Many requests are under way at a time; a message that is gone (aged out, purged) costs one request
//! that finds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::SystemTime;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use super::read::{ApiError, ReadError, StoredMessage, StreamReader};

/// So many requests are under way at a time. More of them gain nothing on one server, and each may
/// bring half a megabyte.
const AHEAD: usize = 32;
/// Into so many parts a stream is divided of which each is read message by message. They hold unlike
/// numbers of messages, so there are more of them than are read at a time.
const PARTS: u64 = 8 * AHEAD as u64;
/// The server answers with at most so many subjects a page; the loop follows whatever it answers.
const MAX_PAGES: usize = 1_000;

#[derive(Serialize)]
struct InfoQuery<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subjects_filter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
}

#[derive(Deserialize)]
struct InfoAnswer {
    created: Option<jiff::Timestamp>,
    state: Option<State>,
    error: Option<ApiError>,
}

/// What the server says of the stream.
struct Info {
    created: jiff::Timestamp,
    state: State,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    messages: u64,
    #[serde(default)]
    first_seq: u64,
    #[serde(default)]
    last_seq: u64,
    #[serde(default)]
    subjects: BTreeMap<String, u64>,
}

/// What a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// How many messages.
    pub messages: u64,
    /// The sequence of the oldest one; one more than `last` when there is none.
    pub first: u64,
    /// The last sequence that was given out; 0 when nothing was ever stored.
    pub last: u64,
    /// When the stream was made. Sequences begin anew with a stream that is made anew.
    pub created: SystemTime,
}

impl Extent {
    /// The sequences that may hold messages.
    pub const fn sequences(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }
}

impl StreamReader {
    /// How much the stream holds.
    pub async fn extent(&self) -> Result<Extent, ReadError> {
        let Info { created, state } = self.info(None, None).await?;
        Ok(Extent {
            messages: state.messages,
            first: state.first_seq.max(1),
            last: state.last_seq,
            created: created.into(),
        })
    }

    /// The subjects that messages are stored under and that fit the filter.
    pub async fn subjects(&self, filter: &str) -> Result<BTreeSet<String>, ReadError> {
        let mut found = BTreeSet::new();
        for _ in 0..MAX_PAGES {
            let page = self.info(Some(filter), Some(found.len())).await?;
            let before = found.len();
            found.extend(page.state.subjects.into_keys());
            if found.len() == before {
                break;
            }
        }
        Ok(found)
    }

    /// The first sequence whose message was stored at or after a time; one more than the last
    /// when there is none. Sequences and times grow together in a stream.
    pub async fn since(&self, filter: &str, at: SystemTime) -> Result<u64, ReadError> {
        let extent = self.extent().await?;
        let (mut low, mut high) = (extent.first, extent.last + 1);
        while low < high {
            let middle = low.midpoint(high);
            match self.next(filter, middle).await? {
                Some(found) if found.stored_at < at => low = found.sequence + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The messages with these sequences, in order; what is not there any more is left out.
    pub fn span(
        &self,
        sequences: RangeInclusive<u64>,
    ) -> impl Stream<Item = Result<StoredMessage, ReadError>> + Send + use<> {
        let reader = self.clone();
        futures::stream::iter(sequences)
            .map(move |sequence| {
                let reader = reader.clone();
                async move { reader.at(sequence).await.transpose() }
            })
            .buffered(AHEAD)
            .filter_map(std::future::ready)
    }

    /// Every message whose subject fits the filter, in no order. What is stored meanwhile is read to its
    /// end after the rest, so of a subject that holds one message only, nothing is missed that moves on
    /// in the stream while this goes on; it may come in both forms.
    ///
    /// Unlike with [`span`](Self::span), what is gone costs nothing.
    pub fn every(
        &self,
        filter: &str,
    ) -> impl Stream<Item = Result<StoredMessage, ReadError>> + Send + use<> {
        let (reader, filter) = (self.clone(), filter.to_owned());
        let found = async move {
            let last = reader.last(&filter).await?;
            let last = last.map_or(0, |message| message.sequence);
            let walk = move |part| Box::pin(reader.clone().walk(filter.clone(), part));
            let rest = walk(last + 1..=u64::MAX);
            let parts = futures::stream::iter(parts(last).map(walk));
            Ok(parts.flatten_unordered(AHEAD).chain(rest))
        };
        futures::stream::once(found).try_flatten()
    }

    /// The messages in a part of the stream whose subject fits the filter, one after the other.
    fn walk(
        self,
        filter: String,
        part: RangeInclusive<u64>,
    ) -> impl Stream<Item = Result<StoredMessage, ReadError>> + Send {
        let (first, last) = part.into_inner();
        futures::stream::try_unfold((self, first), move |(reader, from)| {
            let filter = filter.clone();
            async move {
                let found = reader.next(&filter, from).await?;
                let found = found.filter(|message| message.sequence <= last);
                Ok(found.map(|message| {
                    let next = message.sequence + 1;
                    (message, (reader, next))
                }))
            }
        })
    }

    async fn info(&self, filter: Option<&str>, offset: Option<usize>) -> Result<Info, ReadError> {
        let query = InfoQuery {
            subjects_filter: filter,
            offset,
        };
        let answer: InfoAnswer = self.ask("STREAM.INFO", &query).await?;
        let InfoAnswer {
            created,
            state,
            error,
        } = answer;
        match (created, state) {
            (Some(created), Some(state)) => Ok(Info { created, state }),
            _ => Err(ReadError::Refused {
                stream: self.stream.clone(),
                reason: error.map_or_else(|| "empty answer".to_owned(), |error| error.description),
            }),
        }
    }
}

/// Divides the sequences up to the last.
fn parts(last: u64) -> impl Iterator<Item = RangeInclusive<u64>> {
    let length = last.div_ceil(PARTS).max(1);
    let begins = (0..last.div_ceil(length)).map(move |part| part * length);
    begins.map(move |before| before + 1..=last.min(before + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_sequence_once() {
        for last in [0, 1, 2, PARTS - 1, PARTS, PARTS + 1, 10 * PARTS + 7] {
            let parts: Vec<_> = parts(last).collect();
            assert!(parts.len() as u64 <= PARTS, "{last}: {parts:?}");
            let sequences: Vec<_> = parts.into_iter().flatten().collect();
            assert_eq!(sequences, (1..=last).collect::<Vec<_>>());
        }
    }
}
