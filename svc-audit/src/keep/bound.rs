//! How far a stream may be purged, and who holds it back.

use std::time::SystemTime;

use bonesetter_chassis::bus::{ConsumerState, StreamState, may_be_same};
use bonesetter_proto::from_timestamp;
use bonesetter_proto::v1::{DeadLetter, Redrive};

use crate::config::KeepSettings;

/// The place up to which nobody needs a stream any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    through: u64,
    held_by: String,
    /// The place before the oldest message: nothing may go.
    nothing: u64,
    /// When the stream was made; what was stored before that was in another one.
    created: SystemTime,
}

impl Bound {
    /// Nobody has been asked yet.
    pub fn of(state: &StreamState) -> Self {
        Self {
            through: state.last,
            held_by: "nobody".to_owned(),
            nothing: state.first.saturating_sub(1),
            created: state.created,
        }
    }

    /// The last place that may go.
    pub const fn through(&self) -> u64 {
        self.through
    }

    /// Who needs the message after it.
    pub fn held_by(&self) -> &str {
        &self.held_by
    }

    fn hold(&mut self, through: u64, by: impl Into<String>) {
        if through < self.through {
            self.through = through;
            self.held_by = by.into();
        }
    }

    /// A consumer needs what it has not acknowledged. One with a filter does not move on with what
    /// does not fit, so one that is idle needs nothing.
    pub fn consumer(&mut self, name: &str, state: ConsumerState) {
        if !state.is_idle() {
            self.hold(state.acknowledged, format!("consumer {name}"));
        }
    }

    /// A consumer that is asked to handle a message again fetches it from the stream, and which one is
    /// not known here. It holds everything unless it did nothing while the dead letters were read.
    pub fn redrive(&mut self, name: &str, before: ConsumerState, after: ConsumerState) {
        self.must_be_idle(name, before);
        if before != after {
            self.hold(self.nothing, format!("consumer {name}"));
        }
    }

    /// A consumer of another stream whose work may have to do with any message of this one.
    pub fn must_be_idle(&mut self, name: &str, state: ConsumerState) {
        if !state.is_idle() {
            self.hold(self.nothing, format!("consumer {name}"));
        }
    }

    /// A dead letter needs its message until somebody has decided.
    pub fn dead_letter(&mut self, letter: &DeadLetter) {
        if !is_past(letter, self.created) && letter.sequence > self.nothing {
            self.hold(letter.sequence - 1, "a dead letter");
        }
    }

    /// What is not archived is kept.
    pub fn archived(&mut self, through: u64) {
        self.hold(through, "the archive");
    }
}

/// Whether a letter is about a message of an earlier stream of the same name, in whose place another one may stand.
pub fn is_past(letter: &DeadLetter, created: SystemTime) -> bool {
    let stored_at = letter.stored_at.as_ref().and_then(from_timestamp);
    stored_at.is_some_and(|stored_at| stored_at < created)
}

/// Whether somebody has decided about the letter at a place of the dead letters.
pub fn is_answered(place: u64, letter: &DeadLetter, answer: &Redrive) -> bool {
    let at = |told: Option<&_>| told.and_then(from_timestamp);
    answer.stream == letter.stream
        && answer.sequence == letter.sequence
        && answer.consumer == letter.consumer
        && answer.letter >= place
        && may_be_same(at(answer.stored_at.as_ref()), at(letter.stored_at.as_ref()))
}

impl KeepSettings {
    /// The place up to which the stream must be purged to be at the low mark, as far as the average
    /// size of its messages tells; `None` below the high mark.
    pub fn wanted(&self, state: &StreamState) -> Option<u64> {
        let percent = |percent: u8| u128::from(state.max_bytes) * u128::from(percent) / 100;
        let bytes = u128::from(state.bytes);
        if state.max_bytes == 0 || state.messages == 0 || bytes < percent(self.high_percent) {
            return None;
        }
        let excess = bytes.saturating_sub(percent(self.low_percent));
        let messages = (u128::from(state.messages) * excess).div_ceil(bytes.max(1));
        let messages = u64::try_from(messages).unwrap_or(state.messages).max(1);
        Some(state.first.saturating_add(messages - 1).min(state.last))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bonesetter_proto::to_timestamp;

    use super::*;

    fn stream(bytes: u64) -> StreamState {
        StreamState {
            messages: 100,
            bytes,
            max_bytes: 1000,
            first: 11,
            last: 110,
            created: UNIX_EPOCH + Duration::from_secs(9),
        }
    }

    fn consumer(acknowledged: u64, lag: u64) -> ConsumerState {
        ConsumerState {
            pending: lag,
            acknowledged,
            ..ConsumerState::default()
        }
    }

    fn letter(sequence: u64) -> DeadLetter {
        DeadLetter {
            stream: "S".to_owned(),
            consumer: "c".to_owned(),
            sequence,
            ..DeadLetter::default()
        }
    }

    #[test]
    fn a_stream_is_purged_from_the_high_mark_to_the_low_one() {
        let settings = KeepSettings::default();
        for (bytes, expected) in [(0, None), (799, None), (800, Some(35)), (1000, Some(50))] {
            assert_eq!(settings.wanted(&stream(bytes)), expected, "{bytes}");
        }
        let without_limit = StreamState {
            max_bytes: 0,
            ..stream(1000)
        };
        assert_eq!(settings.wanted(&without_limit), None);
    }

    #[test]
    fn whoever_needs_the_oldest_message_holds_the_stream() {
        let mut bound = Bound::of(&stream(900));
        assert_eq!((bound.through(), bound.held_by()), (110, "nobody"));
        // Idle, so it does not matter that the last message that fitted it was the third.
        bound.consumer("with-a-filter", consumer(3, 0));
        assert_eq!(bound.through(), 110);
        bound.consumer("slow", consumer(60, 50));
        assert_eq!((bound.through(), bound.held_by()), (60, "consumer slow"));
        bound.archived(70);
        assert_eq!(bound.through(), 60);
        bound.dead_letter(&letter(5));
        assert_eq!(bound.through(), 60, "its message is gone already");
        let of_another_stream = DeadLetter {
            stored_at: Some(to_timestamp(UNIX_EPOCH)),
            ..letter(40)
        };
        bound.dead_letter(&of_another_stream);
        assert_eq!(bound.through(), 60, "the stream was made later");
        bound.dead_letter(&letter(40));
        assert_eq!((bound.through(), bound.held_by()), (39, "a dead letter"));
        bound.archived(20);
        assert_eq!((bound.through(), bound.held_by()), (20, "the archive"));
        bound.redrive("idle-redrive", consumer(9, 0), consumer(9, 0));
        assert_eq!(bound.through(), 20);
        bound.redrive("slow-redrive", consumer(0, 1), consumer(0, 1));
        assert_eq!(bound.through(), 10);
    }

    #[test]
    fn what_somebody_has_handled_again_meanwhile_is_kept() {
        for (before, after) in [
            // Asked before, done meanwhile.
            (consumer(9, 1), consumer(10, 0)),
            // Asked meanwhile.
            (consumer(9, 0), consumer(9, 1)),
            // Asked and done meanwhile: it may have died again, in a letter that was not seen.
            (consumer(9, 0), consumer(10, 0)),
        ] {
            let mut bound = Bound::of(&stream(900));
            bound.redrive("redrive", before, after);
            assert_eq!(bound.through(), 10, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_letter_is_answered_by_what_was_decided_about_it_or_a_later_one() {
        let answer = |sequence, letter| Redrive {
            stream: "S".to_owned(),
            consumer: "c".to_owned(),
            sequence,
            letter,
            ..Redrive::default()
        };
        for (sequence, place, expected) in
            [(7, 3, true), (7, 4, true), (7, 2, false), (8, 3, false)]
        {
            let found = is_answered(3, &letter(7), &answer(sequence, place));
            assert_eq!(found, expected, "{sequence} {place}");
        }
    }
}
