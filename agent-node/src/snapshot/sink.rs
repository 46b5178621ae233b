//! Where shards give their pieces of snapshots, and one thread takes them.
//!
//! *Guarantees.* Nobody waits to give. What is here and was not taken has a bound for the whole node: each shard gives
//! only as much as it has room for, and one that found none hears [`super::Asked::Room`] when there is some again. Pieces of a
//! round that was given up are dropped. *Assumptions.* A shard asks for its room before each piece.

use super::piece::{Given, Piece};
use crate::lock::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What the shards of a node may have given together that is not taken yet.
const BYTES: usize = 2 << 20;

/// A shard's end of it, or that of the thread that takes.
#[derive(Clone, Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    /// What is one shard's share.
    share: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    round: u64,
    given: VecDeque<(usize, Given)>,
    /// By shard: bytes that were not taken, and whether it found no room.
    shards: Vec<Share>,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    bytes: usize,
    waits: bool,
}

impl Sink {
    pub fn new(shards: usize) -> Sink {
        let state = State { shards: vec![Share::default(); shards], ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        Sink { shared, share: BYTES / shards.max(1) }
    }

    /// Whether a shard may give a piece now. If not, it hears `Room` when it may again.
    pub fn has_room(&self, shard: usize) -> bool {
        let mut state = lock(&self.shared.state);
        let share = &mut state.shards[shard];
        share.waits = share.bytes >= self.share;
        !share.waits
    }

    /// Gives pieces of a round, in order, and clears them. Those of another round than the present one are dropped.
    pub fn give(&self, shard: usize, round: u64, pieces: &mut Vec<Given>) {
        let mut state = lock(&self.shared.state);
        if round != state.round {
            return pieces.clear();
        }
        for given in pieces.drain(..) {
            state.shards[shard].bytes += cost(&given);
            state.given.push_back((shard, given));
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// From now on pieces of this round count and no others.
    pub fn begin(&self, round: u64) {
        let mut state = lock(&self.shared.state);
        state.round = round;
        state.given.clear();
        state.shards.fill(Share::default());
    }

    /// What has been given, in order, and which shards are to hear that there is room again. Waits for something to come,
    /// for so long at most.
    pub fn take(&self, wait: Duration) -> (Vec<Given>, Vec<usize>) {
        let mut state = lock(&self.shared.state);
        if state.given.is_empty() && !state.closed && !wait.is_zero() {
            let until = |state: &mut State| state.given.is_empty() && !state.closed;
            let waited = self.shared.changed.wait_timeout_while(state, wait, until);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let given = std::mem::take(&mut state.given).into_iter().map(|(_, given)| given).collect();
        let mut waited = Vec::new();
        for (shard, share) in state.shards.iter_mut().enumerate() {
            if std::mem::take(share).waits {
                waited.push(shard);
            }
        }
        (given, waited)
    }

    /// The thread that takes is to end.
    pub fn close(&self) {
        lock(&self.shared.state).closed = true;
        self.shared.changed.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        lock(&self.shared.state).closed
    }
}

fn cost(given: &Given) -> usize {
    let bytes = match &given.piece {
        Piece::Section(_, bytes) => bytes.capacity(),
        Piece::Begin(begin) => begin.terms.capacity() * size_of::<super::Term>(),
        Piece::End => 0,
    };
    size_of::<Given>() + bytes
}

#[cfg(test)]
mod tests {
    use super::super::Tag;
    use super::*;
    use proto::address::Slot;

    fn pieces(slot: Slot, count: usize, bytes: usize) -> Vec<Given> {
        (0..count).map(|_| Given { slot, piece: Piece::Section(Tag(1), vec![0; bytes]) }).collect()
    }

    #[test]
    fn a_shard_without_room_is_told_when_there_is_some_and_takes_none_of_another() {
        let sink = Sink::new(2);
        sink.begin(1);
        assert!(sink.has_room(0));
        sink.give(0, 1, &mut pieces(4, 17, 64 << 10));
        assert!(!sink.has_room(0) && sink.has_room(1));
        sink.give(1, 1, &mut pieces(5, 1, 10));
        let (given, waited) = sink.take(Duration::ZERO);
        assert_eq!((given.len(), given[17].slot, waited), (18, 5, vec![0]));
        assert!(sink.has_room(0));
        assert_eq!(sink.take(Duration::ZERO), (vec![], vec![]));
    }

    #[test]
    fn pieces_of_a_round_that_was_given_up_are_dropped() {
        let sink = Sink::new(1);
        sink.begin(1);
        sink.give(0, 1, &mut pieces(4, 1, 10));
        sink.begin(2);
        sink.give(0, 1, &mut pieces(4, 1, 10));
        sink.give(0, 2, &mut pieces(6, 1, 10));
        let slots: Vec<_> = sink.take(Duration::ZERO).0.iter().map(|given| given.slot).collect();
        assert_eq!(slots, [6]);
    }

    #[test]
    fn who_takes_is_woken_by_what_is_given_and_by_the_end() {
        let sink = Sink::new(1);
        sink.begin(1);
        let giver = sink.clone();
        let gives = std::thread::spawn(move || giver.give(0, 1, &mut pieces(4, 1, 10)));
        assert_eq!(sink.take(Duration::from_mins(1)).0.len(), 1);
        gives.join().expect("it gives");
        sink.close();
        assert_eq!(sink.take(Duration::from_mins(1)).0.len(), 0);
    }
}
