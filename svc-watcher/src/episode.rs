//! The life of an incident: when it opens, what is told about it, when it ends.
//!
//! [`next`] says what to do, and nothing else: the caller stores and publishes. Each step is first
//! stored (by compare-and-set) and then published, so that a crash in between leaves a record that
//! says what is still to be published; whoever finds such a record publishes first. A step therefore
//! never overtakes the one before it, and because its subject is unique it is stored once in the
//! stream, however often it is published. The rejected alternative, publishing first, leaves an
//! incident without a record when the failure ends during the crash: nobody would resolve it.

use std::collections::{BTreeMap, BTreeSet};

use bonesetter_keys::incident_id;
use bonesetter_proto::to_timestamp;
use bonesetter_proto::v1::{Detected, FailureClass, Incident, Phase};
use jiff::{SignedDuration, Timestamp};

use crate::detect::{Finding, is_more_specific, is_specific};
use crate::facts::Object;
use crate::record::{Class, End, Episode, Pending, Reason, Record};

/// An owner that should be watched and is not known may be late rather than gone.
const ORPHAN_GRACE: SignedDuration = SignedDuration::from_secs(30);
/// Between the first two updates of an incident; doubled by each update up to an hour.
const UPDATE_INTERVAL: SignedDuration = SignedDuration::from_secs(60);
const MAX_UPDATE_INTERVAL: SignedDuration = SignedDuration::from_hours(1);
/// Longer than the stream keeps an incident, so that no subject is ever used twice.
const MEMORY_OF_THE_GONE: SignedDuration = SignedDuration::from_hours(31 * 24);
/// More would not tell more.
const MAX_SYMPTOMS: usize = 20;

/// How long things must last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// A failure, before an incident opens.
    pub settle: SignedDuration,
    /// Health, before an incident is resolved.
    pub stability: SignedDuration,
    /// After an incident, before another one of the same class and owner opens; zero for none.
    pub cooldown: SignedDuration,
}

/// Whether the root owner exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It does.
    Present,
    /// It has been deleted and waits for its finalizers.
    Leaving,
    /// It is known only from the references of what it controls.
    Referenced {
        /// It is of a kind that is watched here, so it should be known.
        is_watched: bool,
    },
    /// There is no trace of it.
    Absent {
        /// It is of a kind that is watched here, so it does not exist.
        is_watched: bool,
    },
}

/// What is true of a root owner now.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// The root owner.
    pub owner: &'a Object,
    /// Whether it exists.
    pub presence: Presence,
    /// What fails, the most specific first.
    pub findings: &'a [Finding],
    /// All is well.
    pub is_healthy: bool,
}

/// Since when things have been true without interruption. Not stored: after a restart the windows
/// begin anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    failing: Option<Timestamp>,
    healthy: Option<Timestamp>,
    absent: Option<Timestamp>,
    /// The open episode's class is not among the findings.
    changed: Option<Timestamp>,
}

impl Memory {
    /// Nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.failing.is_none()
    }

    fn observe(&mut self, record: Option<&Record>, observed: &Observation<'_>, now: Timestamp) {
        let keep = |since: &mut Option<Timestamp>, is_true: bool| {
            *since = is_true.then(|| since.unwrap_or(now));
        };
        let class = record.and_then(Record::open).map(|episode| episode.class.0);
        keep(&mut self.failing, !observed.findings.is_empty());
        keep(&mut self.healthy, observed.is_healthy);
        keep(
            &mut self.absent,
            matches!(observed.presence, Presence::Absent { .. }),
        );
        let is_changed = !observed.findings.is_empty()
            && observed
                .findings
                .iter()
                .all(|finding| Some(finding.class) != class);
        keep(&mut self.changed, is_changed);
    }
}

/// What the caller has to do next; it then asks again, until [`Effect::Rest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing, until something changes or time passes.
    Rest,
    /// Publish the pending step, then store the record as [`Record::published`].
    Publish(Pending),
    /// Store this record in place of the one that was read.
    Store(Box<Record>),
    /// Delete the record.
    Forget,
}

/// What to do about one root owner.
pub fn next(
    cluster: &str,
    record: Option<&Record>,
    memory: &mut Memory,
    observed: &Observation<'_>,
    now: Timestamp,
    windows: &Windows,
) -> Effect {
    memory.observe(record, observed, now);
    let lasts = |since: Option<Timestamp>, window: SignedDuration| {
        since.is_some_and(|since| now.duration_since(since) >= window)
    };
    let Some(record) = record else {
        return open(cluster, None, memory, observed, now, windows);
    };
    if let Some(pending) = &record.pending {
        return Effect::Publish(pending.clone());
    }
    let Some(episode) = record.open() else {
        // What is known by references only may come back under the same uid, and its next incident must
        // not have the id of the last: what was told and changed is remembered under it, for good.
        let is_absent = observed.presence == (Presence::Absent { is_watched: true });
        let ended = record.episode.end.as_ref().map(|end| end.at);
        if is_absent && lasts(ended, MEMORY_OF_THE_GONE) {
            return Effect::Forget;
        }
        return open(cluster, Some(record), memory, observed, now, windows);
    };
    let is_gone = match observed.presence {
        Presence::Absent { is_watched: true } => true,
        Presence::Absent { is_watched: false } => lasts(memory.absent, windows.stability),
        _ => false,
    };
    if is_gone {
        return store(resolve(cluster, record, Reason::Gone, now, windows));
    }
    if !matches!(
        observed.presence,
        Presence::Present | Presence::Referenced { .. }
    ) {
        return Effect::Rest;
    }
    if lasts(memory.healthy, windows.stability) {
        return store(resolve(cluster, record, Reason::Recovered, now, windows));
    }
    let Some(class) = observed.findings.first().map(|finding| finding.class) else {
        return Effect::Rest;
    };
    let is_other = is_specific(class) && lasts(memory.changed, windows.stability);
    let is_better = is_more_specific(class, episode.class.0) || is_other;
    if is_better && !episode.classes.contains(&Class(class)) {
        return store(reclassify(cluster, record, class, observed, now));
    }
    let has_changed = failing_objects(observed.findings) != episode.failing_objects;
    if has_changed && now.duration_since(episode.told) >= update_interval(episode.updates) {
        return store(update(cluster, record, observed, now));
    }
    Effect::Rest
}

fn store(record: Record) -> Effect {
    Effect::Store(Box::new(record))
}

fn open(
    cluster: &str,
    record: Option<&Record>,
    memory: &Memory,
    observed: &Observation<'_>,
    now: Timestamp,
    windows: &Windows,
) -> Effect {
    let settle = match observed.presence {
        Presence::Present | Presence::Referenced { is_watched: false } => windows.settle,
        Presence::Referenced { is_watched: true } => windows.settle.max(ORPHAN_GRACE),
        Presence::Leaving | Presence::Absent { .. } => return Effect::Rest,
    };
    let is_settled = memory
        .failing
        .is_some_and(|since| now.duration_since(since) >= settle);
    let Some(class) = observed.findings.first().map(|finding| finding.class) else {
        return Effect::Rest;
    };
    let is_kept_back = record.is_some_and(|record| {
        let end = record.episode.end.as_ref();
        let was_gone = end.is_some_and(|end| end.reason == Reason::Gone);
        let is_only_referenced = observed.presence == Presence::Referenced { is_watched: true };
        (was_gone && is_only_referenced) || is_cooling(record, class, now, windows)
    });
    if !is_settled || is_kept_back {
        return Effect::Rest;
    }
    let number = record.map_or(1, |record| record.episode.number.saturating_add(1));
    let episode = Episode {
        number,
        opened: now,
        class: Class(class),
        classes: BTreeSet::from([Class(class)]),
        failing_objects: failing_objects(observed.findings),
        updates: 0,
        reclassifications: 0,
        told: now,
        end: None,
    };
    let resolved = record.map_or_else(BTreeMap::new, |record| record.resolved.clone());
    let record = Record {
        owner: observed.owner.clone(),
        episode,
        resolved,
        pending: None,
    };
    store(tell(
        cluster,
        record,
        "open".to_owned(),
        Phase::Open,
        observed.findings,
    ))
}

/// The same class has been resolved a short while ago. A rollout that exceeds its deadline is a
/// consequence of anything, hence cooling with everything.
fn is_cooling(record: &Record, class: FailureClass, now: Timestamp, windows: &Windows) -> bool {
    record.resolved.iter().any(|(resolved, at)| {
        let is_same = resolved.0 == class || class == FailureClass::ProgressDeadlineExceeded;
        is_same && now.duration_since(*at) < windows.cooldown
    })
}

fn reclassify(
    cluster: &str,
    record: &Record,
    class: FailureClass,
    observed: &Observation<'_>,
    now: Timestamp,
) -> Record {
    let mut record = record.clone();
    let episode = &mut record.episode;
    episode.class = Class(class);
    episode.classes.insert(Class(class));
    episode.reclassifications = episode.reclassifications.saturating_add(1);
    episode.failing_objects = failing_objects(observed.findings);
    episode.told = now;
    let step = format!("reclassified-{}", episode.reclassifications);
    tell(
        cluster,
        record,
        step,
        Phase::Reclassified,
        observed.findings,
    )
}

fn update(cluster: &str, record: &Record, observed: &Observation<'_>, now: Timestamp) -> Record {
    let mut record = record.clone();
    let episode = &mut record.episode;
    episode.updates = episode.updates.saturating_add(1);
    episode.failing_objects = failing_objects(observed.findings);
    episode.told = now;
    let step = format!("update-{}", episode.updates);
    tell(cluster, record, step, Phase::Update, observed.findings)
}

fn resolve(
    cluster: &str,
    record: &Record,
    reason: Reason,
    now: Timestamp,
    windows: &Windows,
) -> Record {
    let mut record = record.clone();
    record
        .resolved
        .retain(|_, at| now.duration_since(*at) < windows.cooldown);
    for class in &record.episode.classes {
        record.resolved.insert(*class, now);
    }
    record.episode.end = Some(End { at: now, reason });
    record.episode.failing_objects = 0;
    record.episode.told = now;
    tell(cluster, record, "resolved".to_owned(), Phase::Resolved, &[])
}

/// Puts the step into the record, as what is to be published next.
fn tell(
    cluster: &str,
    mut record: Record,
    step: String,
    phase: Phase,
    findings: &[Finding],
) -> Record {
    let episode = &record.episode;
    let end = episode.end.as_ref();
    let mut message = describe(cluster, &record.owner, episode, findings);
    message.phase = phase.into();
    message.resolved_reason = end.map_or(0, |end| end.reason.to_proto().into());
    message.resolved_at = end.map(|end| to_timestamp(end.at.into()));
    record.pending = Some(Pending::new(step, &message));
    record
}

/// The message about an episode as it stands, without envelope, phase and end.
pub fn describe(
    cluster: &str,
    owner: &Object,
    episode: &Episode,
    findings: &[Finding],
) -> Detected {
    let incident = Incident {
        id: incident_id(cluster, &owner.uid, episode.number),
        cluster: cluster.to_owned(),
        root_owner: Some(owner.to_ref()),
        episode: episode.number,
        opened_at: Some(to_timestamp(episode.opened.into())),
    };
    Detected {
        incident: Some(incident),
        failure_class: episode.class.0.into(),
        symptoms: findings
            .iter()
            .take(MAX_SYMPTOMS)
            .map(Finding::to_symptom)
            .collect(),
        failing_objects: episode.failing_objects,
        ..Detected::default()
    }
}

/// How many different objects fail.
pub fn failing_objects(findings: &[Finding]) -> u32 {
    let uids: BTreeSet<&str> = findings.iter().map(|it| it.object.uid.as_str()).collect();
    u32::try_from(uids.len()).unwrap_or(u32::MAX)
}

fn update_interval(updates: u32) -> SignedDuration {
    (0..updates.min(6))
        .fold(UPDATE_INTERVAL, |interval, _| interval * 2)
        .min(MAX_UPDATE_INTERVAL)
}

#[cfg(test)]
mod tests;
