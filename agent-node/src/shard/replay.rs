//! Taking records back: effects are made again, no rule is run, and no plan is needed.

use super::due::Said;
use super::outbox::RecordAt;
use super::record::{self, Change, Record};
use super::{Shard, slot_of};
use crate::broken::{self, Broken};
use crate::log::{Head, Position};
use crate::map::Stamp;
use proto::address::{self, Address};
use proto::ring::version;

impl<R: Clone, W: Clone + Eq> Shard<R, W> {
    /// Takes a record of one of its slots back, before anything else happens. It needs no plan.
    pub fn replay(&mut self, at: Position, head: Head, body: &[u8]) -> Result<(), String> {
        let mut record = Record::decode(body)?;
        let slot = slot_of(&mut self.slots, head.slot);
        if head.lsn != slot.numbers.lsn + 1 {
            return Err(format!("it follows record {} of its slot", slot.numbers.lsn));
        }
        slot.numbers.follow(head);
        slot.numbers.history = record.history;
        slot.numbers.time_ms = slot.numbers.time_ms.max(record.time_ms);
        let version = version(record.history, head.lsn);
        if let Some((from, place)) = record.origin
            && !broken::is(Broken::ForgottenSeen)
        {
            slot.seen.insert(from, place);
        }
        let cost = record::cost(body.len(), record.sends.len());
        let forgets = broken::is(Broken::ForgottenOutbox);
        for message in record.messages(head).filter(|_| !forgets) {
            slot.outbox.push(message, cost, RecordAt::Log(at), &mut self.outboxes);
        }
        for (to, place) in &record.trims {
            slot.outbox.drop_until(*to, *place, &mut self.outboxes);
        }
        if let Some((client, sequence)) = &record.key
            && !broken::is(Broken::ForgottenWindow)
        {
            if record.is_refused {
                self.names.refuse(head.slot, client, *sequence, record.time_ms);
            } else {
                self.names.settle(
                    head.slot,
                    client,
                    *sequence,
                    (version, record.answer.take()),
                    record.time_ms,
                );
            }
        }
        self.names.forget(head.slot, &record.idle, &record.gone);
        if !record.agent.is_empty() {
            self.replay_agent(head.slot, record, version);
        }
        Ok(())
    }

    /// What a record says of its agent, which may be new.
    fn replay_agent(&mut self, id: address::Slot, record: Record, version: u64) {
        let address = Address::trusted(&record.agent);
        let first = record.changes.first().map(|(lane, _)| *lane);
        let slot = slot_of(&mut self.slots, id);
        let agent = slot.agents.get_or_add(address.clone(), || self.layouts.begin(first));
        if record.is_ended {
            agent.end_hidden(Stamp { version, index: 0 }, &record.changes);
        }
        for ((lane, change), index) in record.changes.into_iter().zip(0..) {
            if let Change::Event(item) = &change {
                slot.recent.push(&address, lane, version, item.clone());
            }
            agent.replay(lane, change, Stamp { version, index });
        }
        let fired = record.fired.as_ref().filter(|_| !broken::is(Broken::ForgottenFired));
        let is_command = record.fired.is_none();
        let said = Said { fired, is_ended: record.is_ended, changes: &record.timers, is_command };
        if !broken::is(Broken::ForgottenTimers) {
            self.change_timers(id, &address, &said);
        }
    }
}
