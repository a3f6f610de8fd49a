//! The dead letters that nobody has decided about, and those of the ledger that somebody has dropped. Both
//! streams are read once; then only what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use bonesetter_chassis::bus::{Bus, ReadError, StoredMessage, StreamReader};
use bonesetter_chassis::topology::{DLQ, REDRIVE, StreamSpec, consumers, ledger_consumers};
use bonesetter_proto::v1::{DeadLetter, Redrive, RedriveAction};
use prost::Message as _;

use super::bound::{is_answered, is_past};

/// What is counted under this name is about no consumer of ours: everybody may write dead letters.
const UNKNOWN: &str = "unknown";

/// What is open, as far as the streams have been read.
#[derive(Debug)]
pub(super) struct OpenLetters {
    letters: Tail,
    answers: Tail,
    open: Open,
}

impl OpenLetters {
    /// Nothing is read yet.
    pub(super) fn new(bus: &Bus) -> Self {
        Self {
            letters: Tail::of(bus, DLQ),
            answers: Tail::of(bus, REDRIVE),
            open: Open::default(),
        }
    }

    /// Reads on to the end of both streams: first the letters, then what was decided about them.
    pub(super) async fn read_on(&mut self) -> Result<(), ReadError> {
        if self.letters.is_another().await? || self.answers.is_another().await? {
            *self = Self {
                letters: self.letters.anew(),
                answers: self.answers.anew(),
                open: Open::default(),
            };
        }
        while let Some(stored) = self.letters.next().await? {
            // What is not a letter refers to nothing.
            if let Ok(letter) = DeadLetter::decode(stored.payload) {
                self.open.add(stored.sequence, letter);
            }
        }
        while let Some(stored) = self.answers.next().await? {
            self.open.answers.extend(Redrive::decode(stored.payload));
        }
        let first = self.letters.first().await?;
        self.open.settle(self.letters.read(), first);
        Ok(())
    }

    /// How many messages they are about, of every consumer that there is, and of others.
    pub(super) fn count(&self) -> BTreeMap<&'static str, usize> {
        let known = consumers().map(|it| it.name);
        let mut counts: BTreeMap<_, _> = known.chain([UNKNOWN]).map(|name| (name, 0)).collect();
        for (consumer, ..) in self.open.messages() {
            let known = consumers().find(|it| it.name == consumer);
            let name = known.map_or(UNKNOWN, |it| it.name);
            *counts.entry(name).or_default() += 1;
        }
        counts
    }

    /// Those about messages of a stream.
    pub(super) fn about(&self, stream: &StreamSpec) -> impl Iterator<Item = &DeadLetter> {
        let name = stream.name;
        let letters = self.open.letters.values();
        letters.filter(move |letter| letter.stream == name)
    }

    /// The places of messages, in a stream that was made then, that the ledger could not record and that
    /// somebody has dropped.
    pub(super) fn unrecorded(&self, stream: &StreamSpec, created: SystemTime) -> Vec<u64> {
        self.open.unrecorded_of(stream, created)
    }
}

/// Letters without an answer, and some of those that have one.
#[derive(Debug, Default)]
struct Open {
    /// By place in the stream of dead letters.
    letters: BTreeMap<u64, DeadLetter>,
    /// What the ledger could not record and somebody has dropped, likewise.
    unrecorded: BTreeMap<u64, DeadLetter>,
    /// What was not applied yet, and what answers letters that were not there when the letters were read.
    answers: Vec<Redrive>,
}

impl Open {
    /// Keeps the reference, without texts.
    fn add(&mut self, place: u64, letter: DeadLetter) {
        let letter = DeadLetter {
            envelope: None,
            cause: String::new(),
            traceparent: String::new(),
            ..letter
        };
        self.letters.insert(place, letter);
    }

    /// Applies the answers, where letters have been read up to `read`, and forgets what has aged out
    /// before `first`.
    fn settle(&mut self, read: u64, first: u64) {
        for answer in &self.answers {
            let answered = self
                .letters
                .extract_if(.., |place, letter| is_answered(*place, letter, answer));
            let is_dropped = answer.action() == RedriveAction::Drop;
            let unrecorded = answered.filter(|(_, letter)| is_dropped && is_of_the_ledger(letter));
            self.unrecorded.extend(unrecorded);
        }
        self.answers.retain(|answer| answer.letter > read);
        self.letters = self.letters.split_off(&first);
        self.unrecorded = self.unrecorded.split_off(&first);
    }

    fn unrecorded_of(&self, stream: &StreamSpec, created: SystemTime) -> Vec<u64> {
        let letters = self.unrecorded.values();
        let there =
            letters.filter(|letter| letter.stream == stream.name && !is_past(letter, created));
        there.map(|letter| letter.sequence).collect()
    }

    /// Consumer, stream and sequence; one may have several letters.
    fn messages(&self) -> BTreeSet<(&str, &str, u64)> {
        let letters = self.letters.values();
        letters
            .map(|it| (it.consumer.as_str(), it.stream.as_str(), it.sequence))
            .collect()
    }
}

/// Whether it was the ledger that could not handle a message.
fn is_of_the_ledger(letter: &DeadLetter) -> bool {
    ledger_consumers().any(|consumer| consumer.name == letter.consumer)
}

/// A stream that is read once, and what is new in it again and again.
#[derive(Debug)]
struct Tail {
    reader: StreamReader,
    filter: String,
    /// Place and time of the last message that was read.
    last: Option<(u64, SystemTime)>,
}

impl Tail {
    fn of(bus: &Bus, stream: StreamSpec) -> Self {
        Self {
            reader: StreamReader::new(bus.clone(), stream.name),
            filter: stream.filter(),
            last: None,
        }
    }

    fn anew(&self) -> Self {
        Self {
            reader: self.reader.clone(),
            filter: self.filter.clone(),
            last: None,
        }
    }

    /// Whether the last message that was read is not there any more: the stream has been made anew, or
    /// nothing is left of what was read.
    async fn is_another(&self) -> Result<bool, ReadError> {
        let Some((place, stored_at)) = self.last else {
            return Ok(false);
        };
        let found = self.reader.at(place).await?;
        Ok(found.is_none_or(|found| found.stored_at != stored_at))
    }

    /// The place up to which it has been read.
    fn read(&self) -> u64 {
        self.last.map_or(0, |(place, _)| place)
    }

    /// The place of the oldest message; behind all where there is none.
    async fn first(&self) -> Result<u64, ReadError> {
        let oldest = self.reader.next(&self.filter, 1).await?;
        Ok(oldest.map_or(u64::MAX, |oldest| oldest.sequence))
    }

    async fn next(&mut self) -> Result<Option<StoredMessage>, ReadError> {
        let found = self.reader.next(&self.filter, self.read() + 1).await?;
        if let Some(found) = &found {
            self.last = Some((found.sequence, found.stored_at));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bonesetter_chassis::topology::{ACTED, AUDIT_DETECTED, DETECTED, ENRICHER};
    use bonesetter_proto::to_timestamp;

    use super::*;

    fn letter(sequence: u64) -> DeadLetter {
        DeadLetter {
            stream: "S".to_owned(),
            consumer: "c".to_owned(),
            sequence,
            ..DeadLetter::default()
        }
    }

    fn answer(sequence: u64, letter: u64) -> Redrive {
        Redrive {
            stream: "S".to_owned(),
            consumer: "c".to_owned(),
            sequence,
            letter,
            ..Redrive::default()
        }
    }

    fn places(open: &Open) -> Vec<u64> {
        open.letters.keys().copied().collect()
    }

    #[test]
    fn a_letter_is_open_until_it_is_answered_or_has_aged_out() {
        let mut open = Open::default();
        for (place, sequence) in [(1, 7), (2, 8), (3, 7)] {
            open.add(place, letter(sequence));
        }
        open.settle(3, 1);
        assert_eq!(places(&open), [1, 2, 3]);
        assert_eq!(open.messages().len(), 2);
        open.answers.push(answer(7, 1));
        open.settle(3, 1);
        assert_eq!(places(&open), [2, 3]);
        open.settle(3, 3);
        assert_eq!(places(&open), [3]);
    }

    #[test]
    fn what_the_ledger_could_not_record_is_known_when_it_is_dropped() {
        let mut open = Open::default();
        let of = |consumer: &str, sequence| DeadLetter {
            stream: DETECTED.name.to_owned(),
            consumer: consumer.to_owned(),
            stored_at: Some(to_timestamp(UNIX_EPOCH)),
            sequence,
            ..DeadLetter::default()
        };
        let answer = |consumer: &str, sequence, action: RedriveAction| Redrive {
            stream: DETECTED.name.to_owned(),
            consumer: consumer.to_owned(),
            sequence,
            letter: 9,
            action: action.into(),
            ..Redrive::default()
        };
        for (place, consumer, action) in [
            (1, AUDIT_DETECTED.name, RedriveAction::Drop),
            (2, AUDIT_DETECTED.name, RedriveAction::Handle),
            (3, ENRICHER.name, RedriveAction::Drop),
            (4, AUDIT_DETECTED.name, RedriveAction::Drop),
        ] {
            open.add(place, of(consumer, 10 + place));
            open.answers.push(answer(consumer, 10 + place, action));
        }
        open.settle(4, 1);
        assert_eq!(places(&open), [0; 0]);
        assert_eq!(open.unrecorded_of(&DETECTED, UNIX_EPOCH), [11, 14]);
        assert_eq!(open.unrecorded_of(&ACTED, UNIX_EPOCH), [0; 0]);
        let made_anew = UNIX_EPOCH + Duration::from_secs(1);
        assert_eq!(open.unrecorded_of(&DETECTED, made_anew), [0; 0]);
        open.settle(4, 2);
        assert_eq!(open.unrecorded_of(&DETECTED, UNIX_EPOCH), [14], "aged out");
    }

    #[test]
    fn an_answer_that_is_read_before_its_letter_counts() {
        let mut open = Open::default();
        // Both were written after the letters had been read, up to the fourth.
        open.answers.push(answer(7, 5));
        open.settle(4, 1);
        open.add(5, letter(7));
        open.add(6, letter(7));
        open.settle(6, 1);
        assert_eq!(places(&open), [6]);
        assert!(open.answers.is_empty());
    }
}
