//! Where it stands what is held, for all who have to know.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bonesetter_chassis::health::Readiness;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use crate::metrics::WatcherMetrics;
use crate::shards::{Held, Holding};

/// What is held.
pub(super) struct Board {
    shards: u32,
    holding: watch::Sender<Holding>,
    metrics: WatcherMetrics,
    readiness: Readiness,
}

impl Board {
    /// Nothing is held.
    pub(super) fn new(shards: u32, metrics: WatcherMetrics, readiness: Readiness) -> Self {
        let board = Self {
            shards,
            holding: watch::Sender::new(Holding::new(shards, BTreeMap::new())),
            metrics,
            readiness,
        };
        board.publish(BTreeMap::new());
        board
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Holding> {
        self.holding.subscribe()
    }

    /// What is held and has not run out.
    pub(super) fn unexpired(&self) -> BTreeMap<u32, Held> {
        let now = Instant::now();
        let mut held = self.holding.borrow().held().clone();
        held.retain(|_, it| now < it.until);
        held
    }

    /// Says what is held from now on, without what has run out; wakes those who wait only when it is
    /// something else.
    pub(super) fn publish(&self, mut held: BTreeMap<u32, Held>) {
        let now = Instant::now();
        held.retain(|_, it| now < it.until);
        let next = Holding::new(self.shards, held);
        let count = i64::try_from(next.held().len()).unwrap_or(i64::MAX);
        let text = next.describe();
        let has_changed = self.holding.send_if_modified(|holding| {
            let has_changed = !holding.is_same(&next);
            *holding = next;
            has_changed
        });
        self.metrics.shards_held.set(count);
        if has_changed {
            info!(shards = text, "holds other shards");
        }
        self.readiness.note("shards", text);
    }

    /// Lets go of what runs out at the moment it does, whatever else goes on.
    pub(super) async fn expire(&self) -> Infallible {
        loop {
            let first = self
                .holding
                .borrow()
                .held()
                .values()
                .map(|it| it.until)
                .min();
            match first {
                Some(first) => sleep_until(first).await,
                // Nothing can run out before somebody has published anew, and come back here.
                None => std::future::pending().await,
            }
            let held = self.unexpired();
            if held.len() < self.holding.borrow().held().len() {
                self.publish(held);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bonesetter_chassis::metrics::Metrics;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_not_renewed_is_let_go_when_it_runs_out() {
        let metrics = WatcherMetrics::new(&Metrics::default());
        let board = Board::new(2, metrics, Readiness::default());
        let mut holding = board.subscribe();
        let since = Instant::now();
        let held = |seconds: u64| Held {
            since,
            until: since + Duration::from_secs(seconds),
        };
        board.publish(BTreeMap::from([(0, held(4)), (1, held(6))]));
        holding.borrow_and_update();
        let seen = async {
            let mut seen = Vec::new();
            while seen.len() < 2 {
                holding.changed().await.unwrap();
                let left = holding.borrow_and_update().held().keys().copied().collect();
                seen.push((since.elapsed(), left));
            }
            seen
        };
        let seen: Vec<(Duration, Vec<u32>)> = tokio::select! {
            seen = seen => seen,
            never = board.expire() => match never {},
        };
        let [(first, left), (second, rest)] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert!(*first >= Duration::from_secs(4) && left == &[1]);
        assert!(*second >= Duration::from_secs(6) && rest.is_empty());
    }
}
