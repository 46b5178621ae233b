//! Messages between slots: what comes of others, what goes to them, and what each says of it.

use super::event::{Assignment, Effect, Message, Place, Taken, Verdict};
use super::outbox::{Again, RecordAt};
use super::perform::{Ask, Call, Origin, OwnRecord, Source};
use super::record::{self, Sent};
use super::records::RECORD_MAX;
use super::slot::Numbers;
use super::{Shard, gate::GATHERED};
use crate::broken::{self, Broken};
use crate::log::Position;
use crate::refusal::{BODY, Fate, Refusal};
use proto::address::{self, Address};
use proto::plan::LaneKind;
use proto::value::Value;

/// A message at the end of a longer chain is a fault.
const HOPS_MAX: u8 = 64;

impl<'a> Call<'a> {
    fn sent(message: &'a Message, ask: Ask<'a>, event: &'a Value, hops: u8) -> Call<'a> {
        let Message { from, to, place, sender, agent, .. } = message;
        let origin = Origin::Slot(*from, *place);
        Call { agent, slot: *to, ask, event, key: &Value::Null, sender: sender.as_str(), hops, origin }
    }
}

impl<R: Clone, W: Clone + Eq> Shard<R, W> {
    /// A command from another agent.
    pub(super) fn message(&mut self, message: &Message, now_ms: u64) {
        let Ok(configuration) = self.owns(message.to) else {
            return self.hear(message.from, message.to, Verdict::Refused);
        };
        let seen = self.slot(message.to).seen.get(&message.from).copied().unwrap_or_default();
        if message.place <= seen {
            return self.hear(message.from, message.to, Verdict::Done);
        }
        if message.previous > seen && !broken::is(Broken::IgnoredPrevious) {
            return self.hear(message.from, message.to, Verdict::Behind);
        }
        let verdict = if self.take(&configuration, message, now_ms) {
            self.messages += 1;
            Verdict::Done
        } else {
            Verdict::Refused
        };
        self.hear(message.from, message.to, verdict);
    }

    /// Runs it, or lets the agent show why not. False: not now.
    fn take(&mut self, configuration: &Assignment, message: &Message, now_ms: u64) -> bool {
        let (sender, to, from) = (message.sender.as_str(), message.to, (message.from, message.place));
        let found = configuration.plan.find(&message.agent).filter(|found| found.slot == to);
        let Some(kind) = found.map(|found| found.kind) else {
            self.faults += 1;
            return self.consumed(to, from, now_ms);
        };
        let done = match configuration.plan.kinds[kind].lane(&message.lane) {
            _ if message.hops > HOPS_MAX => Err(Refusal::new(
                422,
                format!("it was sent by a chain of more than {HOPS_MAX} messages"),
                message.agent.as_str(),
            )),
            Some((index, lane)) if lane.kind == LaneKind::Command => {
                match lane.schema.admit(message.body.clone()) {
                    Ok(event) => {
                        let call = Call::sent(message, Ask::Command(index), &event, message.hops + 1);
                        self.perform(configuration, kind, &call, now_ms)
                    }
                    Err(error) => Err(Refusal::new(422, error, BODY)),
                }
            }
            _ => Err(Refusal::not_found("no such Command lane", &*message.lane)),
        };
        if let Err(refusal) = done {
            // Nothing that was sent behind it would come if it were tried again until a rule takes it.
            if refusal.fate() != Fate::Final && !refusal.by_rule {
                return false;
            }
            self.faults += 1;
            let of = Source::Message { sender, lane: &message.lane };
            let ask = Ask::Fault { of, error: &refusal.with_place() };
            let kept = self.perform(configuration, kind, &Call::sent(message, ask, &Value::Null, 1), now_ms);
            if kept.is_err() {
                return self.consumed(to, from, now_ms);
            }
        }
        true
    }

    /// Puts sends into the outbox, and lets leave what may.
    pub(super) fn post(&mut self, sender: &Address, from: address::Slot, sends: Vec<Sent>) {
        if sends.is_empty() {
            return;
        }
        let Some(Some(slot)) = self.slots.get_mut(usize::from(from)) else { return };
        let Numbers { history, lsn, .. } = slot.numbers;
        let (gate, record) = (&mut self.gate, self.records.heads().len() - 1);
        let cost = record::cost(self.records.heads()[record].1.len(), sends.len());
        let record = RecordAt::Gathered(record as u64);
        for (sent, index) in sends.into_iter().zip(1..) {
            let to = sent.to;
            let message = sent.message(from, Place { history, lsn, index }, sender.clone());
            if slot.outbox.push(message, cost, record, &mut self.outboxes) {
                slot.outbox.pump(to, |message| gate.hold(GATHERED, Effect::Send(message)));
            } else {
                self.in_log.push((from, to));
            }
        }
    }

    /// The gathered records have their places: `first` is that of the first one.
    pub(super) fn placed(&mut self, first: Position) {
        for (from, to) in std::mem::take(&mut self.in_log) {
            self.slot(from).outbox.appended(to, first);
            self.pump(from, to);
        }
    }

    /// Messages have been read from the log.
    pub(super) fn fetched(
        &mut self,
        from: address::Slot,
        to: address::Slot,
        messages: Vec<(Message, usize)>,
    ) {
        if let Some(Some(slot)) = self.slots.get_mut(usize::from(from)) {
            slot.outbox.fetched(to, messages, &mut self.outboxes);
        }
        self.pump(from, to);
    }

    /// The receiver's slot said something.
    pub(super) fn taken(&mut self, taken: Taken) {
        let Some(Some(slot)) = self.slots.get_mut(usize::from(taken.from)) else { return };
        if slot.outbox.taken(taken, &mut self.outboxes) || taken.verdict == Verdict::Behind {
            self.pump(taken.from, taken.to);
        }
    }

    /// What waits for its receivers goes again.
    pub(super) fn resend(&mut self, which: Again) {
        let Some(configuration) = self.configuration.clone() else { return };
        for id in 0..self.slots.len() {
            let Some(slot) = &mut self.slots[id] else { continue };
            if slot.outbox.waiting() == 0 || configuration.owned.get(id).is_none_or(Option::is_none) {
                continue;
            }
            for to in slot.outbox.again(which) {
                self.pump(id as address::Slot, to);
            }
        }
    }

    fn pump(&mut self, from: address::Slot, to: address::Slot) {
        let Some(Some(slot)) = self.slots.get_mut(usize::from(from)) else { return };
        let (end, gate) = (slot.numbers.end, &mut self.gate);
        slot.outbox.pump(to, |message| gate.hold(end, Effect::Send(message)));
        if let Some(fetch) = slot.outbox.fetch(to, &self.outboxes) {
            gate.hold(end, Effect::Fetch(from, fetch));
        }
    }

    /// The sender will be told how far its messages came: once for all of them.
    pub(super) fn hear(&mut self, from: address::Slot, to: address::Slot, verdict: Verdict) {
        let heard = self.heard.entry((from, to)).or_insert(verdict);
        if *heard == Verdict::Done {
            *heard = verdict;
        }
    }

    pub(super) fn tell_heard(&mut self) {
        if self.heard.is_empty() {
            return;
        }
        for ((from, to), verdict) in std::mem::take(&mut self.heard) {
            let seen = self.slot(to).seen.get(&from).copied().unwrap_or_default();
            self.hold(to, Effect::Taken(Taken { from, to, seen, verdict }));
        }
    }

    /// Says in a record of the slot's own that a message has come that had no effect.
    fn consumed(&mut self, to: address::Slot, from: (address::Slot, Place), now_ms: u64) -> bool {
        let written =
            self.control(to, now_ms, RECORD_MAX, &OwnRecord { origin: Some(from), ..OwnRecord::default() });
        if written.is_some() {
            self.slot(to).seen.insert(from.0, from.1);
        }
        written.is_some()
    }
}
