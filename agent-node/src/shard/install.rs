//! Bringing a slot in from a snapshot, before anything else happens to it.

use super::Shard;
use super::codec::Reader;
use super::recent::Recent;
use super::saved::{self, Reading, goes_on, tag};
use super::slot::Slot;
use super::timers::Timer;
use crate::snapshot::{Begin, Tag};
use proto::address::{self, Address};
use proto::plan::{LaneId, Plan};

/// A slot that is being brought in.
#[derive(Debug)]
pub struct Installing {
    id: address::Slot,
    /// An item that goes on in the next section.
    begun: Vec<u8>,
    /// The slot of the pair that the messages belong to.
    to: Option<address::Slot>,
    map: Option<(Address, LaneId, Reading)>,
    /// They are set when their agents have come.
    timers: Vec<(Address, Timer)>,
}

impl<R: Clone, W: Clone + Eq> Shard<R, W> {
    /// The plan that agents will most likely be seen with: those that are brought in are laid out for it.
    pub fn expect(&mut self, plan: &Plan) {
        self.layouts.change(plan);
    }

    /// A snapshot of a slot begins, which takes the place of what is known of the slot.
    pub fn install_begin(&mut self, id: address::Slot, begin: &Begin) {
        self.drop_slot(id);
        let numbers = &mut self.slot(id).numbers;
        numbers.lsn = begin.lsn;
        numbers.history = begin.history;
        numbers.time_ms = begin.time_ms;
        numbers.terms.clone_from(&begin.terms);
        // Unless it says what it has of them.
        let version = numbers.version();
        self.slot(id).recent = Recent::begin(version);
        self.installing = Some(Installing { id, begun: Vec::new(), to: None, map: None, timers: Vec::new() });
    }

    /// Nothing of a slot is here any more.
    pub fn drop_slot(&mut self, id: address::Slot) {
        if let Some(dropped) = self.slots.get_mut(usize::from(id)).and_then(Option::take) {
            self.due.lose(id, &dropped.timers);
            self.outboxes.lose(&dropped.outbox);
        }
        self.names.drop_slot(id);
        self.installing = None;
    }

    /// The next section of it.
    pub fn install_section(&mut self, tag: Tag, bytes: &[u8]) -> Result<(), String> {
        let mut installing = self.installing.take().ok_or("a section of a snapshot that has not begun")?;
        let (tag, more) = goes_on(tag);
        let done = if more || !installing.begun.is_empty() {
            installing.begun.extend_from_slice(bytes);
            if more {
                self.installing = Some(installing);
                return Ok(());
            }
            let whole = std::mem::take(&mut installing.begun);
            self.install(&mut installing, tag, Reader::new(&whole))
        } else {
            self.install(&mut installing, tag, Reader::new(bytes))
        };
        self.installing = Some(installing);
        done.map_err(|why| format!("section {} of the snapshot is broken: {why}", tag.0))
    }

    /// All of it has come.
    pub fn install_end(&mut self) -> Result<(), String> {
        let Some(mut installing) = self.installing.take() else { return Ok(()) };
        if !installing.begun.is_empty() {
            return Err("the snapshot ends too early".into());
        }
        self.install_map(&mut installing);
        let Some(Some(slot)) = self.slots.get_mut(usize::from(installing.id)) else { return Ok(()) };
        for (address, timer) in installing.timers {
            let agent = slot.agents.find(&address).ok_or("a timer of an agent that is not there")?;
            slot.timers.set(&Timer { agent, ..timer });
        }
        self.due.gain(&slot.timers);
        Ok(())
    }

    fn install(
        &mut self,
        installing: &mut Installing,
        tag: Tag,
        mut items: Reader,
    ) -> Result<(), super::codec::Broken> {
        if tag != tag::ENTRIES && tag != tag::REMOVED {
            self.install_map(installing);
        }
        let id = installing.id;
        let Some(Some(slot)) = self.slots.get_mut(usize::from(id)) else {
            return Err("the slot is gone");
        };
        let Slot { agents, outbox, seen, timers, recent, .. } = &mut **slot;
        while !items.is_empty() {
            match tag {
                tag::SEEN => drop(seen.insert(items.slot()?, items.place()?)),
                tag::OUTBOX => outbox.decode(id, &mut installing.to, &mut items, &mut self.outboxes)?,
                tag::NAMES => self.names.decode(id, &mut items)?,
                tag::AGENTS => saved::read_agent(&mut items, |address, state| {
                    let lane = state.as_ref().map(|(id, _)| *id);
                    let agent = agents.get_or_add(Address::trusted(address), || self.layouts.begin(lane));
                    if let Some((id, state)) = state {
                        *agent.lane(id) = state;
                    }
                })?,
                tag::TIMES => timers.marks_mut().add(items.varint()?, items.varint()?),
                tag::TIMERS => installing.timers.push(saved::read_timer(&mut items)?),
                tag::RECENT_FROM => *recent = Recent::begin(items.varint()?),
                tag::RECENT => recent.decode(&mut items)?,
                tag::MAP => installing.map = Some(saved::read_large_map(&mut items)?),
                tag::ENTRIES | tag::REMOVED => {
                    let (_, _, reading) = installing.map.as_mut().ok_or("entries without a map")?;
                    let read = if tag == tag::ENTRIES { saved::read_entry } else { saved::read_removed };
                    read(&mut items, reading)?;
                }
                _ if tag.may_be_skipped() => return Ok(()),
                _ => return Err("this version does not know it"),
            }
        }
        Ok(())
    }

    /// The map that came by itself is whole.
    fn install_map(&mut self, installing: &mut Installing) {
        let Some((address, lane, reading)) = installing.map.take() else { return };
        let layouts = &self.layouts;
        if let Some(Some(slot)) = self.slots.get_mut(usize::from(installing.id)) {
            let agent = slot.agents.get_or_add(address, || layouts.begin(Some(lane)));
            *agent.lane(lane) = super::lane::LaneState::Map(Box::new(reading.whole()));
        }
    }
}
