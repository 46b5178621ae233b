//! Decides which answers to reads a node may hold in memory.
//!
//! *Guarantees.* What is held is at most [`BYTES_MAX`], or half of that and one answer more, so that a lane of any size
//! can be read; the last eighth is for short ones. A snapshot that several answers hold counts once. What was let in is
//! never refused later for what it was let in with.

use std::collections::HashMap;

/// For all answers of a node that clients, or other nodes, have not taken yet.
pub const BYTES_MAX: usize = 64 << 20;
/// The rest is for short answers, so that who reads much keeps nobody else from reading little.
const LARGE_MAX: usize = BYTES_MAX / 8 * 7;
const SMALL: usize = 4 << 10;

#[derive(Debug, Default)]
pub struct Budget {
    used: usize,
    snapshots: HashMap<usize, Pinned>,
}

/// A snapshot that answers hold.
#[derive(Debug)]
struct Pinned {
    bytes: usize,
    answers: usize,
}

/// What one answer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Its own: text that has been written, or is about to be.
    pub own: usize,
    pub snapshot: Option<Snapshot>,
}

/// A root, by its identity, which no other has while it is held; and how many bytes it may keep in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub identity: usize,
    pub bytes: usize,
}

impl Budget {
    /// Bytes that are held.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether one more answer may hold that. If so it counts from now on.
    pub fn admit(&mut self, held: Held) -> bool {
        let fits = self.fits(held);
        if fits {
            self.add(held);
        }
        fits
    }

    /// Whether an answer may hold something else from now on; what is no more than it held, it may. If not, it holds
    /// what it held.
    pub fn change(&mut self, from: Held, to: Held) -> bool {
        let before = self.used;
        self.release(from);
        let fits = self.used + self.cost(to) <= before || self.fits(to);
        self.add(if fits { to } else { from });
        fits
    }

    /// An answer is over.
    pub fn release(&mut self, held: Held) {
        self.used -= held.own;
        if let Some(Snapshot { identity, .. }) = held.snapshot
            && let Some(pinned) = self.snapshots.get_mut(&identity)
        {
            pinned.answers -= 1;
            if pinned.answers == 0 {
                self.used -= pinned.bytes;
                self.snapshots.remove(&identity);
            }
        }
    }

    fn fits(&self, held: Held) -> bool {
        let cost = self.cost(held);
        let most = if cost <= SMALL { BYTES_MAX } else { LARGE_MAX };
        self.used + cost <= most || self.used <= BYTES_MAX / 2
    }

    fn cost(&self, held: Held) -> usize {
        let new = held.snapshot.filter(|snapshot| !self.snapshots.contains_key(&snapshot.identity));
        held.own + new.map_or(0, |snapshot| snapshot.bytes)
    }

    fn add(&mut self, held: Held) {
        self.used += self.cost(held);
        if let Some(Snapshot { identity, bytes }) = held.snapshot {
            self.snapshots.entry(identity).or_insert(Pinned { bytes, answers: 0 }).answers += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: usize = 1 << 20;

    fn text(bytes: usize) -> Held {
        Held { own: bytes, snapshot: None }
    }

    fn of(identity: usize, bytes: usize) -> Held {
        Held { own: 1, snapshot: Some(Snapshot { identity, bytes }) }
    }

    #[test]
    fn answers_are_let_in_until_the_budget_is_used() {
        // In order: what is held, and whether it is let in.
        let cases: [(&str, &[(Held, bool)]); 5] = [
            ("texts", &[(text(40 * MIB), true), (text(16 * MIB), true), (text(MIB), false), (text(1), true)]),
            (
                "what fits goes in after what did not",
                &[(text(52 * MIB), true), (text(5 * MIB), false), (text(4 * MIB), true)],
            ),
            ("one large lane", &[(text(32 * MIB), true), (of(1, 500 * MIB), true), (text(1), false)]),
            ("none beside much", &[(text(33 * MIB), true), (of(1, 500 * MIB), false)]),
            (
                "a snapshot counts once",
                &[(of(1, 56 * MIB), true), (of(1, 56 * MIB), true), (of(2, 56 * MIB), false)],
            ),
        ];
        for (name, answers) in cases {
            let mut budget = Budget::default();
            for (held, admitted) in answers {
                assert_eq!(budget.admit(*held), *admitted, "{name}: {held:?}");
            }
        }
    }

    #[test]
    fn a_refused_change_leaves_what_was_held() {
        let mut budget = Budget::default();
        assert!(budget.admit(text(40 * MIB)) && budget.admit(text(10 * MIB)));
        assert!(!budget.change(text(10 * MIB), text(30 * MIB)));
        assert_eq!(budget.used(), 50 * MIB);
        assert!(budget.change(text(10 * MIB), text(16 * MIB)));
        assert_eq!(budget.used(), 56 * MIB);
    }

    proptest! {
        #[test]
        fn what_is_held_stays_below_the_bound_and_nothing_is_left_over(
            acts in proptest::collection::vec((0..4_usize, 0..6_usize, 0..40_usize), 0..200),
        ) {
            let size = |identity: usize| identity * 7 * MIB;
            let (mut budget, mut held) = (Budget::default(), Vec::<Held>::new());
            for (act, identity, bytes) in acts {
                let new = if identity == 0 { text(bytes * MIB) } else { of(identity, size(identity)) };
                let place = bytes % held.len().max(1);
                if act < 2 || held.is_empty() {
                    held.extend(budget.admit(new).then_some(new));
                } else if act == 2 {
                    budget.release(held.swap_remove(place));
                } else if budget.change(held[place], new) {
                    held[place] = new;
                }
                let mut roots: Vec<_> = held.iter().filter_map(|held| held.snapshot).collect();
                roots.sort_by_key(|root| root.identity);
                roots.dedup();
                let sum = held.iter().map(|held| held.own).sum::<usize>()
                    + roots.iter().map(|root| root.bytes).sum::<usize>();
                prop_assert_eq!(budget.used(), sum);
                prop_assert!(sum <= BYTES_MAX.max(BYTES_MAX / 2 + 40 * MIB + 1));
            }
            for held in held {
                budget.release(held);
            }
            prop_assert_eq!(budget.used(), 0);
            prop_assert!(budget.snapshots.is_empty());
        }
    }
}
