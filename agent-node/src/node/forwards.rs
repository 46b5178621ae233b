//! Commands on their way to other nodes: decides what is sent to whom, again after a broken connection, and what is
//! answered when no owner is found.
//!
//! *Guarantees.* Commands of one stream and slot are sent in order, and after one that was not admitted none that
//! follows it is. A command that may have been admitted is only ever sent again with the same key. It is answered
//! once: with what the owner said, or with 503 when no owner could be asked for [`WAIT_MS`], `outcome unknown` if it
//! had been sent. *Assumptions.* An owner answers in any order, but admits one node's commands in the order in which
//! they came. Times come in milliseconds and do not go back.

mod line;
mod of_slot;

use crate::done::End;
use crate::holds::Holds;
use crate::link::Owner;
use crate::peer::Forward;
use crate::refusal::{Fate, Refusal};
use crate::shard::{Command, Stream};
use hashbrown::HashMap;
use line::{Entry, Line, Progress};
use of_slot::OfSlot;
use proto::address::Slot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a command waits for an owner that can be asked.
pub const WAIT_MS: u64 = 2_000;
/// The most commands for one owner.
const COMMANDS_MAX: usize = 16_384;
const BYTES_MAX: usize = 32 << 20;
/// After an owner has said that it is none.
const AGAIN_MS: u64 = 50;

/// Where an answer goes, with the command's id.
pub type Answer<R> = (R, u64, End);

#[derive(Debug)]
pub struct Forwards<R> {
    /// The name under which this node gives keys to commands that have none.
    client: Arc<str>,
    owners: Arc<[Owner]>,
    lines: BTreeMap<u16, Line<R>>,
    slots: HashMap<Slot, OfSlot>,
    holds: Holds,
}

/// The nodes that have something to send which they did not have before, or could not send: their streams are woken.
#[derive(Debug, Default)]
pub struct Due(Vec<u16>);

impl Due {
    fn add(&mut self, node: u16) {
        if !self.0.contains(&node) {
            self.0.push(node);
        }
    }

    pub fn nodes(&self) -> &[u16] {
        &self.0
    }
}

/// What follows from a change. All that changes something adds to it, and only who has done it has done with the
/// change: an answer that is kept or a stream that sleeps over something is a client that waits.
#[must_use = "clients wait for the answers, and streams to be woken"]
#[derive(Debug)]
pub struct Outcome<R> {
    pub answers: Vec<Answer<R>>,
    pub due: Due,
}

impl<R> Default for Outcome<R> {
    fn default() -> Self {
        Outcome { answers: Vec::new(), due: Due::default() }
    }
}

impl<R> Forwards<R> {
    pub fn new(client: &str) -> Self {
        Self {
            client: client.into(),
            owners: Arc::new([]),
            lines: BTreeMap::new(),
            slots: HashMap::new(),
            holds: Holds::default(),
        }
    }

    /// Takes a command over, or answers why not.
    pub fn submit(&mut self, command: Command<R>, owner: u16, now_ms: u64, out: &mut Outcome<R>) {
        let (stream, slot) = (command.stream, command.slot);
        if let Some(refusal) = self.holds.of(stream, slot) {
            return out.answers.push((command.reply, command.id, Err(refusal.clone())));
        }
        let of_slot = self.slots.entry(slot).or_default();
        let owner = if of_slot.is_settled() { owner } else { of_slot.line() };
        let line = self.lines.entry(owner).or_default();
        if line.count >= COMMANDS_MAX || line.bytes + command.body.len() > BYTES_MAX {
            let refusal = Refusal::full("too many commands wait for the owner", command.agent.as_str());
            self.holds.note(stream, slot, &refusal);
            return out.answers.push((command.reply, command.id, Err(refusal)));
        }
        of_slot.submitted(owner);
        if !of_slot.is_paused() {
            out.due.add(owner);
        }
        line.push(Entry {
            command,
            own: None,
            since_ms: now_ms,
            state: Progress::Waiting,
            doubtful: false,
            given_up: None,
            forgotten: false,
        });
    }

    /// Gives `send` what goes to this node next, for as long as it says that there is room. True: there may be more.
    pub fn send_to(&mut self, owner: u16, mut send: impl FnMut(Forward) -> bool) -> bool {
        let Some(line) = self.lines.get_mut(&owner).filter(|line| line.connected) else { return false };
        let (mut id, mut skipped) = (line.next, None);
        let mut room = true;
        while room && id < line.end() {
            let place = id;
            id += 1;
            let Some(entry) = line.get_mut(place).filter(|entry| entry.state == Progress::Waiting) else {
                continue;
            };
            let Some(of_slot) = self.slots.get_mut(&entry.command.slot) else { continue };
            match entry.key_now(of_slot, &self.client) {
                None => {
                    skipped.get_or_insert(place);
                }
                Some(key) => {
                    entry.state = Progress::Sent;
                    room = send(entry.forward(place, key, of_slot.sent()));
                }
            }
        }
        line.next = skipped.unwrap_or(id);
        !room
    }

    /// The owner's answer to what it was sent as `id`.
    pub fn settled(&mut self, owner: u16, id: u64, end: End, now_ms: u64, out: &mut Outcome<R>) {
        let Some(line) = self.lines.get_mut(&owner) else { return };
        let Some(entry) = line.get_mut(id).filter(|entry| entry.state == Progress::Sent) else { return };
        let (stream, slot) = (entry.command.stream, entry.command.slot);
        let Some(of_slot) = self.slots.get_mut(&slot) else { return };
        of_slot.answered();
        match end {
            // Nobody waits for it, and nothing comes after it that would have to be held back.
            end if entry.forgotten => line.settle(id, of_slot, end, out),
            Err(refusal) if refusal.fate() == Fate::Elsewhere && entry.given_up.is_none() => {
                entry.state = Progress::Waiting;
                of_slot.pause(now_ms + AGAIN_MS);
                line.next = line.next.min(id);
            }
            Err(refusal) if refusal.fate() != Fate::Final => {
                let refusal = entry.given_up.clone().unwrap_or(refusal);
                let end = Err(entry.not_now(refusal.clone()));
                line.settle(id, of_slot, end, out);
                if self.holds.note(stream, slot, &refusal) {
                    line.hold(id, stream, slot, &refusal, of_slot, out);
                }
            }
            Err(refusal) if refusal.is_of_repeat() && entry.own.is_some() => {
                let text = "the node that owns the agent no longer remembers this command";
                let refusal = Refusal::unknown(text, refusal.at);
                line.settle(id, of_slot, Err(refusal), out);
            }
            end => line.settle(id, of_slot, end, out),
        }
        of_slot.look_at_pause(now_ms, &mut out.due);
        if !of_slot.is_under_way() && self.moved(slot) {
            self.look_up(slot, out);
        }
    }

    /// A new connection: everything unanswered goes again, the oldest first.
    pub fn connected(&mut self, owner: u16, out: &mut Outcome<R>) {
        self.lines.entry(owner).or_default().connected = true;
        out.due.add(owner);
    }

    pub fn disconnected(&mut self, owner: u16, out: &mut Outcome<R>) {
        let Some(line) = self.lines.get_mut(&owner) else { return };
        line.disconnect(&mut self.slots, out);
        let here = |of_slot: &OfSlot| !of_slot.is_settled() && of_slot.line() == owner;
        let slots: Vec<Slot> =
            self.slots.iter().filter(|(_, of_slot)| here(of_slot)).map(|(slot, _)| *slot).collect();
        for slot in slots {
            self.look_up(slot, out);
        }
    }

    /// Follows a new ring. What was sent stays where it is until it is answered.
    pub fn ring(&mut self, owners: Arc<[Owner]>, out: &mut Outcome<R>) {
        self.owners = owners;
        let slots: Vec<Slot> = self.slots.keys().copied().filter(|slot| self.moved(*slot)).collect();
        for slot in slots {
            self.look_up(slot, out);
        }
    }

    /// Answers what has waited too long, and lets go on what has paused long enough.
    pub fn tick(&mut self, now_ms: u64, out: &mut Outcome<R>) {
        for of_slot in self.slots.values_mut() {
            of_slot.look_at_pause(now_ms, &mut out.due);
        }
        for line in self.lines.values_mut() {
            for id in line.late(now_ms, &self.slots) {
                let Some(entry) = line.get_mut(id) else { continue };
                let (stream, slot) = (entry.command.stream, entry.command.slot);
                let refusal = Refusal::unavailable("no owner could be reached", entry.command.agent.as_str());
                let Some(of_slot) = self.slots.get_mut(&slot) else { continue };
                let end = Err(entry.not_now(refusal.clone()));
                line.settle(id, of_slot, end, out);
                if self.holds.note(stream, slot, &refusal) {
                    line.hold(id, stream, slot, &refusal, of_slot, out);
                }
            }
        }
    }

    /// A client's stream is over. What it had not sent yet is not sent any more.
    pub fn ended(&mut self, stream: Stream, out: &mut Outcome<R>) {
        self.holds.ended(stream);
        for line in self.lines.values_mut() {
            line.forget(stream, &mut self.slots, out);
        }
    }

    /// How many are unanswered.
    pub fn count(&self) -> usize {
        self.lines.values().map(|line| line.count).sum()
    }

    /// In how many slots a stream is held back.
    pub fn held(&self) -> usize {
        self.holds.len()
    }

    fn owner(&self, slot: Slot) -> Owner {
        self.owners.get(usize::from(slot)).copied().unwrap_or(Owner::Nobody)
    }

    fn moved(&self, slot: Slot) -> bool {
        let of_slot = &self.slots[&slot];
        !of_slot.is_settled() && self.owner(slot) != Owner::Node(of_slot.line())
    }

    /// Gives what waits for a slot to its owner of now, if nothing is on the way to the one before.
    fn look_up(&mut self, slot: Slot, out: &mut Outcome<R>) {
        let owner = self.owner(slot);
        let Some(of_slot) = self.slots.get_mut(&slot) else { return };
        if owner == Owner::Node(of_slot.line()) {
            return;
        }
        if of_slot.is_under_way() {
            return of_slot.pause(0);
        }
        let Some(line) = self.lines.get_mut(&of_slot.line()) else { return };
        let entries = line.extract(slot);
        let Owner::Node(owner) = owner else {
            // It came here, where what follows is admitted at once: what waited would come too late.
            of_slot.go_on(&mut out.due);
            for entry in entries {
                of_slot.settled(entry.own, &mut out.due);
                let refusal = Refusal::unavailable("the slot has moved", entry.command.agent.as_str());
                self.holds.note(entry.command.stream, slot, &refusal);
                let end = Err(entry.not_now(refusal));
                out.answers.push((entry.command.reply, entry.command.id, end));
            }
            return;
        };
        of_slot.move_to(owner, &mut out.due);
        let line = self.lines.entry(owner).or_default();
        for entry in entries {
            line.push(entry);
        }
    }
}

#[cfg(test)]
mod tests;
