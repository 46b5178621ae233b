//! The unanswered commands to one node, in order.

use super::of_slot::OfSlot;
use super::{Outcome, WAIT_MS};
use crate::broken::{self, Broken};
use crate::done::End;
use crate::peer::Forward;
use crate::refusal::Refusal;
use crate::shard::{Command, Key, Stream};
use hashbrown::HashMap;
use proto::address::Slot;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug)]
pub struct Line<R> {
    pub connected: bool,
    /// The number of the first entry. Numbers go to the owner as ids.
    first: u64,
    entries: VecDeque<Option<Entry<R>>>,
    /// None before this waits.
    pub next: u64,
    pub count: usize,
    pub bytes: usize,
}

#[derive(Debug)]
pub struct Entry<R> {
    pub command: Command<R>,
    /// The sequence of this node's own key, once it has one.
    pub own: Option<u64>,
    pub since_ms: u64,
    pub state: Progress,
    /// It was on its way when a connection broke.
    pub doubtful: bool,
    /// One before it of its stream and slot was not admitted: it is not sent again.
    pub given_up: Option<Refusal>,
    /// Its stream is over.
    pub forgotten: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Waiting,
    Sent,
}

impl<R> Default for Line<R> {
    fn default() -> Self {
        Self { connected: false, first: 0, entries: VecDeque::new(), next: 0, count: 0, bytes: 0 }
    }
}

impl<R> Entry<R> {
    /// The key to go out with, or `None` if it has to wait.
    pub fn key_now(&mut self, of_slot: &mut OfSlot, client: &Arc<str>) -> Option<Key> {
        if of_slot.is_paused() {
            return None;
        }
        if let Some(key) = &self.command.key {
            return Some(key.clone());
        }
        if self.own.is_none() {
            self.own = of_slot.next_own();
        }
        self.own.map(|sequence| (client.clone(), sequence))
    }

    pub fn forward(&self, id: u64, key: Key, again: bool) -> Forward {
        let Command { reply: _, id: _, stream, slot, agent, lane, body, key: _ } = &self.command;
        let (agent, lane, body) = (agent.clone(), lane.clone(), body.clone());
        Forward {
            command: Command { reply: (), id, stream: *stream, slot: *slot, agent, lane, body, key },
            again,
        }
    }

    /// A refusal says `not done` only of what can't have been done by an earlier try.
    pub fn not_now(&self, refusal: Refusal) -> Refusal {
        if self.doubtful { Refusal::unknown(refusal.error, refusal.at) } else { refusal }
    }
}

impl<R> Line<R> {
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub fn push(&mut self, entry: Entry<R>) {
        self.count += 1;
        self.bytes += entry.command.body.len();
        self.entries.push_back(Some(entry));
    }

    pub fn get_mut(&mut self, id: u64) -> Option<&mut Entry<R>> {
        let place = id.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(place).ok()?)?.as_mut()
    }

    /// Answers one for good.
    pub fn settle(&mut self, id: u64, of_slot: &mut OfSlot, end: End, out: &mut Outcome<R>) {
        let Some(entry) = self.remove(id) else { return };
        of_slot.settled(entry.own, &mut out.due);
        if !entry.forgotten {
            out.answers.push((entry.command.reply, entry.command.id, end));
        }
    }

    /// A command was not admitted: none that follows it on its stream to its slot is. What is on its way will be
    /// refused by the owner too.
    pub fn hold(
        &mut self,
        after: u64,
        stream: Stream,
        slot: Slot,
        refusal: &Refusal,
        of_slot: &mut OfSlot,
        out: &mut Outcome<R>,
    ) {
        for id in after.max(self.first)..self.end() {
            let same = |entry: &&mut Entry<R>| entry.command.stream == stream && entry.command.slot == slot;
            let Some(entry) = self.get_mut(id).filter(same) else { continue };
            if entry.state == Progress::Sent {
                entry.given_up = Some(refusal.clone());
            } else {
                let end = Err(entry.not_now(refusal.clone()));
                self.settle(id, of_slot, end, out);
            }
        }
    }

    /// What is on its way may or may not have been admitted. It is forgotten if nobody waits for it any more.
    pub fn disconnect(&mut self, slots: &mut HashMap<Slot, OfSlot>, out: &mut Outcome<R>) {
        self.connected = false;
        for id in self.first..self.end() {
            let Some(entry) = self.get_mut(id) else { continue };
            let Some(of_slot) = slots.get_mut(&entry.command.slot) else { continue };
            of_slot.disconnected();
            let sent = std::mem::replace(&mut entry.state, Progress::Waiting) == Progress::Sent;
            if broken::is(Broken::OtherNumber) {
                entry.own = None;
            }
            if let Some(refusal) = entry.given_up.take() {
                let end = Err(entry.not_now(refusal));
                self.settle(id, of_slot, end, out);
            } else if entry.forgotten {
                self.settle(id, of_slot, Err(stream_ended()), out);
            } else {
                entry.doubtful |= sent;
            }
        }
        self.next = self.first;
    }

    /// Those that wait, not by the owner's slowness, for longer than they may.
    pub fn late(&self, now_ms: u64, slots: &HashMap<Slot, OfSlot>) -> Vec<u64> {
        let stuck = |entry: &Entry<R>| {
            let of_slot = slots.get(&entry.command.slot);
            let none = of_slot.is_some_and(OfSlot::waits_for_owner);
            entry.state == Progress::Waiting
                && now_ms >= entry.since_ms + WAIT_MS
                && (!self.connected || none)
        };
        let entries = (self.first..).zip(&self.entries);
        entries.filter(|(_, entry)| entry.as_ref().is_some_and(stuck)).map(|(id, _)| id).collect()
    }

    pub fn forget(&mut self, stream: Stream, slots: &mut HashMap<Slot, OfSlot>, out: &mut Outcome<R>) {
        for id in self.first..self.end() {
            let Some(entry) = self.get_mut(id).filter(|entry| entry.command.stream == stream) else {
                continue;
            };
            entry.forgotten = true;
            if entry.state == Progress::Waiting
                && let Some(of_slot) = slots.get_mut(&entry.command.slot)
            {
                self.settle(id, of_slot, Err(stream_ended()), out);
            }
        }
    }

    /// Takes out what waits for a slot.
    pub fn extract(&mut self, slot: Slot) -> Vec<Entry<R>> {
        let mut out = Vec::new();
        for id in self.first..self.end() {
            if self
                .get_mut(id)
                .is_some_and(|entry| entry.command.slot == slot && entry.state == Progress::Waiting)
            {
                out.extend(self.remove(id));
            }
        }
        out
    }

    fn remove(&mut self, id: u64) -> Option<Entry<R>> {
        let place = usize::try_from(id.checked_sub(self.first)?).ok()?;
        let entry = self.entries.get_mut(place)?.take()?;
        self.count -= 1;
        self.bytes -= entry.command.body.len();
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
        }
        self.next = self.next.max(self.first);
        Some(entry)
    }
}

fn stream_ended() -> Refusal {
    Refusal::unknown("the client's stream ended before this command was answered", "")
}
