//! Commands on their way to other nodes: decides what is sent to whom, again after a broken connection, and what is
//! answered when no owner is found.
//!
//! *Guarantees.* Commands of one stream and slot are sent in order, and after one that was not admitted none that
//! follows it is. A command that may have been admitted is only ever sent again with the same key. It is answered
//! once: with what the owner said, or with 503 when no owner could be asked for [`WAIT_MS`], `outcome unknown` if it
//! had been sent. *Assumptions.* An owner answers in any order, but admits one node's commands in the order in which
//! they came. Times come in milliseconds and do not go back.

mod line;

use crate::holds::Holds;
use crate::link::Owner;
use crate::peer::Forward;
use crate::refusal::{Fate, Refusal};
use crate::shard::{Command, Stream};
use hashbrown::HashMap;
use line::{Entry, Line, Progress};
use proto::address::Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long a command waits for an owner that can be asked.
pub const WAIT_MS: u64 = 2_000;
/// The most commands for one owner.
const COMMANDS_MAX: usize = 16_384;
const BYTES_MAX: usize = 32 << 20;
/// A sequence is never this far above the oldest unanswered one of its slot: the owner remembers the highest 1,024.
const AHEAD_MAX: u64 = 1_000;
/// After an owner has said that it is none.
const AGAIN_MS: u64 = 50;

/// Where an answer goes, with the command's id.
pub type Answer<R> = (R, u64, Result<u64, Refusal>);

#[derive(Debug)]
pub struct Forwards<R> {
    /// The name under which this node gives keys to commands that have none.
    client: Arc<str>,
    owners: Arc<[Owner]>,
    lines: BTreeMap<u16, Line<R>>,
    slots: HashMap<Slot, OfSlot>,
    holds: Holds,
}

/// What is known of a slot that commands were sent to.
#[derive(Debug, Default)]
struct OfSlot {
    /// Who is asked, as long as any is unanswered.
    line: u16,
    unanswered: usize,
    /// How many of them the owner has not answered since they were last sent.
    sent: usize,
    pause: Option<Pause>,
    /// The next command is the first after a pause by `NotOwner`.
    again: bool,
    /// The last own sequence.
    sequence: u64,
    /// Own sequences that are not settled.
    own: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// The next own sequence would be too far ahead.
    Ahead,
    /// Nothing goes out until all that was sent is answered; then the ring is looked up again.
    NotOwner { until_ms: u64 },
}

impl OfSlot {
    fn settled(&mut self, own: Option<u64>) {
        self.unanswered -= 1;
        if let Some(own) = own {
            self.own.remove(&own);
        }
        if self.pause == Some(Pause::Ahead) {
            self.pause = None;
        }
    }

    fn next_own(&mut self) -> Option<u64> {
        let oldest = self.own.first().copied().unwrap_or(self.sequence + 1);
        if self.sequence + 1 - oldest >= AHEAD_MAX {
            return None;
        }
        self.sequence += 1;
        self.own.insert(self.sequence);
        Some(self.sequence)
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

    /// Takes a command over, or says why not. The answer is the node to tell that something is due.
    pub fn submit(&mut self, command: Command<R>, owner: u16, now_ms: u64) -> Result<u16, Answer<R>> {
        let (stream, slot) = (command.stream, command.slot);
        if let Some(refusal) = self.holds.of(stream, slot) {
            return Err((command.reply, command.id, Err(refusal.clone())));
        }
        let of_slot = self.slots.entry(slot).or_default();
        let owner = if of_slot.unanswered > 0 { of_slot.line } else { owner };
        let line = self.lines.entry(owner).or_default();
        if line.count >= COMMANDS_MAX || line.bytes + command.body.len() > BYTES_MAX {
            let refusal = Refusal::full("too many commands wait for the owner", command.agent.as_str());
            self.holds.note(stream, slot, &refusal);
            return Err((command.reply, command.id, Err(refusal)));
        }
        of_slot.line = owner;
        of_slot.unanswered += 1;
        line.push(Entry {
            command,
            own: None,
            since_ms: now_ms,
            state: Progress::Waiting,
            doubtful: false,
            given_up: None,
            forgotten: false,
        });
        Ok(owner)
    }

    /// What goes to this node next, for as long as `room` says that there is some.
    pub fn take(&mut self, owner: u16, now_ms: u64, mut send: impl FnMut(Forward) -> bool) {
        let Some(line) = self.lines.get_mut(&owner).filter(|line| line.connected) else { return };
        let (mut id, mut skipped) = (line.next, None);
        let mut room = true;
        while room && id < line.end() {
            let place = id;
            id += 1;
            let Some(entry) = line.get_mut(place).filter(|entry| entry.state == Progress::Waiting) else {
                continue;
            };
            let Some(of_slot) = self.slots.get_mut(&entry.command.slot) else { continue };
            match entry.key_now(of_slot, &self.client, now_ms) {
                None => {
                    skipped.get_or_insert(place);
                }
                Some(key) => {
                    let again = std::mem::take(&mut of_slot.again);
                    of_slot.sent += 1;
                    entry.state = Progress::Sent;
                    room = send(entry.forward(place, key, again));
                }
            }
        }
        line.next = skipped.unwrap_or(id);
    }

    /// The owner's answer to what it was sent as `id`.
    pub fn settled(
        &mut self,
        owner: u16,
        id: u64,
        end: Result<u64, Refusal>,
        now_ms: u64,
        answers: &mut Vec<Answer<R>>,
    ) {
        let Some(line) = self.lines.get_mut(&owner) else { return };
        let Some(entry) = line.get_mut(id).filter(|entry| entry.state == Progress::Sent) else { return };
        let (stream, slot) = (entry.command.stream, entry.command.slot);
        let Some(of_slot) = self.slots.get_mut(&slot) else { return };
        of_slot.sent -= 1;
        match end {
            Err(refusal) if refusal.fate() == Fate::Elsewhere && entry.given_up.is_none() => {
                entry.state = Progress::Waiting;
                of_slot.pause = Some(Pause::NotOwner { until_ms: now_ms + AGAIN_MS });
                line.next = line.next.min(id);
            }
            Err(refusal) if refusal.fate() != Fate::Final => {
                let refusal = entry.given_up.clone().unwrap_or(refusal);
                let end = Err(entry.not_now(refusal.clone()));
                answers.extend(line.settle(id, of_slot, end));
                if self.holds.note(stream, slot, &refusal) {
                    line.hold(id, stream, slot, &refusal, of_slot, answers);
                }
            }
            Err(refusal) if refusal.code == 409 && entry.own.is_some() => {
                let refusal = Refusal::unknown("the owner has forgotten it", refusal.at);
                answers.extend(line.settle(id, of_slot, Err(refusal)));
            }
            end => answers.extend(line.settle(id, of_slot, end)),
        }
        if self.slots[&slot].sent == 0 && self.moved(slot) {
            self.look_up(slot, answers);
        }
    }

    /// A new connection: everything unanswered goes again, the oldest first.
    pub fn connected(&mut self, owner: u16) {
        self.lines.entry(owner).or_default().connected = true;
    }

    pub fn disconnected(&mut self, owner: u16, answers: &mut Vec<Answer<R>>) {
        let Some(line) = self.lines.get_mut(&owner) else { return };
        line.disconnect(&mut self.slots, answers);
        let here = |of_slot: &OfSlot| of_slot.unanswered > 0 && of_slot.line == owner;
        let slots: Vec<Slot> =
            self.slots.iter().filter(|(_, of_slot)| here(of_slot)).map(|(slot, _)| *slot).collect();
        for slot in slots {
            self.look_up(slot, answers);
        }
    }

    /// Follows a new ring. What was sent stays where it is until it is answered.
    pub fn ring(&mut self, owners: Arc<[Owner]>, answers: &mut Vec<Answer<R>>) {
        self.owners = owners;
        let slots: Vec<Slot> = self.slots.keys().copied().filter(|slot| self.moved(*slot)).collect();
        for slot in slots {
            self.look_up(slot, answers);
        }
    }

    /// Answers what has waited too long, and lets go on what has waited long enough. Adds the nodes that have
    /// something to take now.
    pub fn tick(&mut self, now_ms: u64, answers: &mut Vec<Answer<R>>, due: &mut Vec<u16>) {
        for (owner, line) in &mut self.lines {
            for id in line.late(now_ms, &self.slots) {
                let Some(entry) = line.get_mut(id) else { continue };
                let (stream, slot) = (entry.command.stream, entry.command.slot);
                let refusal = Refusal::unavailable("no owner could be reached", entry.command.agent.as_str());
                let Some(of_slot) = self.slots.get_mut(&slot) else { continue };
                let end = Err(entry.not_now(refusal.clone()));
                answers.extend(line.settle(id, of_slot, end));
                if self.holds.note(stream, slot, &refusal) {
                    line.hold(id, stream, slot, &refusal, of_slot, answers);
                }
            }
            if line.connected && line.next < line.end() {
                due.push(*owner);
            }
        }
    }

    /// A client's stream is over. What it had not sent yet is not sent any more.
    pub fn ended(&mut self, stream: Stream) {
        self.holds.ended(stream);
        for line in self.lines.values_mut() {
            line.forget(stream, &mut self.slots);
        }
    }

    /// How many are unanswered.
    pub fn count(&self) -> usize {
        self.lines.values().map(|line| line.count).sum()
    }

    fn owner(&self, slot: Slot) -> Owner {
        self.owners.get(usize::from(slot)).copied().unwrap_or(Owner::Nobody)
    }

    fn moved(&self, slot: Slot) -> bool {
        let of_slot = &self.slots[&slot];
        of_slot.unanswered > 0 && self.owner(slot) != Owner::Node(of_slot.line)
    }

    /// Gives what waits for a slot to its owner of now, if nothing is on the way to the one before.
    fn look_up(&mut self, slot: Slot, answers: &mut Vec<Answer<R>>) {
        let owner = self.owner(slot);
        let Some(of_slot) = self.slots.get_mut(&slot) else { return };
        if owner == Owner::Node(of_slot.line) {
            return;
        }
        if of_slot.sent > 0 {
            of_slot.pause = Some(Pause::NotOwner { until_ms: 0 });
            return;
        }
        of_slot.pause = None;
        let Some(line) = self.lines.get_mut(&of_slot.line) else { return };
        let entries = line.extract(slot);
        let Owner::Node(owner) = owner else {
            // It came here, where what follows is admitted at once: what waited would come too late.
            for entry in entries {
                of_slot.settled(entry.own);
                let refusal = Refusal::unavailable("the slot has moved", entry.command.agent.as_str());
                self.holds.note(entry.command.stream, slot, &refusal);
                let end = Err(entry.not_now(refusal));
                answers.push((entry.command.reply, entry.command.id, end));
            }
            return;
        };
        of_slot.line = owner;
        let line = self.lines.entry(owner).or_default();
        for entry in entries {
            line.push(entry);
        }
    }
}

#[cfg(test)]
mod tests;
