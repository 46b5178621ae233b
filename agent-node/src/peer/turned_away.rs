//! Pairs of slots whose messages found no room somewhere: their senders are told when there is some again, and need not
//! wait for a tick.

use crate::shard::{Message, Place, Taken, Verdict};
use hashbrown::HashSet;
use proto::address::Slot;

/// So many pairs are remembered: the senders of more try again by themselves, about once a second.
const MOST: usize = 65_536;

/// By sender's and receiver's slot.
#[derive(Debug, Default)]
pub struct TurnedAway {
    pairs: HashSet<(Slot, Slot)>,
}

impl TurnedAway {
    pub fn note(&mut self, message: &Message) {
        if self.pairs.len() < MOST {
            self.pairs.insert((message.from, message.to));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// There is room again: what their senders are to hear.
    pub fn call(&mut self) -> Vec<Taken> {
        let told = |(from, to)| Taken { from, to, seen: Place::default(), verdict: Verdict::Room };
        std::mem::take(&mut self.pairs).into_iter().map(told).collect()
    }
}
