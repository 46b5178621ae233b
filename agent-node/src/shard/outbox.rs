//! The sends of one slot that their receivers have not committed, in order for each receiving slot. Memory holds the
//! first of each pair of slots; of the others it knows where in the log their records are.
//!
//! *Guarantees*: messages of a pair leave in order; whatever is not known to be taken can leave again, from the oldest
//! on. Memory is bounded: by [`HEAD`] and [`BYTES`], and by the size of a [`Place`] and [`Position`] for each further
//! message, of which commands from outside make no more than [`FULL`]. *Assumptions*: what `fetch` asks for comes back
//! by `fetched`, or the shard ends.

mod saved;

use super::event::{Fetch, Message, Place, Taken, Verdict};
use crate::broken::{self, Broken};
use crate::log::Position;
use proto::address::Slot;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// The most messages of a pair that are in memory.
const HEAD: usize = 1024;
/// With so many bytes in memory for one slot, each pair keeps few there: [`LEAST`], or one when it is large.
const BYTES: usize = 1 << 20;
const LEAST: usize = 8;
const LARGE: usize = 32 << 10;
/// So many are read from the log at once.
const FETCH: usize = 256;
/// With so many waiting, commands from outside are refused.
const FULL: usize = 262_144;

/// So many trims stand in one record at most, each of up to [`TRIM_BYTES`].
pub const TRIMS_MAX: usize = 256;
pub const TRIM_BYTES: usize = 3 + 3 + 10 + 5;

/// Receiving slots, each with the place up to which it has all.
pub type Trims<'a> = std::iter::Take<std::collections::btree_map::Iter<'a, Slot, Place>>;

#[derive(Debug, Default)]
pub struct Outbox {
    /// The place of the last message that was ever put in, by its receiver's slot.
    last: HashMap<Slot, Place>,
    /// Those that have messages. What has none any more leaves no memory.
    pairs: HashMap<Slot, Box<Pair>>,
    waiting: usize,
    /// Bytes of the messages in memory.
    bytes: usize,
    /// Taken by their receivers, and not yet said in a record.
    trims: BTreeMap<Slot, Place>,
}

/// What all outboxes of a shard hold, and its share of what they may.
#[derive(Clone, Copy, Debug)]
pub struct Total {
    waiting: usize,
    bytes: usize,
    waiting_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Pair {
    queue: VecDeque<InMemory>,
    /// Bytes of those in the queue.
    bytes: usize,
    /// Those after them, which are in the log only.
    rest: VecDeque<InLog>,
    /// How many of the first are under way.
    sent: usize,
    /// It can't go on before `again`.
    held: bool,
    /// The first record that is being read, if any is.
    fetching: Option<Position>,
}

#[derive(Debug)]
struct InMemory {
    message: Message,
    bytes: usize,
}

#[derive(Debug)]
struct InLog {
    place: Place,
    record: RecordAt,
}

// What the documents say of it.
const _: () = assert!(size_of::<InLog>() == 32);

/// Where a message's record is.
#[derive(Clone, Copy, Debug)]
pub enum RecordAt {
    Log(Position),
    /// The n-th of those that are being gathered.
    Gathered(u64),
}

/// What goes again.
#[derive(Clone, Copy, Debug)]
pub enum Again<'a> {
    /// What was held back.
    Held,
    All,
    /// What is for these slots, which are in order.
    To(&'a [Slot]),
}

impl Total {
    /// With room for so many messages, of which so many bytes in memory: beyond that each pair keeps few there.
    pub fn new(waiting_max: usize, bytes_max: usize) -> Total {
        Total { waiting: 0, bytes: 0, waiting_max, bytes_max }
    }

    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// An outbox goes with its slot.
    pub fn lose(&mut self, outbox: &Outbox) {
        self.waiting -= outbox.waiting;
        self.bytes -= outbox.bytes;
    }
}

impl Outbox {
    pub fn is_full(&self, total: &Total) -> bool {
        self.waiting >= FULL || total.waiting >= total.waiting_max
    }

    fn gain(&mut self, messages: usize, bytes: usize, total: &mut Total) {
        self.waiting += messages;
        total.waiting += messages;
        self.bytes += bytes;
        total.bytes += bytes;
    }

    /// The bytes by which each pair's room in memory goes.
    fn pressure(&self, total: &Total) -> usize {
        if total.bytes < total.bytes_max { self.bytes } else { BYTES }
    }

    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The place of the last message to this slot.
    pub fn last(&self, to: Slot) -> Place {
        self.last.get(&to).copied().unwrap_or_default()
    }

    /// `bytes`: what it costs in memory. False: it is not kept there.
    pub fn push(&mut self, message: Message, bytes: usize, record: RecordAt, total: &mut Total) -> bool {
        let pressure = self.pressure(total);
        self.last.insert(message.to, message.place);
        let pair = self.pairs.entry(message.to).or_default();
        let in_memory = pair.rest.is_empty() && pair.room(pressure) > 0;
        if in_memory {
            pair.bytes += bytes;
            pair.queue.push_back(InMemory { message, bytes });
        } else {
            pair.rest.push_back(InLog { place: message.place, record });
        }
        self.gain(1, if in_memory { bytes } else { 0 }, total);
        in_memory
    }

    /// The gathered records were appended, the first of them at `first`.
    pub fn appended(&mut self, to: Slot, first: Position) {
        let Some(pair) = self.pairs.get_mut(&to) else { return };
        for waiting in pair.rest.iter_mut().rev() {
            let RecordAt::Gathered(index) = waiting.record else { break };
            waiting.record = RecordAt::Log(Position(first.0 + index));
        }
    }

    /// What may leave now to this slot.
    pub fn pump(&mut self, to: Slot, mut out: impl FnMut(Message)) {
        if let Some(pair) = self.pairs.get_mut(&to)
            && !pair.held
        {
            while let Some(next) = pair.queue.get(pair.sent) {
                out(next.message.clone());
                pair.sent += 1;
            }
        }
    }

    /// What has to be read from the log for this slot, now that there is room for it.
    pub fn fetch(&mut self, to: Slot, total: &Total) -> Option<Fetch> {
        let pressure = self.pressure(total);
        let pair = self.pairs.get_mut(&to)?;
        let room = pair.room(pressure);
        if pair.held || pair.fetching.is_some() || room <= pair.queue.len() {
            return None;
        }
        let places = pair.rest.iter().take(room.min(FETCH)).map_while(|waiting| match waiting.record {
            RecordAt::Log(position) => Some((position, waiting.place)),
            RecordAt::Gathered(_) => None,
        });
        let places: Vec<_> = places.collect();
        pair.fetching = places.first().map(|(position, _)| *position);
        let bytes = if pressure < BYTES { BYTES } else { LARGE };
        pair.fetching.is_some().then_some(Fetch { to, places, bytes })
    }

    /// They were read. Fewer may come than were asked for.
    pub fn fetched(&mut self, to: Slot, messages: Vec<(Message, usize)>, total: &mut Total) {
        let Some(pair) = self.pairs.get_mut(&to) else { return };
        pair.fetching = None;
        for (message, bytes) in messages {
            // Those before it have been taken meanwhile.
            if pair.rest.pop_front_if(|waiting| waiting.place == message.place).is_some() {
                pair.bytes += bytes;
                pair.queue.push_back(InMemory { message, bytes });
                (self.bytes, total.bytes) = (self.bytes + bytes, total.bytes + bytes);
            }
        }
        self.forget_empty(to);
    }

    fn forget_empty(&mut self, to: Slot) {
        if self.pairs.get(&to).is_some_and(|pair| pair.is_empty() && pair.fetching.is_none()) {
            self.pairs.remove(&to);
        }
    }

    /// What a receiver said. Whether messages to it may leave now.
    pub fn taken(&mut self, taken: Taken, total: &mut Total) -> bool {
        let Some(pair) = self.pairs.get_mut(&taken.to) else { return false };
        match taken.verdict {
            Verdict::Refused => {
                pair.held = true;
                return false;
            }
            // Those behind the first one out of order say so too: once is enough.
            Verdict::Behind if pair.held => return false,
            Verdict::Behind => (pair.sent, pair.held) = (0, true),
            Verdict::Room => {
                let goes_on = pair.held;
                (pair.sent, pair.held) = if goes_on { (0, false) } else { (pair.sent, false) };
                return goes_on;
            }
            Verdict::Done => {}
        }
        if self.drop_until(taken.to, taken.seen, total) {
            self.trims.insert(taken.to, taken.seen);
        }
        taken.verdict == Verdict::Done
    }

    /// Everything of these goes again. The answer is to which slots there is something.
    pub fn again(&mut self, which: Again) -> Vec<Slot> {
        let mut found = Vec::new();
        for (to, pair) in &mut self.pairs {
            let is_meant = match which {
                Again::Held => pair.held,
                Again::All => true,
                Again::To(slots) => slots.binary_search(to).is_ok(),
            };
            if is_meant && !broken::is(Broken::NeverResent) {
                (pair.sent, pair.held) = (0, false);
                if !pair.is_empty() {
                    found.push(*to);
                }
            }
        }
        found
    }

    pub fn has_trims(&self) -> bool {
        !self.trims.is_empty()
    }

    /// What the next record says to be taken: no more than fits beside anything else.
    pub fn next_trims(&self) -> Trims<'_> {
        self.trims.iter().take(TRIMS_MAX)
    }

    /// A record has said `next_trims`.
    pub fn trims_said(&mut self) {
        for _ in 0..TRIMS_MAX {
            if self.trims.pop_first().is_none() {
                return;
            }
        }
    }

    /// The receiver has all up to here. Whether there was anything of it.
    pub fn drop_until(&mut self, to: Slot, seen: Place, total: &mut Total) -> bool {
        let Some(pair) = self.pairs.get_mut(&to) else { return false };
        let (mut gone, mut bytes) = (0, 0);
        while let Some(taken) = pair.queue.pop_front_if(|waiting| waiting.message.place <= seen) {
            bytes += taken.bytes;
            pair.sent = pair.sent.saturating_sub(1);
            gone += 1;
        }
        pair.bytes -= bytes;
        while pair.rest.pop_front_if(|waiting| waiting.place <= seen).is_some() {
            gone += 1;
        }
        (self.waiting, self.bytes) = (self.waiting - gone, self.bytes - bytes);
        (total.waiting, total.bytes) = (total.waiting - gone, total.bytes - bytes);
        self.forget_empty(to);
        gone > 0
    }
}

impl Pair {
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.rest.is_empty()
    }

    /// How many more may be in memory.
    fn room(&self, bytes: usize) -> usize {
        let most = match bytes {
            ..BYTES => HEAD,
            _ if self.bytes < LARGE => LEAST,
            _ => 1,
        };
        most.saturating_sub(self.queue.len())
    }
}

#[cfg(test)]
mod tests;
