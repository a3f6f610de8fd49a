//! Which part of the cluster a replica watches: its shards, by a hash of the namespace.
//!
//! All that an incident is made of lies in one namespace, so a namespace is what is divided. There is
//! a fixed number of shards, more than replicas, so that a replica that comes or goes moves whole
//! shards and renames none.

mod plan;

use std::collections::BTreeMap;

use tokio::time::Instant;

pub(crate) use plan::{Move, Seen, plan};

/// More would not help: whoever watches all namespaces reads every object, whatever it keeps.
pub const MAX_SHARDS: u32 = 16;

/// The name of the Lease of a shard. The count is part of it: while replicas with another count replace
/// those with this one, each kind divides everything among its own, and every namespace is somebody's.
pub fn lease_name(shard: u32, shards: u32) -> String {
    format!("bonesetter-watcher-{shard}-of-{shards}")
}

/// The shard that a namespace belongs to, of `shards`; FNV-1a of 64 bits, the same in every version,
/// because replicas of two versions share the work while one replaces the other. What lies in no
/// namespace belongs to the first shard.
pub fn shard_of(namespace: &str, shards: u32) -> u32 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    if namespace.is_empty() {
        return 0;
    }
    let hash = namespace.bytes().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    u32::try_from(hash % u64::from(shards.max(1))).unwrap_or(0)
}

/// How a shard is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Since this moment without interruption.
    pub(crate) since: Instant,
    /// It ends then, unless it is renewed.
    pub(crate) until: Instant,
}

/// The shards that a replica holds.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    shards: u32,
    held: BTreeMap<u32, Held>,
}

impl Holding {
    /// Some of `shards`.
    pub(crate) const fn new(shards: u32, held: BTreeMap<u32, Held>) -> Self {
        Self { shards, held }
    }

    /// Which ones.
    pub(crate) const fn held(&self) -> &BTreeMap<u32, Held> {
        &self.held
    }

    /// Whether a namespace is in one of them.
    pub(crate) fn covers(&self, namespace: &str) -> bool {
        self.held.contains_key(&shard_of(namespace, self.shards))
    }

    /// Whether it has been in one without interruption since `noticed` was held, and still is.
    pub(crate) fn may_act(&self, noticed: &Self, namespace: &str, now: Instant) -> bool {
        let shard = shard_of(namespace, self.shards);
        let (then, is) = (noticed.held.get(&shard), self.held.get(&shard));
        is.is_some_and(|is| now < is.until && then.is_some_and(|then| then.since == is.since))
    }

    /// Whether there is one that was not held, or not without interruption, when `before` was.
    pub(crate) fn has_gained(&self, before: &Self) -> bool {
        let is_new = |(shard, is): (&u32, &Held)| {
            let then = before.held.get(shard);
            then.is_none_or(|then| then.since != is.since)
        };
        self.held.iter().any(is_new)
    }

    /// Whether both hold the same without interruption.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.held.len() == other.held.len() && !self.has_gained(other)
    }

    /// For people, for example `0, 2 of 4`.
    pub(crate) fn describe(&self) -> String {
        let held: Vec<_> = self.held.keys().map(u32::to_string).collect();
        let held = if held.is_empty() {
            "none".to_owned()
        } else {
            held.join(", ")
        };
        format!("{held} of {}", self.shards)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_namespace_stays_in_its_shard_whatever_the_version() {
        let cases = [
            ("", 0),
            ("a", 0),
            ("default", 2),
            ("kube-system", 2),
            ("shop", 1),
        ];
        for (namespace, shard) in cases {
            assert_eq!(shard_of(namespace, 4), shard, "{namespace}");
            assert_eq!(shard_of(namespace, 1), 0, "{namespace}");
        }
    }

    #[test]
    fn shards_are_of_about_the_same_size() {
        for shards in 2..=MAX_SHARDS {
            let mut sizes = vec![0_u32; shards as usize];
            for number in 0..1000 * shards {
                sizes[shard_of(&format!("team-{number}"), shards) as usize] += 1;
            }
            let is_even = sizes.iter().all(|size| (800..=1200).contains(size));
            assert!(is_even, "{shards}: {sizes:?}");
        }
    }

    #[test]
    fn a_shard_is_acted_on_while_it_is_held_without_interruption() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let shard = shard_of("shop", 4);
        let holding = |shard: u32, since: Instant, until: Instant| {
            Holding::new(4, BTreeMap::from([(shard, Held { since, until })]))
        };
        let held = holding(shard, now, now + second);
        let renewed = holding(shard, now, now + 3 * second);
        let regained = holding(shard, now + second, now + 3 * second);
        let other = holding((shard + 1) % 4, now, now + second);
        let none = Holding::new(4, BTreeMap::new());
        let cases = [
            (&held, &held, true),
            (&renewed, &held, true),
            // Somebody else may have had it in between.
            (&regained, &held, false),
            (&held, &none, false),
            (&none, &held, false),
            (&other, &held, false),
        ];
        for (is, noticed, may_act) in cases {
            assert_eq!(
                is.may_act(noticed, "shop", now),
                may_act,
                "{is:?} {noticed:?}"
            );
        }
        assert!(!held.may_act(&held, "shop", now + second));
        assert!(held.covers("shop") && !other.covers("shop"));
        assert!(renewed.is_same(&held) && !regained.is_same(&held) && !none.is_same(&held));
        assert!(regained.has_gained(&held) && held.has_gained(&none));
        assert!(!renewed.has_gained(&held) && !none.has_gained(&held));
        assert_eq!(held.describe(), format!("{shard} of 4"));
        assert_eq!(none.describe(), "none of 4");
    }
}
