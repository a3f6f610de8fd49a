//! What was told about one incident, and what is told next.
//!
//! The record lives in the bucket `bonesetter-notices` under the incident's id and changes by
//! compare-and-set. A notice is written into it before anything is posted and each channel's result
//! afterwards, so that a redelivery repeats exactly what has no result yet, a channel that fails does
//! not repeat the others, and two workers do not post the same notice at the same time (a claim with
//! an end, which a crash leaves behind). What no record can prevent is a crash between a post and its
//! result: the webhook's receiver drops the repetition by its idempotency key, Slack shows it twice.

use std::collections::BTreeMap;
use std::time::Duration;

use bonesetter_proto::v1::{Awaited, Delivery, Overdue};
use serde::{Deserialize, Serialize};

use crate::notice::Resolution;

/// How far a notice is on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Progress {
    /// Not posted, or posted without a known result.
    Open,
    /// Accepted by the other side.
    Delivered {
        /// SHA-256 (hex) of the body.
        body_hash: String,
    },
    /// Given up.
    Failed {
        /// Class of the failure, without any address.
        failure: String,
        /// SHA-256 (hex) of the body.
        body_hash: String,
    },
}

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// `<kind>-<input step>`.
    pub step: String,
    /// Of the diagnosis that was shown; `None` when none was.
    pub cause: Option<String>,
    /// Whether the whole incident is told, or only what happened next.
    pub full: bool,
    /// Set when the incident had ended before its first notice.
    pub resolution: Option<Resolution>,
    /// Unix milliseconds of the decision to tell it; an attempt is given up by its age.
    pub planned_at: u64,
    /// Unix milliseconds until which one worker posts it.
    pub claimed_until: u64,
    /// By name of the channel.
    pub channels: BTreeMap<String, Progress>,
}

/// Everything told about one incident, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The oldest first.
    pub told: Vec<Told>,
    /// Set once the incident has ended, also when nothing was told of it.
    pub resolution: Option<Resolution>,
}

/// What is known of a notice before it is decided whether to tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// `<kind>-<input step>`.
    pub step: String,
    /// Of the diagnosis; `None` when it has none.
    pub cause: Option<String>,
    /// Whether it proposes only; such a notice is told when it says something new.
    pub is_proposal: bool,
    /// Whether it is the end of the incident.
    pub ends_with: Option<Resolution>,
    /// Whether it says that something has not come.
    pub waits_for: Option<Wait>,
    /// The notice, as `<kind>-<input step>`, of what it is the outcome of, while that is worth waiting
    /// for.
    pub follows: Option<String>,
}

/// What a notice says has not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What.
    pub awaited: Awaited,
    /// The step that it should have followed.
    pub after: String,
}

impl Wait {
    /// What an overdue incident waits for.
    pub fn of(overdue: &Overdue) -> Self {
        let cause = overdue.envelope.as_ref().map(|it| it.caused_by.as_str());
        let step = cause.and_then(|subject| subject.rsplit('.').next());
        Self {
            awaited: overdue.awaited(),
            after: step.unwrap_or_default().to_owned(),
        }
    }

    /// Whether people know better by now: messages overtake each other, and what was overdue may have
    /// come, and have been told, before this is.
    fn is_over(&self, record: &Record) -> bool {
        let told_of = |steps: &[&str]| {
            let is_one = |told: &Told| steps.iter().any(|step| told.step.ends_with(step));
            record.told.iter().any(is_one)
        };
        match self.awaited {
            Awaited::Evidence | Awaited::Diagnosis | Awaited::Decision | Awaited::Unspecified => {
                record.resolution.is_some() || record.told.iter().any(|told| told.full)
            }
            Awaited::Change => told_of(&["-applied", "-refused"]),
            Awaited::Verification => told_of(&["-verified", "-rolled-back", "-stuck"]),
            Awaited::Notice => told_of(&[&format!("-{}", self.after)]),
        }
    }
}

/// What to do with a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// The notice at this place of the record, an old or a new one.
    Tell(usize),
    /// People know this cause already.
    AlreadyTold,
    /// What did not come in time has come, and people know.
    Over,
    /// It is the outcome of something of which people do not know yet: messages overtake each other.
    /// Nothing was written into the record.
    TooEarly,
    /// Nobody was told of the incident, so nobody is told of its end. It is remembered, in case that
    /// the pipeline is slower than the recovery: a first notice after it then says so.
    NothingToEnd,
}

impl Record {
    /// Decides, and writes the decision into the record; the same candidate gets the same answer.
    pub fn plan(&mut self, candidate: Candidate, channels: &[&str], now_ms: u64) -> Plan {
        if let Some(index) = self
            .told
            .iter()
            .position(|told| told.step == candidate.step)
        {
            return Plan::Tell(index);
        }
        let is_told = |step: &String| self.told.iter().any(|told| told.step == *step);
        if !candidate.follows.as_ref().is_none_or(is_told) {
            return Plan::TooEarly;
        }
        let channels = channels
            .iter()
            .map(|name| ((*name).to_owned(), Progress::Open))
            .collect();
        let mut told = Told {
            step: candidate.step,
            cause: None,
            full: false,
            resolution: None,
            planned_at: now_ms,
            claimed_until: 0,
            channels,
        };
        if let Some(end) = candidate.ends_with {
            self.resolution = Some(end);
            if self.told.is_empty() {
                return Plan::NothingToEnd;
            }
            return self.add(told);
        }
        if let Some(wait) = candidate.waits_for {
            // The bare fact: there is nothing more to tell of the incident.
            return if wait.is_over(self) {
                Plan::Over
            } else {
                self.add(told)
            };
        }
        let is_known = self
            .told
            .iter()
            .any(|told| told.cause.is_some() && told.cause == candidate.cause);
        if candidate.is_proposal && is_known {
            return Plan::AlreadyTold;
        }
        let is_first = self.told.is_empty();
        told.full = is_first || (candidate.cause.is_some() && !is_known);
        told.resolution = if is_first {
            self.resolution.clone()
        } else {
            None
        };
        told.cause = candidate.cause.filter(|_| told.full);
        self.add(told)
    }

    fn add(&mut self, told: Told) -> Plan {
        self.told.push(told);
        Plan::Tell(self.told.len() - 1)
    }

    /// Takes the notice for one worker and says until when, `now + lease`, or how long another one has it.
    pub fn claim(&mut self, index: usize, now_ms: u64, lease: Duration) -> Result<u64, Duration> {
        let Some(told) = self.told.get_mut(index) else {
            return Ok(0);
        };
        if told.claimed_until > now_ms {
            return Err(Duration::from_millis(told.claimed_until - now_ms));
        }
        let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        told.claimed_until = now_ms.saturating_add(lease);
        Ok(told.claimed_until)
    }

    /// The channels on which the notice may be posted now: open ones on which nothing older is open,
    /// so that every channel shows the notices of an incident in their order. What is past its
    /// patience blocks nothing.
    pub fn postable(&self, index: usize, now_ms: u64, patience: Duration) -> Vec<String> {
        let (older, from) = self.told.split_at(index.min(self.told.len()));
        let Some(told) = from.first() else {
            return Vec::new();
        };
        let is_open = |told: &Told, name: &String| told.channels.get(name) == Some(&Progress::Open);
        let blocks =
            |older: &Told, name: &String| is_open(older, name) && !older.is_past(now_ms, patience);
        told.channels
            .keys()
            .filter(|name| is_open(told, name) && !older.iter().any(|older| blocks(older, name)))
            .cloned()
            .collect()
    }

    /// Writes down the results of one worker and gives the notice back, unless another one has taken it
    /// since: it is given back by what [`claim`](Self::claim) said.
    pub fn settle(&mut self, index: usize, claimed_until: u64, results: &[(String, Progress)]) {
        let Some(told) = self.told.get_mut(index) else {
            return;
        };
        if told.claimed_until == claimed_until {
            told.claimed_until = 0;
        }
        for (channel, progress) in results {
            told.channels.insert(channel.clone(), progress.clone());
        }
    }
}

impl Told {
    /// Whether it has been tried for as long as it is worth.
    pub fn is_past(&self, now_ms: u64, patience: Duration) -> bool {
        u128::from(now_ms.saturating_sub(self.planned_at)) >= patience.as_millis()
    }

    /// Whether every channel has its result.
    pub fn is_settled(&self) -> bool {
        self.channels
            .values()
            .all(|progress| *progress != Progress::Open)
    }

    /// What is published about it.
    pub fn deliveries(&self, idempotency_key: &str) -> Vec<Delivery> {
        let delivery = |(channel, progress): (&String, &Progress)| {
            let (delivered, failure, body_hash) = match progress {
                Progress::Open => (false, "open", ""),
                Progress::Delivered { body_hash } => (true, "", body_hash.as_str()),
                Progress::Failed { failure, body_hash } => {
                    (false, failure.as_str(), body_hash.as_str())
                }
            };
            Delivery {
                channel: channel.clone(),
                channel_type: channel.clone(),
                delivered,
                failure: failure.to_owned(),
                body_hash: body_hash.to_owned(),
                idempotency_key: idempotency_key.to_owned(),
            }
        };
        self.channels.iter().map(delivery).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNELS: [&str; 2] = ["slack", "webhook"];
    const NOW: u64 = 1000;
    const PATIENCE: Duration = Duration::from_secs(1);

    fn candidate(step: &str, cause: Option<&str>) -> Candidate {
        Candidate {
            step: step.to_owned(),
            cause: cause.map(str::to_owned),
            is_proposal: step.starts_with("incident"),
            ends_with: step.starts_with("resolved").then(recovered),
            waits_for: step.strip_prefix("overdue-").map(wait),
            follows: None,
        }
    }

    fn wait(step: &str) -> Wait {
        let (awaited, after) = step.split_once('-').unwrap();
        let awaited = match awaited {
            "diagnosis" => Awaited::Diagnosis,
            "change" => Awaited::Change,
            "verification" => Awaited::Verification,
            "notice" => Awaited::Notice,
            other => panic!("{other}"),
        };
        Wait {
            awaited,
            after: after.to_owned(),
        }
    }

    fn recovered() -> Resolution {
        Resolution {
            reason: "RECOVERED".to_owned(),
            at: 1,
        }
    }

    fn delivered() -> Progress {
        Progress::Delivered {
            body_hash: "h".to_owned(),
        }
    }

    /// Plans one after the other; each answer as `full`, `short`, or why not.
    fn plans(candidates: &[(&str, Option<&str>)]) -> Vec<String> {
        let mut record = Record::default();
        let mut plans = Vec::new();
        for (step, cause) in candidates {
            plans.push(match record.plan(candidate(step, *cause), &CHANNELS, NOW) {
                Plan::Tell(index) if record.told[index].full => format!("{index} full"),
                Plan::Tell(index) => format!("{index} short"),
                other => format!("{other:?}"),
            });
        }
        plans
    }

    #[test]
    fn one_message_per_incident_and_what_follows_from_it() {
        type Case = (
            &'static [(&'static str, Option<&'static str>)],
            &'static [&'static str],
        );
        let cases: &[Case] = &[
            (
                &[
                    ("incident-proposed", Some("oom")),
                    ("resolved-resolved", None),
                ],
                &["0 full", "1 short"],
            ),
            (
                &[
                    ("applied-applied", Some("oom")),
                    ("verified-verified", Some("oom")),
                    ("resolved-resolved", None),
                ],
                &["0 full", "1 short", "2 short"],
            ),
            (
                &[
                    ("incident-proposed", Some("crash")),
                    ("incident-proposed-reclassified-1", Some("crash")),
                    ("incident-proposed-reclassified-2", Some("oom")),
                    ("incident-proposed-reclassified-3", Some("crash")),
                ],
                &["0 full", "AlreadyTold", "1 full", "AlreadyTold"],
            ),
            (
                &[
                    ("incident-proposed", Some("crash")),
                    ("applied-applied", Some("oom")),
                ],
                &["0 full", "1 full"],
            ),
            (&[("resolved-resolved", None)], &["NothingToEnd"]),
            // Overdue, then explained after all, and over.
            (
                &[
                    ("overdue-diagnosis-open", None),
                    ("incident-proposed", Some("oom")),
                    ("resolved-resolved", None),
                ],
                &["0 short", "1 full", "2 short"],
            ),
            // What has come and was told is not overdue any more.
            (
                &[
                    ("incident-proposed", Some("oom")),
                    ("overdue-diagnosis-open", None),
                    ("overdue-notice-proposed", None),
                    ("overdue-change-intended", None),
                    ("applied-applied", Some("oom")),
                    ("overdue-change-intended-2", None),
                    ("overdue-verification-applied", None),
                    ("rolled-back-rolled-back", Some("oom")),
                    ("overdue-verification-applied-2", None),
                ],
                &[
                    "0 full", "Over", "Over", "1 short", "2 short", "Over", "3 short", "4 short",
                    "Over",
                ],
            ),
            // Nobody is told that a diagnosis is overdue of what has ended.
            (
                &[
                    ("resolved-resolved", None),
                    ("overdue-diagnosis-open", None),
                ],
                &["NothingToEnd", "Over"],
            ),
        ];
        for (candidates, expected) in cases {
            assert_eq!(plans(candidates), *expected, "{candidates:?}");
        }
    }

    #[test]
    fn an_outcome_that_overtakes_its_change_waits_for_it() {
        let mut record = Record::default();
        let mut plan = |step: &str, follows: Option<&str>| {
            let candidate = Candidate {
                follows: follows.map(str::to_owned),
                ..candidate(step, Some("oom"))
            };
            record.plan(candidate, &CHANNELS, NOW)
        };
        let applied = Some("applied-applied");
        assert_eq!(plan("verified-verified", applied), Plan::TooEarly);
        assert_eq!(plan("applied-applied", None), Plan::Tell(0));
        assert_eq!(plan("verified-verified", applied), Plan::Tell(1));
        // Of what is told without it, nobody asks again.
        assert_eq!(plan("attention-stuck", None), Plan::Tell(2));
        assert_eq!(
            plan("attention-stuck", Some("applied-other")),
            Plan::Tell(2)
        );
    }

    #[test]
    fn a_first_notice_after_the_end_says_so() {
        let mut record = Record::default();
        record.plan(candidate("resolved-resolved", None), &CHANNELS, NOW);
        record.plan(candidate("incident-proposed", Some("oom")), &CHANNELS, NOW);
        assert_eq!(record.told[0].resolution, Some(recovered()));
    }

    #[test]
    fn a_redelivery_gets_the_answer_of_the_first_delivery() {
        let mut record = Record::default();
        record.plan(candidate("incident-proposed", Some("oom")), &CHANNELS, NOW);
        let before = record.clone();
        assert_eq!(
            record.plan(candidate("incident-proposed", Some("oom")), &CHANNELS, NOW),
            Plan::Tell(0)
        );
        assert_eq!(record, before);
    }

    #[test]
    fn a_failing_channel_repeats_neither_the_other_nor_overtakes_itself() {
        let mut record = Record::default();
        record.plan(candidate("incident-proposed", Some("oom")), &CHANNELS, NOW);
        assert_eq!(record.postable(0, NOW, PATIENCE), CHANNELS);
        record.settle(0, 0, &[("webhook".to_owned(), delivered())]);
        assert_eq!(record.postable(0, NOW, PATIENCE), ["slack"]);
        assert!(!record.told[0].is_settled());
        record.plan(candidate("applied-applied", Some("oom")), &CHANNELS, NOW);
        assert_eq!(record.postable(1, NOW, PATIENCE), ["webhook"]);
        assert_eq!(
            record.postable(1, NOW + 1000, PATIENCE),
            CHANNELS,
            "past its patience"
        );
        record.settle(0, 0, &[("slack".to_owned(), delivered())]);
        assert!(record.told[0].is_settled());
        assert_eq!(record.postable(1, NOW, PATIENCE), CHANNELS);
    }

    #[test]
    fn one_worker_posts_at_a_time_and_a_dead_one_does_not_block_for_ever() {
        let lease = Duration::from_millis(30);
        let mut record = Record::default();
        record.plan(candidate("incident-proposed", Some("oom")), &CHANNELS, NOW);
        assert_eq!(record.claim(0, 100, lease), Ok(130));
        assert_eq!(record.claim(0, 110, lease), Err(Duration::from_millis(20)));
        assert_eq!(record.claim(0, 130, lease), Ok(160));
        // The first is late, and not dead: its result counts, and what the second has stays its own.
        record.settle(0, 130, &[("webhook".to_owned(), delivered())]);
        assert_eq!(record.postable(0, NOW, PATIENCE), ["slack"]);
        assert_eq!(record.claim(0, 131, lease), Err(Duration::from_millis(29)));
        record.settle(0, 160, &[]);
        assert_eq!(record.claim(0, 132, lease), Ok(162));
    }

    #[test]
    fn records_read_back_as_they_were_written() {
        let mut record = Record::default();
        record.plan(candidate("incident-proposed", Some("oom")), &CHANNELS, NOW);
        record.settle(0, 0, &[("slack".to_owned(), delivered())]);
        let bytes = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<Record>(&bytes).unwrap(), record);
    }
}
