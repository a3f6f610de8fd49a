//! Why messages end in the dead letters. The reasons are known beforehand, so that the series of each
//! begins before there is one: an increase is only seen between two samples.

use super::Runner;
use super::work::Work;
use crate::topology::ConsumerSpec;

/// The deliveries are used up.
pub(super) const EXHAUSTED: &str = "exhausted";
/// The handler panics over it.
pub(super) const PANIC: &str = "panic";

/// What the runner finds, whatever the handler is: of a delivery, of a request to handle it again, and
/// of what the handler wants published.
const OF_THE_RUNNER: [&str; 15] = [
    EXHAUSTED,
    PANIC,
    "bad-subject",
    "injected",
    "undecodable",
    "subject-differs",
    "unsigned",
    "forged",
    "not-asked",
    "other-stream",
    "gone",
    "not-for-consumer",
    "too-large",
    "foreign-output",
    "held-back",
];

/// Whether the series of a reason has begun.
pub(super) fn is_known<W: Work>(reason: &str) -> bool {
    OF_THE_RUNNER.contains(&reason) || W::REASONS.contains(&reason)
}

impl Runner {
    /// Begins the series of what it handles.
    pub(super) fn begin<W: Work>(&self, specs: &[ConsumerSpec]) {
        for spec in specs {
            self.metrics.begin(spec.name);
        }
        let reasons = OF_THE_RUNNER.iter().chain(W::REASONS).copied();
        self.metrics.begin_dead(self.spec.name, reasons);
        self.metrics.begin_unburied(self.spec.name);
    }
}
