//! Dead letters and what was decided about them.
//!
//! What a consumer could not handle may have several letters: it died again after it was handled
//! again, or an ack was lost. They are one entry. It is open when its newest letter is newer than the
//! newest decision, which names the letter that it answers; no clock is compared.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bonesetter_chassis::bus::{Bus, ReadError, StoredMessage, StreamReader};
use bonesetter_chassis::topology::{CONSUMERS, ConsumerSpec, DLQ, ENRICHED, REDRIVE};
use bonesetter_proto::Subject;
use bonesetter_proto::v1::{DeadLetter, Redrive, RedriveAction};

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
        Ok(Some(reader.at(letter.message.sequence).await?.is_some()))
    }
}

/// Every entry, the one that died last first, and the newest decision under each subject.
pub async fn read(bus: &Bus) -> Result<(Vec<Entry>, BTreeMap<String, u64>), ReadError> {
    let letters = StreamReader::new(bus.clone(), DLQ.name);
    let letters = letters.all(&DLQ.filter()).await?;
    let decisions = StreamReader::new(bus.clone(), REDRIVE.name);
    let decisions = decisions.all(&REDRIVE.filter()).await?;
    let mut newest = BTreeMap::new();
    for decision in &decisions {
        newest.insert(decision.subject.clone(), decision.sequence);
    }
    Ok((entries(letters, decisions), newest))
}

fn entries(letters: Vec<StoredMessage>, decisions: Vec<StoredMessage>) -> Vec<Entry> {
    let mut entries: BTreeMap<(String, u64, String), Entry> = BTreeMap::new();
    for letter in letters.into_iter().filter_map(at::<DeadLetter>) {
        let message = &letter.message;
        let key = (
            message.stream.clone(),
            message.sequence,
            message.consumer.clone(),
        );
        let entry = entries.entry(key).or_insert_with(|| Entry {
            letters: Vec::new(),
            decisions: Vec::new(),
        });
        entry.letters.push(letter);
    }
    for decision in decisions.into_iter().filter_map(at::<Redrive>) {
        let message = &decision.message;
        let key = (
            message.stream.clone(),
            message.sequence,
            message.consumer.clone(),
        );
        if let Some(entry) = entries.get_mut(&key) {
            entry.decisions.push(decision);
        }
    }
    let mut entries: Vec<Entry> = entries.into_values().collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.number()));
    entries
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
    use std::time::UNIX_EPOCH;

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
