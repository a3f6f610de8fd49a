//! What is looked at while a flood is worked off, and what it says of one consumer or one process.

use std::time::Duration;

use bonesetter_chassis::bus::{Bus, ConsumerState};
use bonesetter_chassis::topology::ConsumerSpec;

use super::bed::{Memory, Process};

/// How it is at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Since the flood began to be worked off.
    pub(super) at: Duration,
    /// By process, in their order.
    pub(super) memory: Vec<Memory>,
    /// By consumer, in their order.
    pub(super) states: Vec<ConsumerState>,
}

impl Sample {
    pub(super) async fn take(
        at: Duration,
        processes: &[Process],
        consumers: &[&'static ConsumerSpec],
        provisioner: &Bus,
    ) -> anyhow::Result<Self> {
        let memory = processes
            .iter()
            .map(Process::memory)
            .collect::<Result<_, _>>()?;
        let mut states = Vec::new();
        for consumer in consumers {
            states.push(provisioner.consumer_state(consumer).await?);
        }
        Ok(Self { at, memory, states })
    }
}

/// One flood, from when it was let through until it was worked off.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Phase {
    /// How many messages there were before.
    pub(super) first: u64,
    /// How many came.
    pub(super) count: u64,
    /// In order.
    pub(super) samples: Vec<Sample>,
}

impl Phase {
    /// Messages a second of a consumer without a filter whose stream holds this flood and nothing besides
    /// it and what was before; not a number where it was faster than could be seen.
    pub(super) fn rate(&self, consumer: usize) -> f64 {
        let done = |sample: &Sample| {
            let state = sample.states.get(consumer);
            state.map_or(0, |state| state.acknowledged.saturating_sub(self.first))
        };
        let begun = self.samples.iter().find(|sample| done(sample) > 0);
        let ended = self
            .samples
            .iter()
            .find(|sample| done(sample) >= self.count);
        let (Some(begun), Some(ended)) = (begun, ended) else {
            return f64::NAN;
        };
        let count = u32::try_from(done(ended) - done(begun)).unwrap_or(u32::MAX);
        f64::from(count) / (ended.at.saturating_sub(begun.at)).as_secs_f64()
    }

    /// The most deliveries of a consumer that were open at a time.
    pub(super) fn most_in_flight(&self, consumer: usize) -> u64 {
        let states = self.samples.iter().filter_map(|it| it.states.get(consumer));
        states.map(|state| state.ack_pending).max().unwrap_or(0)
    }

    /// The most messages of a consumer that were not done at a time.
    pub(super) fn most_lag(&self, consumer: usize) -> u64 {
        let states = self.samples.iter().filter_map(|it| it.states.get(consumer));
        states.map(ConsumerState::lag).max().unwrap_or(0)
    }

    /// By how many MiB a process was larger in the last third of the time in which one of these
    /// consumers had something to do than in the third before.
    pub(super) fn growth(&self, process: usize, consumers: &[usize]) -> f64 {
        let is_busy = |sample: &&Sample| {
            let mut states = consumers.iter().filter_map(|it| sample.states.get(*it));
            states.any(|state| !state.is_idle())
        };
        let sizes: Vec<f64> = self
            .samples
            .iter()
            .filter(is_busy)
            .filter_map(|sample| sample.memory.get(process))
            .map(|memory| memory.resident)
            .collect();
        let third = sizes.len() / 3;
        let (before, last) = sizes[third..].split_at((sizes.len() - third) / 2);
        mean(last) - mean(before)
    }

    /// The most that a process was.
    pub(super) fn peak(&self, process: usize) -> f64 {
        let memory = self.samples.iter().filter_map(|it| it.memory.get(process));
        memory.map(|memory| memory.peak).fold(0.0, f64::max)
    }
}

fn mean(values: &[f64]) -> f64 {
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX).max(1);
    values.iter().sum::<f64>() / f64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(rows: &[(u64, f64, u64)]) -> Phase {
        let sample = |(place, row): (usize, &(u64, f64, u64))| Sample {
            at: Duration::from_secs(place as u64),
            memory: vec![Memory {
                resident: row.1,
                peak: row.1,
            }],
            states: vec![ConsumerState {
                acknowledged: row.0,
                ack_pending: row.2,
                pending: (160 - row.0).saturating_sub(row.2),
                ..ConsumerState::default()
            }],
        };
        Phase {
            first: 100,
            count: 60,
            samples: rows.iter().enumerate().map(sample).collect(),
        }
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "small whole numbers")]
    fn rate_peak_and_growth_are_those_of_the_time_of_work() {
        let phase = phase(&[
            (100, 1.0, 4),
            (110, 20.0, 4),
            (130, 20.0, 3),
            (150, 22.0, 2),
            (155, 22.0, 1),
            (160, 90.0, 0),
            (160, 5.0, 0),
        ]);
        assert_eq!(phase.rate(0), 50.0 / 4.0);
        assert_eq!(phase.most_in_flight(0), 4);
        assert_eq!(phase.most_lag(0), 60);
        assert_eq!(phase.peak(0), 90.0);
        assert_eq!(phase.growth(0, &[0]), 22.0 - 20.0);
    }

    #[test]
    fn nothing_seen_is_no_rate_and_no_growth() {
        assert!(phase(&[]).rate(0).is_nan());
        assert!(phase(&[(160, 1.0, 0)]).rate(0).is_nan());
        assert!(phase(&[]).growth(0, &[0]).abs() < f64::EPSILON);
    }
}
