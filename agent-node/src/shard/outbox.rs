//! The sends of one slot that their receivers have not committed, in order for each receiving slot.
//!
//! *Guarantees*: messages of a pair leave in order; whatever is not known to be taken can leave again, from the oldest
//! on. So many are under way at once at most.

use super::event::{Message, Place, Taken, Verdict};
use proto::address::Slot;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Of one pair of slots.
const UNDER_WAY: usize = 1024;
/// With so many waiting, commands from outside are refused.
const FULL: usize = 65_536;

#[derive(Debug, Default)]
pub struct Outbox {
    pairs: HashMap<Slot, Pair>,
    waiting: usize,
    /// Taken by their receivers, and not yet said in a record.
    trims: BTreeMap<Slot, Place>,
}

#[derive(Debug, Default)]
struct Pair {
    queue: VecDeque<Message>,
    /// How many of the first are under way.
    sent: usize,
    /// Of the last one that was ever put in.
    last: Place,
    /// It can't go on before `again`.
    held: bool,
}

impl Outbox {
    pub fn is_full(&self) -> bool {
        self.waiting >= FULL
    }

    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The place of the last message to this slot.
    pub fn last(&self, to: Slot) -> Place {
        self.pairs.get(&to).map_or(Place::default(), |pair| pair.last)
    }

    pub fn push(&mut self, message: Message) {
        let pair = self.pairs.entry(message.to).or_default();
        pair.last = message.place;
        pair.queue.push_back(message);
        self.waiting += 1;
    }

    /// What may leave now to this slot.
    pub fn pump(&mut self, to: Slot, mut out: impl FnMut(Message)) {
        if let Some(pair) = self.pairs.get_mut(&to)
            && !pair.held
        {
            while pair.sent < pair.queue.len().min(UNDER_WAY) {
                out(pair.queue[pair.sent].clone());
                pair.sent += 1;
            }
        }
    }

    /// What a receiver said. Whether messages to it may leave now.
    pub fn taken(&mut self, taken: Taken) -> bool {
        let Some(pair) = self.pairs.get_mut(&taken.to) else { return false };
        match taken.verdict {
            Verdict::Refused => {
                pair.held = true;
                return false;
            }
            // Those behind the first one out of order say so too: once is enough.
            Verdict::Behind if pair.held => return false,
            Verdict::Behind => (pair.sent, pair.held) = (0, true),
            Verdict::Done => {}
        }
        let count = pair.queue.iter().take_while(|message| message.place <= taken.seen).count();
        if count > 0 {
            pair.queue.drain(..count);
            pair.sent = pair.sent.saturating_sub(count);
            self.waiting -= count;
            self.trims.insert(taken.to, taken.seen);
        }
        taken.verdict == Verdict::Done
    }

    /// Everything to these slots goes again; `None`: what was held back.
    pub fn again(&mut self, slots: Option<&[Slot]>) -> Vec<Slot> {
        let mut found = Vec::new();
        for (to, pair) in &mut self.pairs {
            let chosen = slots.map_or(pair.held, |slots| slots.contains(to));
            if chosen && !pair.queue.is_empty() {
                (pair.sent, pair.held) = (0, false);
                found.push(*to);
            } else if chosen {
                pair.held = false;
            }
        }
        found
    }

    pub fn trims(&self) -> &BTreeMap<Slot, Place> {
        &self.trims
    }

    pub fn trims_said(&mut self) {
        self.trims.clear();
    }

    /// A record says that the receiver has all up to here.
    pub fn replay_trim(&mut self, to: Slot, at: Place) {
        if let Some(pair) = self.pairs.get_mut(&to) {
            let count = pair.queue.iter().take_while(|message| message.place <= at).count();
            pair.queue.drain(..count);
            self.waiting -= count;
        }
    }
}
