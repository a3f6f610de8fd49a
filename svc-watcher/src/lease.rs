//! The Leases by which replicas share the shards: `coordination.k8s.io/v1`, one a shard, in the
//! namespace of the service.
//!
//! Time is measured as client-go does it: by the observer's own monotonic clock, from the moment at
//! which a renewal was first seen; `renewTime` is only compared for equality, so clocks of nodes need
//! not agree. A holder stops acting [`GIVE_UP`] after it asked for the last renewal that was granted,
//! others take a shard [`LEASE`] after they saw that renewal, so nobody takes what somebody acts on.
//! That still is no fence: a process may be stopped between looking at the clock and writing. The
//! fence is the compare-and-set of the episodes' bucket, and a Lease only divides the work.
//!
//! A Lease says that its holder lives, not that it works. Whoever gets nowhere with the bus for
//! [`STUCK`] therefore renews nothing, and somebody else takes over.

mod api;
mod board;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::health::{Readiness, Waiting};
use futures::future::join_all;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Client;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::kubernetes::chain;
use crate::metrics::WatcherMetrics;
use crate::shards::{Held, Holding, Move, Seen, plan};
use crate::work::Work;

use self::api::{Api, LeaseError};
use self::board::Board;

/// How long a Lease is another's after its last renewal was seen.
const LEASE: Duration = Duration::from_secs(8);
/// How long a shard is held after its last renewal was asked for; clearly less than [`LEASE`].
const GIVE_UP: Duration = Duration::from_secs(6);
/// How often Leases are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How old a renewal is when the next is asked for: every second look does.
const RENEW: Duration = Duration::from_millis(1500);
/// How long the API server has for one answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How long the bus may be of no use before nothing is renewed any more.
const STUCK: Duration = Duration::from_secs(10);
/// What is promised of shards whose holder was killed.
const TAKE_OVER: Duration = Duration::from_secs(15);

// The last renewal is seen one look late, it runs out, the next look sees that, and takes the shard.
const _: () = assert!(
    LOOK.as_secs() + LEASE.as_secs() + LOOK.as_secs() + ANSWER.as_secs() < TAKE_OVER.as_secs()
);
// Two renewals may be missed.
const _: () =
    assert!(GIVE_UP.as_secs() < LEASE.as_secs() && 3 * RENEW.as_millis() <= GIVE_UP.as_millis());

/// What shards are held with.
pub(crate) struct Parts {
    pub(crate) client: Client,
    pub(crate) shards: u32,
    pub(crate) clock: Clock,
    pub(crate) metrics: WatcherMetrics,
    pub(crate) readiness: Readiness,
    pub(crate) work: Work,
}

/// Holds a fair share of the shards.
pub(crate) struct Leases {
    api: Api,
    me: String,
    shards: u32,
    metrics: WatcherMetrics,
    work: Work,
    /// Until the Leases have been read once.
    waiting: Waiting,
    /// The last renewal seen of each shard, and when it was first seen.
    renewals: BTreeMap<u32, (LeaseSpec, Instant)>,
    /// When Leases were last seen at all.
    looked: Instant,
    board: Arc<Board>,
    /// As last logged, so that it is said once.
    trouble: Option<String>,
}

impl Leases {
    /// Nothing is held yet.
    pub(crate) fn new(parts: Parts) -> (Self, watch::Receiver<Holding>) {
        let waiting = parts.readiness.awaiting("leases");
        let board = Board::new(parts.shards, parts.metrics.clone(), parts.readiness);
        let receiver = board.subscribe();
        let me = identity();
        let this = Self {
            api: Api::new(parts.client, parts.shards, me.clone(), parts.clock),
            me,
            shards: parts.shards,
            metrics: parts.metrics,
            work: parts.work,
            waiting,
            renewals: BTreeMap::new(),
            looked: Instant::now(),
            board: Arc::new(board),
            trouble: None,
        };
        (this, receiver)
    }

    /// Takes, renews and hands over until `ended`, which comes after the last use of what is held;
    /// then gives everything back.
    pub(crate) async fn keep(mut self, ended: CancellationToken) {
        let (identity, namespace) = (&self.me, self.api.namespace());
        info!(
            identity,
            namespace,
            shards = self.shards,
            "sharing the work by Leases"
        );
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let board = self.board.clone();
        loop {
            tokio::select! {
                () = ended.cancelled() => break,
                _ = ticks.tick() => {}
                never = board.expire() => match never {},
            }
            let result: Result<(), LeaseError> = tokio::select! {
                result = self.round() => result,
                never = board.expire() => match never {},
            };
            self.say(result.err());
        }
        self.board.publish(BTreeMap::new());
        if let Err(error) = self.api.give_back().await {
            let error = chain(&error);
            info!(
                error,
                "shards were not given back; they are taken when they run out"
            );
        }
    }

    /// Looks at all Leases, and does what follows about each.
    async fn round(&mut self) -> Result<(), LeaseError> {
        let Some(progress) = self.work.last_progress() else {
            return Ok(());
        };
        if progress.elapsed() > STUCK {
            return Err(LeaseError::Stuck(STUCK));
        }
        let leases = self.api.list().await?;
        self.waiting.ready();
        self.observe(&leases);
        let moves = plan(&self.me, &self.seen(&leases));
        let mut held = self.board.unexpired();
        held.retain(|shard, _| moves.contains(&Move::Renew(*shard)));
        // What is handed over is let go before anybody else can have it.
        self.board.publish(held.clone());
        let is_given = |it: &Move| matches!(it, Move::HandOver(..));
        let (given, kept): (Vec<_>, Vec<_>) = moves.into_iter().partition(is_given);
        let result = self.hold(kept, &leases, held).await;
        // What the source has begun about it comes first, as long as that does not take too long.
        if given.is_empty() || timeout(ANSWER, self.work.rest()).await.is_err() {
            return result;
        }
        let done = join_all(given.iter().map(|it| self.api.make(it, &leases))).await;
        done.into_iter()
            .fold(result, |result, done| result.and(passing(done).map(|_| ())))
    }

    /// Renews, takes and claims, and says what is held from now on.
    async fn hold(
        &self,
        moves: Vec<Move>,
        leases: &BTreeMap<u32, Lease>,
        mut held: BTreeMap<u32, Held>,
    ) -> Result<(), LeaseError> {
        let now = Instant::now();
        let is_fresh = |it: &Move| match it {
            Move::Renew(shard) => {
                (held.get(shard)).is_some_and(|it| now + GIVE_UP < it.until + RENEW)
            }
            _ => false,
        };
        let moves: Vec<_> = moves.into_iter().filter(|it| !is_fresh(it)).collect();
        let done = join_all(moves.iter().map(|it| self.api.make(it, leases))).await;
        let mut result = Ok(());
        for (it, done) in moves.iter().zip(done) {
            match (it, passing(done)) {
                (Move::Renew(shard) | Move::Take(shard), Ok(Some(asked))) => {
                    let since = held.get(shard).map_or(asked, |it| it.since);
                    let until = asked + GIVE_UP;
                    held.insert(*shard, Held { since, until });
                    if matches!(it, Move::Take(_)) && self.has_expired(*shard) {
                        self.metrics.takeovers.inc();
                    }
                }
                (_, Ok(_)) => {}
                (_, Err(error)) => result = Err(error),
            }
        }
        self.board.publish(held);
        result
    }

    /// Notes which Leases have been renewed since they were last seen.
    fn observe(&mut self, leases: &BTreeMap<u32, Lease>) {
        let now = Instant::now();
        if now - self.looked > GIVE_UP {
            // Perhaps nobody could renew anything. Whoever held a shard comes back to it first.
            self.renewals.clear();
        }
        self.looked = now;
        self.renewals.retain(|shard, _| leases.contains_key(shard));
        for (shard, lease) in leases {
            let spec = lease.spec.clone().unwrap_or_default();
            match self.renewals.get(shard) {
                Some((known, _)) if *known == spec => {}
                _ => {
                    self.renewals.insert(*shard, (spec, now));
                }
            }
        }
    }

    fn seen<'a>(&'a self, leases: &'a BTreeMap<u32, Lease>) -> Vec<Seen<'a>> {
        let holder = |shard: u32| {
            let (spec, since) = self.renewals.get(&shard)?;
            let holder = named_holder(spec)?;
            let seconds = (spec.lease_duration_seconds).and_then(|it| u64::try_from(it).ok());
            let duration = seconds.map_or(LEASE, Duration::from_secs).max(LEASE);
            (holder == self.me || since.elapsed() < duration).then_some(holder)
        };
        let claimant = |shard: u32| api::claimant(leases.get(&shard)?);
        let seen = (0..self.shards).map(|shard| Seen {
            holder: holder(shard),
            claimant: claimant(shard),
        });
        seen.collect()
    }

    /// Whether a shard that was nobody's had been somebody's who did not give it back.
    fn has_expired(&self, shard: u32) -> bool {
        (self.renewals.get(&shard)).is_some_and(|(spec, _)| named_holder(spec).is_some())
    }

    fn say(&mut self, trouble: Option<LeaseError>) {
        let trouble = trouble.map(|error| chain(&error));
        if let Some(trouble) = trouble
            .as_ref()
            .filter(|it| self.trouble.as_ref() != Some(it))
        {
            warn!(
                error = trouble,
                "shards cannot be shared; tried again, and given up when they run out"
            );
        }
        self.trouble = trouble;
    }
}

fn named_holder(spec: &LeaseSpec) -> Option<&str> {
    (spec.holder_identity.as_deref()).filter(|it| !it.is_empty())
}

/// That somebody else was faster is no trouble.
fn passing(done: Result<Instant, LeaseError>) -> Result<Option<Instant>, LeaseError> {
    match done {
        Ok(asked) => Ok(Some(asked)),
        Err(LeaseError::Conflict) => {
            debug!("somebody else has changed a Lease; looked at again");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The name of the pod, and something that no other process has: a container that is started again
/// is somebody else.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(host.trim()).filter(|host| !host.is_empty());
    let suffix: u32 = rand::random();
    format!("{}_{suffix:08x}", host.unwrap_or("svc-watcher"))
}
