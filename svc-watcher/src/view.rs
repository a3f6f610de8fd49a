//! What of the cluster this replica looks at.

use tokio::sync::watch;
use tokio::time::Instant;

use crate::coverage::Scope;
use crate::namespaces::Namespaces;
use crate::shards::Holding;

/// The namespaces of the configuration, and of those the ones in the shards that are held.
#[derive(Debug)]
pub(crate) struct View {
    namespaces: Namespaces,
    /// None where there is one shard, which is everybody's.
    sharding: Option<Sharding>,
}

#[derive(Debug)]
struct Sharding {
    holding: watch::Receiver<Holding>,
    /// As last taken notice of.
    noticed: Holding,
}

/// What became of the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// There are new ones, so lists are needed.
    Gained,
    /// There are fewer.
    Lost,
    /// Whoever held them has ended.
    Ended,
}

impl View {
    /// Everything that is configured, or only what is held of it.
    pub(crate) fn new(namespaces: Namespaces, holding: Option<watch::Receiver<Holding>>) -> Self {
        let sharding = holding.map(|mut holding| {
            let noticed = holding.borrow_and_update().clone();
            Sharding { holding, noticed }
        });
        Self {
            namespaces,
            sharding,
        }
    }

    /// Whether objects of a namespace count.
    pub(crate) fn is_watched(&self, namespace: &str) -> bool {
        let is_covered = |it: &Sharding| it.noticed.covers(namespace);
        self.namespaces.is_watched(namespace) && self.sharding.as_ref().is_none_or(is_covered)
    }

    /// Whether something may be stored or published about a namespace at this moment.
    pub(crate) fn may_act(&self, namespace: &str) -> bool {
        let may_act = |it: &Sharding| {
            let holding = it.holding.borrow();
            holding.may_act(&it.noticed, namespace, Instant::now())
        };
        self.sharding.as_ref().is_none_or(may_act)
    }

    /// What has to be watched; nothing while no shard is held.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        let mut scopes = self.namespaces.scopes();
        if let Some(sharding) = &self.sharding {
            let holds_any = !sharding.noticed.held().is_empty();
            scopes.retain(|scope| match scope {
                Some(namespace) => sharding.noticed.covers(namespace),
                None => holds_any,
            });
        }
        scopes
    }

    /// Waits until other shards are held.
    pub(crate) async fn changed(&mut self) -> Change {
        let Some(sharding) = &mut self.sharding else {
            return std::future::pending().await;
        };
        if sharding.holding.changed().await.is_err() {
            return Change::Ended;
        }
        let holding = sharding.holding.borrow_and_update().clone();
        let has_gained = holding.has_gained(&sharding.noticed);
        sharding.noticed = holding;
        if has_gained {
            Change::Gained
        } else {
            Change::Lost
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::shards::{Held, shard_of};

    fn holding(shards: &[u32]) -> Holding {
        let since = Instant::now();
        let until = since + Duration::from_mins(1);
        let held = shards.iter().map(|shard| (*shard, Held { since, until }));
        Holding::new(2, held.collect())
    }

    #[tokio::test]
    async fn what_is_held_is_watched_once_it_has_been_noticed() {
        let names = ["a", "b", "c", "d"];
        let (zero, one): (Vec<_>, Vec<_>) = names.into_iter().partition(|it| shard_of(it, 2) == 0);
        let namespaces = Namespaces {
            watch: names.map(str::to_owned).to_vec(),
            exclude: Vec::new(),
        };
        let (sender, receiver) = watch::channel(holding(&[]));
        let mut view = View::new(namespaces, Some(receiver));
        assert_eq!(view.scopes(), []);
        for (held, change) in [(&[0][..], Change::Gained), (&[1], Change::Gained)] {
            sender.send_replace(holding(held));
            assert_eq!(view.changed().await, change);
        }
        for name in &one {
            assert!(view.is_watched(name) && view.may_act(name), "{name}");
        }
        for name in &zero {
            assert!(!view.is_watched(name) && !view.may_act(name), "{name}");
        }
        assert_eq!(view.scopes().len(), one.len());
        sender.send_replace(holding(&[]));
        // Before anybody has taken notice.
        assert!(one.iter().all(|name| !view.may_act(name)));
        assert_eq!(view.changed().await, Change::Lost);
        assert_eq!(view.scopes(), []);
        drop(sender);
        assert_eq!(view.changed().await, Change::Ended);
    }

    #[tokio::test]
    async fn all_namespaces_are_watched_as_soon_as_any_shard_is_held() {
        let (_sender, receiver) = watch::channel(holding(&[1]));
        let view = View::new(Namespaces::default(), Some(receiver));
        assert_eq!(view.scopes(), [None]);
        let whole = View::new(Namespaces::default(), None);
        assert!(whole.is_watched("a") && whole.may_act("a"));
    }
}
