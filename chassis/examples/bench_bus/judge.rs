//! The goals, and what was reached.

use std::fmt::Write as _;

use crate::bed::Sync;
use crate::measure::{One, Place};
use crate::six::Six;

/// What a pass-through stage of the product reaches of the bare client's rate, and six of a sixth.
const GOAL_SHARE: f64 = 0.8;
/// What a stage adds for an idle pipeline.
const GOAL_P99_MS: f64 = 2.0;
/// What a service holds while nothing happens.
const GOAL_MIB: f64 = 40.0;

/// All that was measured.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) ones: Vec<One>,
    pub(crate) sixes: Vec<Six>,
    pub(crate) memory: Vec<(&'static str, f64)>,
}

impl Findings {
    /// Judged over every size and both ways to sync, where both sides do the same work. Signing and
    /// verifying, which the bare client does not, is told beside it.
    pub(crate) fn is_passed(&self) -> bool {
        let syncs = [Sync::Always, Sync::Default];
        syncs.into_iter().all(|sync| {
            self.share(sync, Place::Plain) >= GOAL_SHARE && self.six_share(sync) >= GOAL_SHARE
        }) && self.added_p99_ms() < GOAL_P99_MS
            && self.rest_mib() < GOAL_MIB
    }

    pub(crate) fn summary(&self, is_whole: bool) -> String {
        let mut line = "result: bench-bus".to_owned();
        for (sync, name) in [(Sync::Always, ""), (Sync::Default, "unsynced_")] {
            // Into a string it cannot fail.
            let _ = write!(
                line,
                " {name}share={:.2} {name}signed_share={:.2} {name}six_share={:.2}",
                self.share(sync, Place::Plain),
                self.share(sync, Place::Signed),
                self.six_share(sync)
            );
        }
        let (added, mib) = (self.added_p99_ms(), self.rest_mib());
        let passed = is_whole && self.is_passed();
        line + &format!(" added_p99_ms={added:.2} rest_mib={mib:.1} passed={passed}")
    }

    /// The least over all sizes.
    fn share(&self, sync: Sync, place: Place) -> f64 {
        let ones = self.ones.iter();
        ones.filter(|one| (one.sync, one.place) == (sync, place))
            .map(One::share)
            .fold(f64::INFINITY, f64::min)
    }

    fn six_share(&self, sync: Sync) -> f64 {
        let six = self.sixes.iter().find(|six| six.sync == sync);
        six.map_or(f64::NAN, Six::share)
    }

    /// The most of all sizes.
    fn added_p99_ms(&self) -> f64 {
        let ones = self.ones.iter().filter(|one| one.place == Place::Plain);
        ones.map(One::added_p99_ms)
            .fold(f64::NEG_INFINITY, f64::max)
    }

    fn rest_mib(&self) -> f64 {
        let memory = self.memory.iter().map(|(_, mib)| *mib);
        memory.fold(f64::NEG_INFINITY, f64::max)
    }
}
