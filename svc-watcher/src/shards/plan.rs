//! What a replica does about the shards, from what it sees of them.
//!
//! There is no register of replicas. Who holds something is alive; who holds less than others asks
//! for a shard of the one with the most, by a note on its Lease; who is asked hands it over if the
//! other has at least two fewer. Every hand-over makes the numbers more equal, so this ends, and it
//! ends with numbers that differ by one at most.

use std::collections::BTreeMap;

/// What is seen of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen<'a> {
    /// Who holds it; nobody when it was given back or has run out.
    pub(crate) holder: Option<&'a str>,
    /// Who asks for it.
    pub(crate) claimant: Option<&'a str>,
}

/// What to do about one shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Move {
    /// It is ours: hold it for longer.
    Renew(u32),
    /// It is ours and goes to somebody who has fewer.
    HandOver(u32, String),
    /// It is nobody's.
    Take(u32),
    /// It is somebody's who has more than we have.
    Claim(u32),
}

/// What `me` does now, at most one thing about each shard; `seen` is in the order of the shards.
pub(crate) fn plan(me: &str, seen: &[Seen<'_>]) -> Vec<Move> {
    let mut counts = Counts::of(me, seen);
    let mut moves = Vec::new();
    let shards = || (0..).zip(seen);
    for (shard, it) in shards().filter(|(_, it)| it.holder == Some(me)) {
        moves.push(match it.claimant {
            Some(other) if other != me && counts.get(me) >= counts.get(other) + 2 => {
                counts.pass(me, other);
                Move::HandOver(shard, other.to_owned())
            }
            _ => Move::Renew(shard),
        });
    }
    let share = seen.len().div_ceil(counts.0.len());
    for (shard, _) in shards().filter(|(_, it)| it.holder.is_none()) {
        if counts.get(me) < share {
            counts.add(me);
            moves.push(Move::Take(shard));
        }
    }
    // What has been asked for counts as if it had been handed over.
    let others = || shards().filter(|(_, it)| it.holder.is_some_and(|holder| holder != me));
    for (_, it) in others() {
        if let (Some(holder), Some(claimant)) = (it.holder, it.claimant) {
            counts.pass(holder, claimant);
        }
    }
    let mut free: Vec<_> = others().filter(|(_, it)| it.claimant.is_none()).collect();
    while let Some(position) = fullest(&free, &counts) {
        let (shard, it) = free.swap_remove(position);
        let holder = it.holder.unwrap_or_default();
        if counts.get(holder) < counts.get(me) + 2 {
            break;
        }
        counts.pass(holder, me);
        moves.push(Move::Claim(shard));
    }
    moves
}

/// Where the shard of the one with the most is.
fn fullest(free: &[(u32, &Seen<'_>)], counts: &Counts<'_>) -> Option<usize> {
    let load = |(shard, it): &(u32, &Seen<'_>)| {
        let count = it.holder.map_or(0, |holder| counts.get(holder));
        (count, std::cmp::Reverse(*shard))
    };
    (0..free.len()).max_by_key(|position| load(&free[*position]))
}

/// How many shards each replica has that is known to be alive.
struct Counts<'a>(BTreeMap<&'a str, usize>);

impl<'a> Counts<'a> {
    fn of(me: &'a str, seen: &[Seen<'a>]) -> Self {
        let mut counts = Self(BTreeMap::from([(me, 0)]));
        for it in seen {
            let Some(holder) = it.holder else { continue };
            counts.add(holder);
            if let Some(claimant) = it.claimant {
                counts.0.entry(claimant).or_default();
            }
        }
        counts
    }

    fn get(&self, who: &str) -> usize {
        self.0.get(who).copied().unwrap_or(0)
    }

    fn add(&mut self, who: &'a str) {
        *self.0.entry(who).or_default() += 1;
    }

    fn pass(&mut self, from: &'a str, to: &'a str) {
        if let Some(count) = self.0.get_mut(from) {
            *count = count.saturating_sub(1);
        }
        self.add(to);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `a` is held by a, `a<b` is held by a and asked for by b, `-` is free.
    fn planned(shards: &str) -> String {
        let seen: Vec<_> = shards.split(' ').map(parse).collect();
        let moves = plan("me", &seen).into_iter().map(|it| match it {
            Move::Renew(shard) => format!("renew {shard}"),
            Move::HandOver(shard, to) => format!("{shard} to {to}"),
            Move::Take(shard) => format!("take {shard}"),
            Move::Claim(shard) => format!("claim {shard}"),
        });
        moves.collect::<Vec<_>>().join(", ")
    }

    fn parse(text: &str) -> Seen<'_> {
        let (holder, claimant) = match text.split_once('<') {
            Some((holder, claimant)) => (holder, Some(claimant)),
            None => (text, None),
        };
        let holder = Some(holder).filter(|holder| *holder != "-");
        Seen { holder, claimant }
    }

    #[test]
    fn shards_are_taken_claimed_and_handed_over_by_fair_share() {
        let cases = [
            ("- - - -", "take 0, take 1, take 2, take 3"),
            ("a - - -", "take 1, take 2"),
            ("a b - -", "take 2, take 3"),
            ("a a b b", "claim 0"),
            ("a a a a", "claim 0, claim 1"),
            ("a a a me", "renew 3, claim 0"),
            ("a a me", "renew 2"),
            ("a b c d", ""),
            ("a a b", "claim 0"),
            ("a a a b b b", "claim 0, claim 3"),
            // What has been asked for is not asked for again, by nobody.
            ("a<me a<me a a", ""),
            ("a<b a<b a a", "claim 2"),
            // Handed over to whoever has at least two fewer.
            ("me<a me<a me me", "0 to a, 1 to a, renew 2, renew 3"),
            ("me<a me<a me<a a", "0 to a, renew 1, renew 2"),
            ("me<a a", "renew 0"),
            ("me<b me a a", "0 to b, renew 1"),
            ("me<me me", "renew 0, renew 1"),
            // Nobody takes more than a fair share, and somebody takes each.
            ("me me a a - -", "renew 0, renew 1, take 4"),
            ("me me a -", "renew 0, renew 1"),
        ];
        for (shards, expected) in cases {
            assert_eq!(planned(shards), expected, "{shards}");
        }
    }

    /// Leases as replicas leave them to each other.
    #[derive(Debug, Clone, Default)]
    struct World(Vec<(Option<String>, Option<String>)>);

    impl World {
        /// One replica looks and acts.
        fn turn(&mut self, me: &str) {
            let seen: Vec<_> = (self.0.iter())
                .map(|(holder, claimant)| Seen {
                    holder: holder.as_deref(),
                    claimant: claimant.as_deref(),
                })
                .collect();
            for it in plan(me, &seen) {
                let me = Some(me.to_owned());
                match it {
                    Move::Renew(shard) | Move::Take(shard) => self.0[shard as usize] = (me, None),
                    Move::HandOver(shard, to) => self.0[shard as usize] = (Some(to), None),
                    Move::Claim(shard) => self.0[shard as usize].1 = me,
                }
            }
        }

        fn dies(&mut self, who: &str) {
            for (holder, _) in &mut self.0 {
                if holder.as_deref() == Some(who) {
                    *holder = None;
                }
            }
        }

        fn count(&self, who: &str) -> usize {
            let is_theirs = |it: &&(Option<String>, _)| it.0.as_deref() == Some(who);
            self.0.iter().filter(is_theirs).count()
        }
    }

    proptest! {
        /// Whoever comes and goes, and in whatever order the rest acts: soon all shards are held,
        /// by equal numbers, and nothing moves any more.
        #[test]
        fn whatever_happens_every_shard_is_held_soon_and_fairly(
            shards in 1_usize..=16,
            events in prop::collection::vec((0_usize..5, any::<bool>(), 0_usize..4), 0..30),
            first in 0_usize..5,
        ) {
            let names = ["a", "b", "c", "d", "e"];
            let mut world = World(vec![(None, None); shards]);
            let mut alive = vec![names[first]];
            for (who, comes, turns) in events {
                let who = names[who];
                if comes && !alive.contains(&who) {
                    alive.push(who);
                } else if !comes && alive.len() > 1 && alive.contains(&who) {
                    alive.retain(|it| *it != who);
                    world.dies(who);
                }
                for turn in 0..turns {
                    let who = alive[turn % alive.len()];
                    world.turn(who);
                }
            }
            // Those that died hold nothing once it has run out, even if it was handed to them late.
            let rounds = |world: &mut World| {
                for _ in 0..40 {
                    for who in &alive {
                        world.turn(who);
                    }
                    for who in names.iter().filter(|who| !alive.contains(who)) {
                        world.dies(who);
                    }
                }
            };
            rounds(&mut world);
            let counts: Vec<_> = alive.iter().map(|who| world.count(who)).collect();
            prop_assert_eq!(counts.iter().sum::<usize>(), shards);
            let (least, most) = (counts.iter().min(), counts.iter().max());
            prop_assert!(most.unwrap() - least.unwrap() <= 1, "{:?}", counts);
            let holders = |world: &World| world.0.iter().map(|it| it.0.clone()).collect::<Vec<_>>();
            let before = holders(&world);
            rounds(&mut world);
            prop_assert_eq!(holders(&world), before);
        }
    }
}
