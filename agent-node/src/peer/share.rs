//! Whose turn it is on a stream that several kinds of things share: decides, by deficit round robin.
//!
//! *Guarantees.* Of kinds that always have something, each gets as many bytes as each other, whatever the sizes of its
//! items; a kind that has nothing leaves its part to the others and saves nothing up. A frame is not closed while it
//! has room and some kind has something for it. A kind waits for at most one turn of each other, and one item of it.
//! *Assumptions.* What one kind adds gives no other anything to add.

/// What a kind may send in one turn.
pub const TURN_BYTES: usize = 16 << 10;

#[derive(Debug)]
pub struct Share<const KINDS: usize> {
    /// What each may still send, below zero after an item that was larger.
    credit: [i64; KINDS],
    turn: usize,
    /// Its turn has begun in an earlier frame.
    begun: bool,
}

/// What a kind has added to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    pub bytes: usize,
    pub has_more: bool,
}

impl<const KINDS: usize> Default for Share<KINDS> {
    fn default() -> Self {
        Share { credit: [0; KINDS], turn: 0, begun: false }
    }
}

impl<const KINDS: usize> Share<KINDS> {
    /// Fills a frame of so many bytes. `add` is given a kind and how much of it may be added; an item that is begun may
    /// be larger.
    pub fn fill(&mut self, mut room: usize, mut add: impl FnMut(usize, usize) -> Added) {
        let mut empty = 0;
        while room > 0 && empty < KINDS {
            let credit = &mut self.credit[self.turn];
            if !std::mem::replace(&mut self.begun, true) {
                *credit += TURN_BYTES as i64;
            }
            if *credit <= 0 {
                // It pays off a large item, whatever it has.
                empty = 0;
            } else {
                let Added { bytes, has_more } = add(self.turn, room.min(*credit as usize));
                *credit -= bytes as i64;
                room = room.saturating_sub(bytes);
                if has_more && bytes > 0 {
                    if *credit > 0 && room == 0 {
                        return;
                    }
                    empty = 0;
                } else {
                    *credit = (*credit).min(0);
                    empty += 1;
                }
            }
            self.turn = (self.turn + 1) % KINDS;
            self.begun = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::FRAME_BYTES;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// Kinds with the sizes of their items.
    type Queues = [VecDeque<usize>; 3];

    /// One frame: what was added of which kind, in order.
    fn frame(share: &mut Share<3>, queues: &mut Queues) -> Vec<(usize, usize)> {
        let mut frame = Vec::new();
        share.fill(FRAME_BYTES, |kind, most| {
            let mut bytes = 0;
            while bytes < most
                && let Some(item) = queues[kind].pop_front()
            {
                bytes += item;
            }
            if bytes > 0 {
                frame.push((kind, bytes >> 10));
            }
            Added { bytes, has_more: !queues[kind].is_empty() }
        });
        frame
    }

    /// Items of each kind, in KiB, and how many of them; then frame by frame the turns, as (kind, KiB).
    type Line = ([(usize, usize); 3], &'static [&'static [(usize, usize)]]);

    #[test]
    fn frames_are_shared_by_bytes() {
        let of = |kib: usize, count: usize| VecDeque::from(vec![kib << 10; count]);
        let table: [Line; 6] = [
            ([(1, 0), (1, 0), (1, 0)], &[&[]]),
            (
                [(1, 0), (1, 200), (1, 0)],
                &[&[(1, 16), (1, 16), (1, 16), (1, 16)], &[(1, 16), (1, 16), (1, 16), (1, 16)]],
            ),
            ([(1, 2), (1, 200), (1, 3)], &[&[(0, 2), (1, 16), (2, 3), (1, 16), (1, 16), (1, 11)]]),
            (
                [(1, 200), (16, 200), (4, 200)],
                &[&[(0, 16), (1, 16), (2, 16), (0, 16)], &[(1, 16), (2, 16), (0, 16), (1, 16)]],
            ),
            // A large item is paid off by turns of the others.
            ([(1, 200), (64, 1), (1, 200)], &[&[(0, 16), (1, 64)], &[(2, 16), (0, 16), (2, 16), (0, 16)]]),
            // A turn that the end of a frame has cut goes on in the next one.
            (
                [(24, 9), (1, 200), (1, 0)],
                &[
                    &[(0, 24), (1, 16), (0, 24)],
                    &[(1, 16), (1, 16), (0, 24), (1, 8)],
                    &[(1, 8), (0, 24), (1, 16), (1, 16)],
                ],
            ),
        ];
        for (kinds, frames) in table {
            let (mut share, mut queues) = (Share::default(), kinds.map(|(kib, count)| of(kib, count)));
            for (at, expected) in frames.iter().enumerate() {
                assert_eq!(frame(&mut share, &mut queues), *expected, "{kinds:?}, frame {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn who_always_has_something_gets_as_much_as_the_others_and_no_room_is_wasted(
            items in proptest::collection::vec(proptest::collection::vec(1..100_000_usize, 30), 3),
            busy in 1..8_u8,
        ) {
            let busy: Vec<usize> = (0..3).filter(|kind| busy & 1 << kind != 0).collect();
            let (mut share, mut next, mut sent) = (Share::<3>::default(), [0; 3], [0_i64; 3]);
            for _ in 0..300 {
                let mut frame = 0;
                share.fill(FRAME_BYTES, |kind, most| {
                    let mut bytes = 0;
                    while busy.contains(&kind) && bytes < most {
                        bytes += items[kind][next[kind] % 30];
                        next[kind] += 1;
                    }
                    sent[kind] += bytes as i64;
                    frame += bytes;
                    Added { bytes, has_more: busy.contains(&kind) }
                });
                prop_assert!(frame >= FRAME_BYTES);
                let sent = busy.iter().map(|kind| sent[*kind]);
                let apart = sent.clone().max().unwrap_or(0) - sent.min().unwrap_or(0);
                prop_assert!(apart <= 100_000 + 2 * TURN_BYTES as i64, "{apart} bytes apart");
            }
        }
    }
}
