//! Joins what Kubernetes says, what is remembered, and the time, and publishes what follows.
//!
//! Changes only mark root owners; twice a second all that are marked, and all about which something
//! is under way, are judged from the index. So a burst of changes costs one judgement, windows end
//! without anything changing, and what was missed while the service was down is found by the first
//! lists. Nothing is judged before these are complete.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::health::Waiting;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::coverage::{Coverage, Refusal, Scope};
use crate::detect::Thresholds;
use crate::episode::{Presence, Windows};
use crate::facts::{Facts, Kind, Object};
use crate::index::{Index, Touched};
use crate::kubernetes::{Change, Signal, watch};
use crate::ledger::{Ledger, LedgerError, Tracked};
use crate::loading::Loading;
use crate::metrics::{KindLabel, StepLabel, WatcherMetrics};
use crate::observe::{Verdict, observe};
use crate::record::Record;
use crate::view::{self, View};
use crate::work::Work;

/// How often what is marked or under way is judged.
const TICK: Duration = Duration::from_millis(500);
/// How many episodes are carried on at a time.
const CONCURRENCY: usize = 16;
/// The longest pause, in ticks, after rounds in which the bus could not be used.
const MAX_PAUSE: u32 = 32;
/// Kills of pods that are not known are forgotten after this time; their pods come at once or never.
const KILL_MEMORY: SignedDuration = SignedDuration::from_mins(10);

/// What the source works with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) view: View,
    pub(crate) windows: Windows,
    pub(crate) thresholds: Thresholds,
    pub(crate) ledger: Ledger,
    pub(crate) work: Work,
    pub(crate) tasks: TaskTracker,
    pub(crate) clock: Clock,
    pub(crate) metrics: WatcherMetrics,
    /// Becomes ready with the first lists.
    pub(crate) waiting: Waiting,
}

/// The state of the watcher.
#[derive(Debug)]
pub(crate) struct Source {
    parts: Parts,
    index: Index,
    coverage: Coverage,
    loading: Loading,
    /// Root owners with a record, unless they are gone, or about which something is under way, by uid.
    tracked: HashMap<String, Tracked>,
    owners: HashMap<String, Object>,
    marked: BTreeMap<String, Object>,
    /// The first lists are complete.
    is_ready: bool,
    /// What is watched.
    scopes: Vec<Scope>,
    /// Ticks to let pass, and how many the next failure adds.
    pause: u32,
    next_pause: u32,
}

/// One root owner in one round.
struct Case {
    verdict: Verdict,
    tracked: Tracked,
}

impl Source {
    pub(crate) fn new(parts: Parts) -> Self {
        let (ledger, work) = (parts.ledger.clone(), parts.work.clone());
        Self {
            loading: Loading::new(ledger, work, parts.tasks.clone()),
            coverage: Coverage::default(),
            parts,
            index: Index::default(),
            tracked: HashMap::new(),
            owners: HashMap::new(),
            marked: BTreeMap::new(),
            is_ready: false,
            scopes: Vec::new(),
            pause: 0,
            next_pause: 1,
        }
    }

    /// Works until shut down.
    pub(crate) async fn run(mut self, client: &Client, shutdown: CancellationToken) {
        let mut signals = self.start(client);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                change = self.parts.view.changed() => {
                    match change {
                        view::Change::Ended => return,
                        view::Change::Lost if self.scopes == self.parts.view.scopes() => {}
                        _ => signals = self.start(client),
                    }
                    self.forget_unwatched();
                }
                Some(signal) = signals.next() => self.take(signal),
                loaded = self.loading.ended() => match loaded {
                    Ok(records) => self.remember(records),
                    Err(error) => self.fail(&error),
                },
                _ = ticks.tick() => self.tick().await,
            }
        }
    }

    /// Judges, once what was remembered has been read.
    async fn tick(&mut self) {
        if self.pause > 0 {
            self.pause -= 1;
            return;
        }
        self.loading.begin_if_due();
        if self.loading.has_read() {
            self.round().await;
        }
    }

    /// Begins with complete lists of all that is to be watched. What is known already stays known.
    fn start(&mut self, client: &Client) -> BoxStream<'static, Signal> {
        self.scopes = self.parts.view.scopes();
        self.coverage = Coverage::of(&self.scopes);
        self.is_ready = false;
        self.loading.start_over();
        self.parts.waiting.not_ready();
        self.note_ready();
        watch(client, &self.scopes).boxed()
    }

    /// Drops what is somebody else's from now on.
    fn forget_unwatched(&mut self) {
        let view = &self.parts.view;
        let is_ours = |owner: &Object| view.is_watched(&owner.namespace);
        self.index
            .retain(|object| !is_ours(object), &HashSet::new());
        self.owners.retain(|_, owner| is_ours(owner));
        self.marked.retain(|_, owner| is_ours(owner));
        self.tracked.retain(|uid, _| self.owners.contains_key(uid));
        self.count();
    }

    /// Takes in what has been read. What is known of it is kept: since when things have been true is not
    /// in a record.
    fn remember(&mut self, records: Vec<(Record, u64)>) {
        let (read, mut unwatched) = (records.len(), 0_usize);
        for (record, revision) in records {
            // What happens elsewhere is not known: its owner is not gone, only out of sight.
            if !self.parts.view.is_watched(&record.owner.namespace) {
                unwatched += 1;
                continue;
            }
            let uid = record.owner.uid.clone();
            self.owners.insert(uid.clone(), record.owner.clone());
            let tracked = self.tracked.entry(uid).or_default();
            tracked.remember(record, revision);
        }
        info!(read, unwatched, "read the episodes");
        self.next_pause = 1;
    }

    /// Takes in what Kubernetes says.
    fn take(&mut self, signal: Signal) {
        let Signal {
            kind,
            scope,
            change,
        } = signal;
        let touched = match change {
            Change::Applied(facts) => self.apply(kind, *facts),
            Change::Killed(kill) => self.index.kill(kill),
            Change::Deleted(uid) => self.index.remove(&uid),
            Change::Listed(seen) => {
                self.coverage.complete(kind, &scope);
                self.retain(kind, &scope, &seen)
            }
            Change::Refused => self.refuse(kind, &scope),
        };
        self.marked
            .extend(touched.into_iter().map(|owner| (owner.uid.clone(), owner)));
        self.note_ready();
    }

    fn refuse(&mut self, kind: Kind, scope: &Scope) -> Touched {
        match self.coverage.refused_at(Instant::now(), kind, scope) {
            Refusal::Doubted => {
                // What is known stays known, and nothing is judged.
                self.is_ready = false;
                self.parts.waiting.not_ready();
                Touched::new()
            }
            refusal => {
                if refusal == Refusal::Believed {
                    let namespace = scope.as_deref().unwrap_or("*");
                    warn!(
                        kind = kind.as_str(),
                        namespace,
                        "not watched: the API server refuses; \
                        grant list and watch, the rest works without"
                    );
                }
                self.retain(kind, scope, &HashSet::new())
            }
        }
    }

    fn note_ready(&mut self) {
        if !self.is_ready && self.coverage.is_ready() {
            self.is_ready = true;
            self.parts.waiting.ready();
            let not_watched = self.coverage.refused().join(", ");
            info!(
                objects = self.index.len(),
                not_watched, "the first lists are complete"
            );
        }
    }

    fn apply(&mut self, kind: Kind, facts: Facts) -> Touched {
        if !(self.parts.view).is_watched(&facts.head().object.namespace) {
            return Touched::new();
        }
        if matches!(facts, Facts::Unreadable(_)) {
            let label = KindLabel {
                kind: kind.as_str(),
            };
            self.parts.metrics.undecodable.get_or_create(&label).inc();
        }
        self.index.apply(facts)
    }

    fn retain(&mut self, kind: Kind, scope: &Scope, seen: &HashSet<String>) -> Touched {
        let is_listed = |object: &Object| {
            let is_in_scope = scope
                .as_ref()
                .is_none_or(|namespace| *namespace == object.namespace);
            is_in_scope && Kind::of(object) == Some(kind)
        };
        self.index.retain(is_listed, seen)
    }

    /// Judges what is marked or under way, and does what follows.
    async fn round(&mut self) {
        let work = self.parts.work.clone();
        let _working = work.begin().await;
        if !self.is_ready {
            work.note_progress();
            return;
        }
        let Ok(now) = Timestamp::try_from(self.parts.clock.now()) else {
            error!("the machine's clock shows a time that is out of range; nothing is judged");
            return;
        };
        self.index.forget_kills(now - KILL_MEMORY);
        let cases = self.cases(now);
        let Parts {
            ledger,
            windows,
            view,
            ..
        } = &self.parts;
        let is_away = AtomicBool::new(false);
        let carried = futures::stream::iter(cases).map(|mut case| async {
            let mut result = Ok(Vec::new());
            if !case.tracked.is_broken && !is_away.load(Ordering::Relaxed) {
                let Case { tracked, verdict } = &mut case;
                let may_go_on = || view.may_act(&verdict.owner.namespace);
                result = ledger
                    .carry_on(tracked, verdict, now, windows, may_go_on)
                    .await;
                let is_failed = result.as_ref().is_err_and(|error| !error.is_permanent());
                is_away.fetch_or(is_failed, Ordering::Relaxed);
                if !is_failed {
                    work.note_progress();
                }
            }
            (case, result)
        });
        let carried: Vec<_> = carried.buffer_unordered(CONCURRENCY).collect().await;
        let mut failure = None;
        for (case, result) in carried {
            failure = self.put_back(case, result).or(failure);
        }
        if let Some(error) = failure {
            self.fail(&error);
        } else {
            self.next_pause = 1;
            work.note_progress();
        }
        self.count();
    }

    fn cases(&mut self, now: Timestamp) -> Vec<Case> {
        let mut owners = std::mem::take(&mut self.marked);
        for (uid, tracked) in &self.tracked {
            if tracked.is_active
                && let Some(owner) = self.owners.get(uid)
            {
                owners.entry(uid.clone()).or_insert_with(|| owner.clone());
            }
        }
        let thresholds = &self.parts.thresholds;
        let case = |(uid, owner): (String, Object)| Case {
            verdict: observe(&self.index, &self.coverage, &owner, now, thresholds),
            tracked: self.tracked.remove(&uid).unwrap_or_default(),
        };
        owners.into_iter().map(case).collect()
    }

    /// Keeps what is still under way. Returns an error that concerns more than this root owner.
    fn put_back(
        &mut self,
        case: Case,
        result: Result<Vec<String>, LedgerError>,
    ) -> Option<LedgerError> {
        let Case {
            verdict,
            mut tracked,
        } = case;
        let mut failure = None;
        match result {
            Ok(steps) => {
                for step in steps {
                    let label = StepLabel::of(&step);
                    self.parts.metrics.steps.get_or_create(&label).inc();
                }
            }
            Err(error) if error.is_permanent() => {
                let owner = &verdict.owner;
                error!(namespace = owner.namespace, kind = owner.kind, name = owner.name,
                    %error, "an owner is left alone until the service is started again");
                tracked.is_broken = true;
            }
            Err(error) => failure = Some(error),
        }
        let record = tracked.record();
        let is_unfinished = record.is_some_and(|it| it.open().is_some() || it.pending.is_some());
        let is_absent = matches!(verdict.presence, Presence::Absent { .. });
        let is_ill = !verdict.assessment.is_healthy && !is_absent;
        // Of what is gone and over, the record is in the bucket, and read again from time to time.
        let is_remembered = record.is_some() && !is_absent || tracked.is_broken;
        tracked.is_active = is_unfinished || is_ill || failure.is_some();
        let uid = verdict.owner.uid.clone();
        if tracked.is_active || is_remembered {
            self.owners.insert(uid.clone(), verdict.owner);
            self.tracked.insert(uid, tracked);
        } else {
            self.owners.remove(&uid);
        }
        failure
    }

    fn fail(&mut self, error: &LedgerError) {
        warn!(%error, retry_in = ?(TICK * self.next_pause), "the bus cannot be used; tried again");
        self.parts.metrics.failed_rounds.inc();
        // Only what has been read proves that it can be used again.
        self.loading.start_over();
        self.pause = self.next_pause;
        self.next_pause = (self.next_pause * 2).min(MAX_PAUSE);
    }

    fn count(&self) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let metrics = &self.parts.metrics;
        metrics.objects.set(number(self.index.len()));
        metrics.refused.set(number(self.coverage.refused().len()));
        let open = self
            .tracked
            .values()
            .filter(|it| it.record().and_then(|it| it.open()).is_some());
        metrics.open.set(number(open.count()));
    }
}
