//! The goals, and what was reached.

use std::fmt::Write as _;

use bonesetter_chassis::topology::{AUDIT_REDACTED, ConsumerSpec, REDACTOR};

/// Copies of a message that a service may have in memory while it handles it: as it was received, opened,
/// read, worked on, written, and in the buffers of what carries it.
pub(super) const COPIES: f64 = 12.0;
/// What a service may need besides, however large messages are: code that ran for the first time,
/// buffers of connections, and what the allocator keeps.
pub(super) const SLACK_MIB: f64 = 16.0;
/// What a process may have at rest.
const GOAL_REST_MIB: f64 = 40.0;
/// What a process may grow late in a flood.
const GOAL_GROWTH_MIB: f64 = 4.0;
/// What a consumer reaches of its rate while another one waits for its provider.
const GOAL_SHARE: f64 = 0.8;
/// Who does not wait for what the model leads to.
const UNTOUCHED: [ConsumerSpec; 2] = [REDACTOR, AUDIT_REDACTED];

/// What became of one service's memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name.
    pub service: &'static str,
    /// MiB before the flood.
    pub rest: f64,
    /// MiB at the most.
    pub peak: f64,
    /// MiB that it may have at the most above its rest: [`SLACK_MIB`], and [`COPIES`] of what it may have
    /// in hand.
    pub bound: f64,
    /// MiB by which it was larger at the end of its work than in the middle.
    pub growth: f64,
}

impl Row {
    fn above(&self) -> f64 {
        self.peak - self.rest
    }
}

/// How a consumer got on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flow {
    /// Its name.
    pub consumer: &'static str,
    /// Deliveries that were open at the most.
    pub in_flight: u64,
    /// Deliveries that may be open.
    pub limit: u64,
    /// Messages that were not done, at the most, while the model was quick, and while it was slow.
    pub lag: (u64, u64),
    /// Messages a second, likewise; not a number where it was faster than could be seen.
    pub rate: (f64, f64),
}

/// What came of a flood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Messages that came.
    pub messages: u64,
    /// MiB of them that waited when the second flood was let through.
    pub backlog: f64,
    /// KiB of the largest.
    pub largest: f64,
    /// By process.
    pub rows: Vec<Row>,
    /// By consumer.
    pub flows: Vec<Flow>,
    /// Requests that were open at the model at the most, and what may be.
    pub asking: (u64, u64),
    /// What is missing of what should have been stored, recorded or told.
    pub lost: u64,
    /// What is there, or was asked, more than once.
    pub twice: u64,
    /// Dead letters.
    pub dead: u64,
}

impl Outcome {
    /// Whether every process stayed below its bound.
    pub fn is_bounded(&self) -> bool {
        let rows = &self.rows;
        !rows.is_empty() && rows.iter().all(|row| row.above() <= row.bound)
    }

    /// Whether the flood was larger than what memory is allowed, so that the bounds mean something.
    pub fn is_flood(&self) -> bool {
        self.rows.iter().all(|row| row.bound < self.backlog)
    }

    /// Whether no consumer had more open than it may have, and one had as much.
    pub fn is_held_back(&self) -> bool {
        let (most, limit) = self.asking;
        self.flows.iter().all(|it| it.in_flight <= it.limit) && most == limit
    }

    /// Whether each message was handled once.
    pub fn is_once(&self) -> bool {
        (self.lost, self.twice, self.dead) == (0, 0, 0)
    }

    /// Whether every process was small before anything came.
    fn is_small_at_rest(&self) -> bool {
        self.rest() < GOAL_REST_MIB
    }

    fn rest(&self) -> f64 {
        let rest = self.rows.iter().map(|row| row.rest);
        rest.fold(f64::NEG_INFINITY, f64::max)
    }

    /// Of its rate while the model was quick, what a consumer reached while it was slow.
    fn share(&self, spec: &ConsumerSpec) -> f64 {
        let flow = self.flows.iter().find(|it| it.consumer == spec.name);
        flow.map_or(f64::NAN, |flow| flow.rate.1 / flow.rate.0)
    }

    /// Whether who does not wait for the model was as quick while it was slow.
    fn is_alone_in_being_slow(&self) -> bool {
        let shares = UNTOUCHED.map(|spec| self.share(&spec));
        shares.into_iter().all(|share| share >= GOAL_SHARE)
    }

    /// Whether no process went on growing.
    fn is_steady(&self) -> bool {
        self.growth() <= GOAL_GROWTH_MIB
    }

    fn growth(&self) -> f64 {
        let growth = self.rows.iter().map(|row| row.growth);
        growth.fold(f64::NEG_INFINITY, f64::max)
    }

    /// Whether all goals are reached.
    pub fn is_good(&self) -> bool {
        self.is_bounded()
            && self.is_flood()
            && self.is_small_at_rest()
            && self.is_steady()
            && self.is_held_back()
            && self.is_once()
            && self.is_alone_in_being_slow()
    }

    /// What people read: memory by process, and deliveries by consumer.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:14} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
            "MiB", "rest", "peak", "above", "bound", "growth"
        );
        for row in &self.rows {
            // Into a string it cannot fail.
            let _ = writeln!(
                text,
                "{:14} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1}",
                row.service,
                row.rest,
                row.peak,
                row.above(),
                row.bound,
                row.growth
            );
        }
        let _ = writeln!(
            text,
            "{:20} {:>9} {:>6} {:>10} {:>9} {:>10} {:>9}",
            "consumer", "in flight", "of", "lag, quick", "and slow", "/s, quick", "and slow"
        );
        for it in self.flows.iter().filter(|it| it.in_flight > 0) {
            let _ = writeln!(
                text,
                "{:20} {:>9} {:>6} {:>10} {:>9} {:>10.0} {:>9.0}",
                it.consumer, it.in_flight, it.limit, it.lag.0, it.lag.1, it.rate.0, it.rate.1
            );
        }
        text
    }

    /// The last line.
    pub fn result(&self) -> String {
        let used = self.rows.iter().map(|row| row.above() / row.bound);
        let above = self.rows.iter().map(Row::above);
        let lag = self.flows.iter().map(|flow| flow.lag.0.max(flow.lag.1));
        format!(
            "result: bench-flood messages={} backlog_mib={:.0} largest_kib={:.0} rest_mib={:.1} \
             above_rest_mib={:.1} of_bound={:.2} growth_mib={:.1} asking={}/{} most_lag={} \
             redactor_share={:.2} ledger_share={:.2} lost={} twice={} dead={} passed={}",
            self.messages,
            self.backlog,
            self.largest,
            self.rest(),
            above.fold(f64::NEG_INFINITY, f64::max),
            used.fold(f64::NEG_INFINITY, f64::max),
            self.growth(),
            self.asking.0,
            self.asking.1,
            lag.max().unwrap_or(0),
            self.share(&REDACTOR),
            self.share(&AUDIT_REDACTED),
            self.lost,
            self.twice,
            self.dead,
            self.is_good(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(consumer: &'static str, rate: (f64, f64)) -> Flow {
        Flow {
            consumer,
            in_flight: 32,
            limit: 32,
            lag: (8, 8),
            rate,
        }
    }

    fn good() -> Outcome {
        Outcome {
            messages: 8,
            backlog: 300.0,
            rows: vec![Row {
                service: "svc-llm",
                rest: 20.0,
                peak: 40.0,
                bound: 24.0,
                growth: 0.5,
            }],
            flows: vec![
                flow("llm", (100.0, 10.0)),
                flow("redactor", (100.0, 110.0)),
                flow("audit-redacted", (100.0, 90.0)),
            ],
            asking: (32, 32),
            ..Outcome::default()
        }
    }

    #[test]
    fn every_goal_can_be_missed() {
        assert!(good().is_good());
        let misses: [fn(&mut Outcome); 13] = [
            |it| it.rows.clear(),
            |it| it.rows[0].rest = 40.1,
            |it| it.rows[0].peak = 44.1,
            |it| it.rows[0].growth = 4.1,
            |it| it.backlog = 24.0,
            |it| it.flows[0].in_flight = 33,
            |it| it.asking.0 = 31,
            |it| it.flows[1].rate.1 = 79.0,
            |it| it.flows[2].rate.1 = f64::NAN,
            |it| it.flows.truncate(2),
            |it| it.lost = 1,
            |it| it.twice = 1,
            |it| it.dead = 1,
        ];
        for (place, miss) in misses.into_iter().enumerate() {
            let mut outcome = good();
            miss(&mut outcome);
            assert!(!outcome.is_good(), "{place}");
            assert!(outcome.result().ends_with("passed=false"));
        }
    }
}
