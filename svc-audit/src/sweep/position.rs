//! How far the ledger is complete: the moment before which it holds every message of a stage.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bonesetter_chassis::bus::ConsumerState;
use bonesetter_chassis::topology::ledger_consumers;
use bonesetter_proto::Stage;

/// What is known of one consumer of the ledger.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    /// Everything stored before this moment is in the ledger.
    through: Option<SystemTime>,
    /// The end of the stream at some moment; once that is acknowledged, the ledger is complete up to
    /// that moment. Under steady load a consumer is never idle, but it passes one mark after the other.
    mark: Option<(u64, SystemTime)>,
}

/// What is known of every consumer of the ledger, by its name.
#[derive(Debug, Clone, Default)]
pub struct Positions(BTreeMap<&'static str, Position>);

impl Positions {
    /// Learns from the state of a consumer that was asked for at a moment.
    pub fn observe(&mut self, consumer: &'static str, asked_at: SystemTime, state: ConsumerState) {
        let position = self.0.entry(consumer).or_default();
        if state.is_idle() {
            position.through = Some(asked_at);
            position.mark = None;
            return;
        }
        if let Some((end, at)) = position.mark
            && state.acknowledged >= end
        {
            position.through = Some(at);
            position.mark = None;
        }
        if position.mark.is_none() {
            position.mark = Some((state.delivered + state.pending, asked_at));
        }
    }

    /// The moment before which the ledger holds every message of the given stages; `None` while that
    /// is not known.
    pub fn through<const N: usize>(&self, stages: [Stage; N]) -> Option<SystemTime> {
        let mut through = None;
        for stage in stages {
            let consumer =
                ledger_consumers().find(|consumer| consumer.stream.stage == Some(stage))?;
            let of_stage = self.0.get(consumer.name)?.through?;
            through = Some(through.map_or(of_stage, |other: SystemTime| other.min(of_stage)));
        }
        through
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn state(acknowledged: u64, delivered: u64, pending: u64) -> ConsumerState {
        ConsumerState {
            pending,
            ack_pending: delivered - acknowledged,
            delivered,
            acknowledged,
        }
    }

    fn through(states: &[ConsumerState]) -> Option<u64> {
        let mut positions = Positions::default();
        for (second, state) in (1..).zip(states) {
            positions.observe("audit-detected", at(second), *state);
        }
        let since = |it: SystemTime| it.duration_since(at(0)).unwrap().as_secs();
        positions.through([Stage::Detected]).map(since)
    }

    #[test]
    fn the_ledger_is_complete_up_to_where_its_consumer_was_idle_or_has_passed() {
        let cases = [
            (vec![], None),
            (vec![state(5, 5, 0)], Some(1)),
            (vec![state(5, 7, 3)], None),
            // Not yet what was there when it was asked first.
            (vec![state(5, 7, 3), state(9, 12, 1)], None),
            (vec![state(5, 7, 3), state(10, 12, 1)], Some(1)),
            // A ledger that stands still is complete up to where it was.
            (
                vec![state(5, 5, 0), state(5, 6, 9), state(5, 6, 99)],
                Some(1),
            ),
            (
                vec![state(5, 7, 3), state(10, 12, 1), state(13, 14, 0)],
                Some(2),
            ),
        ];
        for (states, expected) in cases {
            assert_eq!(through(&states), expected, "{states:?}");
        }
    }

    #[test]
    fn of_several_stages_the_one_that_is_behind_counts() {
        let mut positions = Positions::default();
        positions.observe("audit-detected", at(9), state(5, 5, 0));
        assert_eq!(positions.through([Stage::Detected, Stage::Acted]), None);
        positions.observe("audit-acted", at(4), state(5, 5, 0));
        assert_eq!(
            positions.through([Stage::Detected, Stage::Acted]),
            Some(at(4))
        );
    }
}
