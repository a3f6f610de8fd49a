//! Dead letters and what was decided about them.
//!
//! What a consumer could not handle may have several letters: it died again after it was handled
//! again, or an ack was lost. They are one entry. It is open when its newest letter is newer than the
//! newest decision, which names the letter that it answers; no clock is compared.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bonesetter_chassis::bus::{Bus, ReadError, StoredMessage, StreamReader, may_be_same};
use bonesetter_chassis::topology::{CONSUMERS, ConsumerSpec, DLQ, ENRICHED, REDRIVE};
use bonesetter_proto::v1::{DeadLetter, Redrive, RedriveAction};
use bonesetter_proto::{IncidentId, Subject, from_timestamp};

/// What has become of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum State {
    /// Nobody has decided since it died.
    Open,
    /// It is to be handled again, or was, and has not come back.
    Redriven,
    /// It is left.
    Dropped,
}

impl State {
    /// As it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriven => "redriven",
            Self::Dropped => "dropped",
        }
    }
}

/// A message with its place in its stream and when it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct At<M> {
    /// Its place.
    pub sequence: u64,
    /// When.
    pub at: SystemTime,
    /// The subject it is stored under.
    pub subject: String,
    /// The message.
    pub message: M,
}

/// A message and the consumer that could not handle it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When the message was stored, where a letter knows it.
    pub stored_at: Option<SystemTime>,
    /// Never empty; oldest first.
    pub letters: Vec<At<DeadLetter>>,
    /// Oldest first.
    pub decisions: Vec<At<Redrive>>,
}

impl Entry {
    /// Its newest letter.
    pub fn newest(&self) -> Option<&At<DeadLetter>> {
        self.letters.last()
    }

    /// The number by which it is called: that of its newest letter.
    pub fn number(&self) -> u64 {
        self.newest().map_or(0, |letter| letter.sequence)
    }

    /// What has become of it.
    pub fn state(&self) -> State {
        let newest = self
            .decisions
            .iter()
            .rfind(|decision| decision.message.letter >= self.number());
        match newest.map(|decision| decision.message.action()) {
            Some(RedriveAction::Handle) => State::Redriven,
            Some(RedriveAction::Drop) => State::Dropped,
            Some(RedriveAction::Unspecified) | None => State::Open,
        }
    }

    /// The message's own subject, where a letter knows it.
    pub fn dead_subject(&self) -> Option<&str> {
        let known = |letter: &&At<DeadLetter>| !letter.message.dead_subject.is_empty();
        let letter = self.letters.iter().rfind(known)?;
        Some(&letter.message.dead_subject)
    }

    /// The incident, where a letter knows it.
    pub fn incident(&self) -> Option<Subject> {
        self.dead_subject()?.parse().ok()
    }

    /// Where a decision about it stands: beside the incident, or beside the letter.
    pub fn about(&self) -> Option<Subject> {
        let own = || self.newest()?.subject.parse().ok();
        self.incident().or_else(own)
    }

    /// The consumer, where it is one that can be asked.
    pub fn consumer(&self) -> Option<&'static ConsumerSpec> {
        let letter = &self.newest()?.message;
        CONSUMERS.iter().find(|consumer| {
            consumer.name == letter.consumer && consumer.stream.name == letter.stream
        })
    }

    /// Whether the message is still there; `None` where we may not look.
    pub async fn is_there(&self, bus: &Bus) -> Result<Option<bool>, ReadError> {
        let (Some(consumer), Some(letter)) = (self.consumer(), self.newest()) else {
            return Ok(Some(false));
        };
        if consumer.stream == ENRICHED {
            return Ok(None);
        }
        let reader = StreamReader::new(bus.clone(), consumer.stream.name);
        let found = reader.at(letter.message.sequence).await?;
        Ok(Some(found.is_some_and(|found| {
            may_be_same(self.stored_at, Some(found.stored_at))
        })))
    }
}

/// Every entry, the one that died last first, and the place of the newest decision about each incident.
pub async fn read(bus: &Bus) -> Result<(Vec<Entry>, BTreeMap<IncidentId, u64>), ReadError> {
    let letters = StreamReader::new(bus.clone(), DLQ.name);
    let letters = letters.all(&DLQ.filter()).await?;
    let decisions = StreamReader::new(bus.clone(), REDRIVE.name);
    let decisions = decisions.all(&REDRIVE.filter()).await?;
    let mut newest = BTreeMap::new();
    for decision in &decisions {
        if let Ok(subject) = decision.subject.parse::<Subject>() {
            newest.insert(subject.incident, decision.sequence);
        }
    }
    Ok((entries(letters, decisions), newest))
}

fn entries(letters: Vec<StoredMessage>, decisions: Vec<StoredMessage>) -> Vec<Entry> {
    let mut entries: BTreeMap<Place, Vec<Entry>> = BTreeMap::new();
    for letter in letters.into_iter().filter_map(at::<DeadLetter>) {
        let message = &letter.message;
        let place = place(&message.stream, message.sequence, &message.consumer);
        let stored_at = message.stored_at.as_ref().and_then(from_timestamp);
        let there = entries.entry(place).or_default();
        if let Some(entry) = same(there, stored_at) {
            entry.stored_at = entry.stored_at.or(stored_at);
            entry.letters.push(letter);
        } else {
            there.push(Entry {
                stored_at,
                letters: vec![letter],
                decisions: Vec::new(),
            });
        }
    }
    for decision in decisions.into_iter().filter_map(at::<Redrive>) {
        let message = &decision.message;
        let place = place(&message.stream, message.sequence, &message.consumer);
        let stored_at = message.stored_at.as_ref().and_then(from_timestamp);
        let there = entries.get_mut(&place);
        if let Some(entry) = there.and_then(|there| same(there, stored_at)) {
            entry.decisions.push(decision);
        }
    }
    let mut entries: Vec<Entry> = entries.into_values().flatten().collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.number()));
    entries
}

/// A stream, a place there, and a consumer.
type Place = (String, u64, String);

fn place(stream: &str, sequence: u64, consumer: &str) -> Place {
    (stream.to_owned(), sequence, consumer.to_owned())
}

/// That of the message that was stored then. There are several at one place when its stream was made anew;
/// where the time is not known, the newest is meant.
fn same(there: &mut [Entry], stored_at: Option<SystemTime>) -> Option<&mut Entry> {
    let mut newest_first = there.iter_mut().rev();
    newest_first.find(|entry| may_be_same(entry.stored_at, stored_at))
}

/// `None` for what is none of ours: the streams hold whatever somebody sent.
fn at<M: prost::Message + Default>(stored: StoredMessage) -> Option<At<M>> {
    Some(At {
        sequence: stored.sequence,
        at: stored.stored_at,
        subject: stored.subject,
        message: M::decode(stored.payload).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bonesetter_proto::to_timestamp;
    use prost::Message as _;

    use super::*;

    fn stored(sequence: u64, message: &impl prost::Message) -> StoredMessage {
        StoredMessage {
            subject: "s".to_owned(),
            sequence,
            payload: message.encode_to_vec().into(),
            headers: BTreeMap::new(),
            stored_at: UNIX_EPOCH,
        }
    }

    fn letter(sequence: u64, of: u64) -> StoredMessage {
        let letter = DeadLetter {
            stream: "BONESETTER_DETECTED".to_owned(),
            sequence: of,
            consumer: "enricher".to_owned(),
            ..DeadLetter::default()
        };
        stored(sequence, &letter)
    }

    fn decision(sequence: u64, of: u64, letter: u64, action: RedriveAction) -> StoredMessage {
        let decision = Redrive {
            stream: "BONESETTER_DETECTED".to_owned(),
            sequence: of,
            consumer: "enricher".to_owned(),
            letter,
            action: action.into(),
            ..Redrive::default()
        };
        stored(sequence, &decision)
    }

    #[test]
    fn an_entry_is_open_again_when_it_has_died_again() {
        use RedriveAction::{Drop, Handle};
        for (letters, decisions, expected) in [
            (vec![1], vec![], State::Open),
            (vec![1], vec![(1, Handle)], State::Redriven),
            (vec![1, 2], vec![(1, Handle)], State::Open),
            (vec![1, 2], vec![(1, Handle), (2, Handle)], State::Redriven),
            (vec![1, 2], vec![(1, Handle), (2, Drop)], State::Dropped),
            (vec![1], vec![(1, Drop), (1, Handle)], State::Redriven),
        ] {
            let letters: Vec<_> = letters.iter().map(|at| letter(*at, 9)).collect();
            let decisions = (1..).zip(&decisions);
            let decisions = decisions.map(|(at, (of, action))| decision(at, 9, *of, *action));
            let found = entries(letters, decisions.collect());
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].state(), expected, "{found:?}");
        }
    }

    #[test]
    fn messages_at_one_place_of_a_stream_that_was_made_anew_are_several() {
        let stored_in = |year: u64| Some(to_timestamp(UNIX_EPOCH + Duration::from_secs(year)));
        let letter = |sequence, stored_at| {
            let letter = DeadLetter {
                stored_at,
                ..DeadLetter::decode(letter(sequence, 1).payload).unwrap()
            };
            stored(sequence, &letter)
        };
        let answer = |sequence, stored_at| {
            let answer = decision(sequence, 1, 1, RedriveAction::Drop);
            let answer = Redrive {
                stored_at,
                ..Redrive::decode(answer.payload).unwrap()
            };
            stored(sequence, &answer)
        };
        let letters = vec![
            letter(1, stored_in(1)),
            letter(2, None),
            letter(3, stored_in(2)),
        ];
        let found = entries(letters, vec![answer(1, stored_in(1)), answer(2, None)]);
        let about: Vec<_> = found
            .iter()
            .map(|entry| (entry.number(), entry.letters.len(), entry.decisions.len()))
            .collect();
        assert_eq!(about, [(3, 1, 1), (2, 2, 1)]);
    }

    #[test]
    fn the_last_to_die_comes_first_and_garbage_is_left_out() {
        let mut garbage = letter(4, 1);
        garbage.payload = bytes_of(b"\xff\xff");
        let found = entries(
            vec![letter(1, 7), letter(2, 8), letter(3, 7), garbage],
            vec![],
        );
        let numbers: Vec<_> = found.iter().map(Entry::number).collect();
        assert_eq!(numbers, [3, 2]);
    }

    fn bytes_of(bytes: &'static [u8]) -> prost::bytes::Bytes {
        prost::bytes::Bytes::from_static(bytes)
    }
}
