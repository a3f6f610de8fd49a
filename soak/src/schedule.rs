//! What goes wrong when: out of a seed, the same each time.
//!
//! Faults are dealt like cards: each comes once before any comes again, so that a short run sees many
//! kinds; what lasts may overlap with what follows.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::fault::{Fault, Garbage, all};

/// Most time between two faults.
const MAX_GAP: Duration = Duration::from_secs(7);
const MIN_GAP: Duration = Duration::from_secs(1);
/// Nothing happens for so long at the beginning: a run without a single healthy moment shows nothing.
const WARM_UP: Duration = Duration::from_secs(5);

/// One fault in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// After the beginning.
    pub at: Duration,
    /// How long it lasts; of a process that is killed, how long it is away.
    pub lasts: Duration,
    /// What it is.
    pub fault: Fault,
}

/// The faults of a run of `length` over so many services, in order.
pub fn schedule(seed: u64, length: Duration, services: usize) -> Vec<Planned> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut planned = Vec::new();
    let mut deck: Vec<Fault> = Vec::new();
    let mut at = WARM_UP;
    while at < length {
        if deck.is_empty() {
            deck = all(services);
            deck.shuffle(&mut random);
        }
        let Some(fault) = deck.pop() else { break };
        let fault = match fault {
            Fault::Garbage(stage, _) => Fault::Garbage(
                stage,
                Garbage::ALL[random.random_range(0..Garbage::ALL.len())],
            ),
            other => other,
        };
        planned.push(Planned {
            at,
            lasts: lasts(fault, &mut random),
            fault,
        });
        at += random.random_range(MIN_GAP..MAX_GAP);
    }
    planned
}

fn lasts(fault: Fault, random: &mut StdRng) -> Duration {
    let seconds = match fault {
        // A pod that is started again is back at once, or after a back-off.
        Fault::KillService(_) => 0.0..6.0,
        // Longer than the lease of a notice, now and then, and than an ack wait.
        Fault::PauseService(_) => 1.0..40.0,
        Fault::KillServer(_) => 0.0..10.0,
        Fault::PauseServer(_) => 1.0..15.0,
        Fault::Link(..) => 2.0..20.0,
        Fault::Answer(_) => 3.0..20.0,
        Fault::FullDisk => 3.0..10.0,
        Fault::Garbage(..) => return Duration::ZERO,
    };
    Duration::from_secs_f64(random.random_range(seconds))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SERVICES: usize = 9;

    #[test]
    fn a_seed_is_one_schedule_and_another_seed_another() {
        let one = schedule(1, Duration::from_mins(2), SERVICES);
        assert_eq!(one, schedule(1, Duration::from_mins(2), SERVICES));
        assert_ne!(one, schedule(2, Duration::from_mins(2), SERVICES));
        assert!(one.len() > 20, "{}", one.len());
        assert!(one.is_sorted_by_key(|planned| planned.at));
        assert!(
            one.iter()
                .all(|planned| planned.at < Duration::from_mins(2))
        );
    }

    #[test]
    fn a_longer_run_begins_as_a_shorter_one() {
        let short = schedule(7, Duration::from_mins(1), SERVICES);
        let long = schedule(7, Duration::from_mins(10), SERVICES);
        assert_eq!(long[..short.len()], short);
    }

    #[test]
    fn every_fault_comes_before_one_comes_again() {
        let planned = schedule(3, Duration::from_mins(20), SERVICES);
        let names: Vec<String> = (0..SERVICES).map(|place| place.to_string()).collect();
        let kind = |fault: &Fault| match fault {
            Fault::Garbage(stage, _) => format!("garbage on {}", stage.as_str()),
            other => other.describe(&names),
        };
        let deck = all(SERVICES);
        let first: BTreeSet<String> = planned[..deck.len()]
            .iter()
            .map(|planned| kind(&planned.fault))
            .collect();
        let every: BTreeSet<String> = deck.iter().map(kind).collect();
        assert_eq!(first, every);
    }
}
