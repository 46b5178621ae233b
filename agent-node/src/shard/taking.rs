//! Taking snapshots of slots, a piece at a time, while they go on.
//!
//! *Guarantees*: a snapshot is its slot as it was after one record. What is not of agents is written at once; then the
//! agents are walked, and one that is about to change before its turn is written first. A large map is not walked with its
//! agent: its root is kept, which stays as it is, and comes at the end. One turn gives no more than it is told to, but
//! for what a slot remembers of clients and other slots. *Assumptions*: a turn comes when all records are appended.

use super::agents::Agents;
use super::codec::{place, varint};
use super::saved::{self, GOES_ON, tag};
use super::slot::Slot;
use super::{Shard, agent::Agent};
use crate::map::{Map, Stamp};
use crate::snapshot::{BYTES_MAX, Begin, Given, Piece, Tag};
use proto::address::{self, Address};
use proto::plan::LaneId;
use proto::value::Value;
use std::collections::VecDeque;

/// So many agents are looked at in one turn.
const AGENTS: u32 = 1_024;

/// The snapshots that were asked for last.
#[derive(Debug, Default)]
pub struct Taking {
    pub round: u64,
    /// Slots whose turn has not come.
    slots: VecDeque<address::Slot>,
    walk: Option<Walk>,
}

/// A slot that is being walked.
#[derive(Debug)]
struct Walk {
    slot: address::Slot,
    pieces: Pieces,
    /// So many agents were there when it began, and so many have had their turn.
    agents: u32,
    next: u32,
    /// Those that were written before their turn, a bit for each.
    early: Vec<u64>,
    /// Maps that come by themselves, and what of the first is next.
    large: VecDeque<(Address, LaneId, Map)>,
    part: Part,
}

/// What of a map is next: what comes after this key.
#[derive(Debug, PartialEq)]
enum Part {
    Head,
    Entries(Option<Value>),
    Removed(Option<Value>),
}

/// Sections that are being filled.
#[derive(Debug)]
struct Pieces {
    slot: address::Slot,
    tag: Tag,
    bytes: Vec<u8>,
    /// Those that are full.
    out: Vec<Given>,
    /// Bytes that were written since this was looked at.
    written: usize,
}

impl<R: Clone, W: Clone + Eq> Shard<R, W> {
    /// Snapshots of these slots are wanted, and of no others any more.
    pub(super) fn take_snapshots(&mut self, round: u64, slots: Vec<address::Slot>) {
        self.taking = Taking { round, slots: slots.into(), walk: None };
    }

    /// The round that pieces belong to, while there are some to give.
    pub fn takes_snapshots(&self) -> Option<u64> {
        (self.taking.walk.is_some() || !self.taking.slots.is_empty()).then_some(self.taking.round)
    }

    /// Adds about so many bytes of pieces. All records have been appended.
    pub fn walk(&mut self, bytes: usize, out: &mut Vec<Given>) {
        let mut left = bytes;
        while left > 0 {
            let Some(walk) = &mut self.taking.walk else {
                let Some(slot) = self.taking.slots.pop_front() else { return };
                self.taking.walk = self.begin_walk(slot, out);
                continue;
            };
            let slot = self.slots[usize::from(walk.slot)].as_ref();
            let Slot { agents, .. } = &**slot.expect("a slot that is walked is there");
            let is_whole = walk.step(agents, left);
            left = left.saturating_sub(std::mem::take(&mut walk.pieces.written).max(1));
            out.append(&mut walk.pieces.out);
            if is_whole {
                out.push(Given { slot: walk.slot, piece: Piece::End });
                self.taking.walk = None;
            }
        }
    }

    /// Writes what is not of agents. `None`: there is nothing of this slot.
    fn begin_walk(&self, id: address::Slot, out: &mut Vec<Given>) -> Option<Walk> {
        let slot = self.slots.get(usize::from(id)).and_then(Option::as_ref);
        let Some(slot) = slot.filter(|slot| slot.numbers.lsn > 0) else {
            out.push(Given { slot: id, piece: Piece::End });
            return None;
        };
        let Slot { numbers, agents, outbox, seen, timers, recent } = &**slot;
        let begin = Begin {
            history: numbers.history,
            lsn: numbers.lsn,
            end: numbers.end,
            time_ms: numbers.time_ms,
            generation: self.configuration.as_ref().map_or(0, |configuration| configuration.generation),
            terms: numbers.terms.clone(),
            pin: outbox.first_in_log(),
        };
        out.push(Given { slot: id, piece: Piece::Begin(begin) });
        let mut pieces = Pieces { slot: id, tag: tag::SEEN, bytes: Vec::new(), out: Vec::new(), written: 0 };
        let mut seen: Vec<_> = seen.iter().collect();
        seen.sort_unstable_by_key(|(from, _)| **from);
        for (from, seen) in seen {
            pieces.item(tag::SEEN, |out| {
                varint((*from).into(), out);
                place(*seen, out);
            });
        }
        outbox.encode(|item| pieces.item(tag::OUTBOX, item));
        self.names.encode(id, |item| pieces.item(tag::NAMES, item));
        for timer in timers.all() {
            let address = agents.get(timer.agent).0;
            pieces.item(tag::TIMERS, |out| saved::timer(address, &timer, out));
        }
        for (lsn, time_ms) in timers.marks().all() {
            pieces.item(tag::TIMES, |out| {
                varint(*lsn, out);
                varint(*time_ms, out);
            });
        }
        pieces.item(tag::RECENT_FROM, |out| varint(recent.from(), out));
        recent.encode(|item| pieces.item(tag::RECENT, item));
        let early = vec![0; agents.len().div_ceil(64) as usize];
        let (agents, large) = (agents.len(), VecDeque::new());
        Some(Walk { slot: id, pieces, agents, next: 0, early, large, part: Part::Head })
    }
}

impl Taking {
    /// An agent is about to change.
    pub fn before_change(&mut self, slot: address::Slot, place: u32, agents: &Agents) {
        if let Some(walk) = &mut self.walk
            && walk.slot == slot
            && (walk.next..walk.agents).contains(&place)
            && !walk.is_early(place)
        {
            walk.early[place as usize / 64] |= 1 << (place % 64);
            let (address, agent) = agents.get(place);
            walk.write(address, agent);
        }
    }
}

impl Walk {
    fn is_early(&self, place: u32) -> bool {
        self.early[place as usize / 64] & 1 << (place % 64) != 0
    }

    fn write(&mut self, address: &Address, agent: &Agent) {
        let Walk { pieces, large, .. } = self;
        pieces.item(tag::AGENTS, |out| {
            saved::agent(address, agent, out, |lane, map| {
                large.push_back((address.clone(), lane, map.clone()));
            });
        });
    }

    /// Goes on for so many bytes, or some agents. True: all was written.
    fn step(&mut self, agents: &Agents, bytes: usize) -> bool {
        let until = self.agents.min(self.next.saturating_add(AGENTS));
        while self.next < until && self.pieces.written < bytes {
            if !self.is_early(self.next) {
                let (address, agent) = agents.get(self.next);
                self.write(address, agent);
            }
            self.next += 1;
        }
        self.next == self.agents && self.pieces.written < bytes && self.step_large(bytes)
    }

    /// The maps that come by themselves: what each begins with, its entries, its tombstones.
    fn step_large(&mut self, bytes: usize) -> bool {
        while let Some((address, lane, map)) = self.large.front() {
            if self.part == Part::Head {
                self.pieces.item(tag::MAP, |out| saved::large_map(address, *lane, map, out));
                self.part = Part::Entries(None);
            }
            if let Part::Entries(at) = &self.part {
                for (key, entry) in map.after(at.as_ref()) {
                    self.pieces.item(tag::ENTRIES, |out| saved::entry(key, entry, out));
                    if self.pieces.written >= bytes {
                        self.part = Part::Entries(Some(key.clone()));
                        return false;
                    }
                }
                self.part = Part::Removed(None);
            }
            if let Part::Removed(at) = &self.part {
                let mut last = None;
                for (key, stamp) in map.removed(at.as_ref(), Stamp::default()) {
                    self.pieces.item(tag::REMOVED, |out| saved::removed(key, stamp, out));
                    if self.pieces.written >= bytes {
                        last = Some(key.clone());
                        break;
                    }
                }
                if last.is_some() {
                    self.part = Part::Removed(last);
                    return false;
                }
            }
            self.large.pop_front();
            self.part = Part::Head;
        }
        self.pieces.cut();
        true
    }
}

impl Pieces {
    /// An item of a section. It never stands in two pieces but where it is longer than one.
    fn item(&mut self, tag: Tag, write: impl FnOnce(&mut Vec<u8>)) {
        if tag != self.tag {
            self.cut();
            self.tag = tag;
        }
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.written += self.bytes.len() - start;
        if self.bytes.len() > BYTES_MAX && start > 0 {
            let item = self.bytes.split_off(start);
            self.cut();
            self.bytes = item;
        }
        while self.bytes.len() > BYTES_MAX {
            let rest = self.bytes.split_off(BYTES_MAX);
            let begun = std::mem::replace(&mut self.bytes, rest);
            self.give(Tag(tag.0 | GOES_ON), begun);
            if self.bytes.len() <= BYTES_MAX {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if !self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            self.give(self.tag, bytes);
        }
    }

    fn give(&mut self, tag: Tag, bytes: Vec<u8>) {
        self.out.push(Given { slot: self.slot, piece: Piece::Section(tag, bytes) });
    }
}
