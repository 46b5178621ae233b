//! What happens when a timer fires.

use super::Shard;
use super::due::{EARLY_MS, next_turn};
use super::event::Assignment;
use super::perform::{Ask, Call, Origin, Source};
use super::record::{Fired, Set};
use super::timers::{Timer, kept_every};
use crate::broken::{self, Broken};
use crate::refusal::Fate;
use jiff::Timestamp;
use proto::address::{self, Address};
use proto::plan::{Kind, TimerId};
use proto::value::{Text, Value};

/// A timer that can't fire now is tried again after so long.
const AGAIN_MS: u64 = 100;

impl<R: Clone, W: Clone + Eq> Shard<R, W> {
    /// Lets the timer fire that is due first, if it can. There is room in the log for its record.
    pub fn fire(&mut self, now_ms: u64) {
        let Some((_, id)) = self.due.slots.first().copied().filter(|(wake_ms, _)| *wake_ms <= now_ms) else {
            return;
        };
        let since_ms = self.due.since_ms;
        let (Ok(configuration), Some(Some(slot))) = (self.owns(id), self.slots.get_mut(usize::from(id)))
        else {
            return self.due.list(id, None);
        };
        let Some(timer) = slot.timers.first() else { return self.due.list(id, None) };
        let early = if broken::is(Broken::EarlyTimer) { EARLY_MS } else { 0 };
        let time_ms = slot.numbers.time(now_ms, since_ms);
        if timer.due_ms > time_ms + early {
            return self.rekey(id, now_ms);
        }
        let is_full = slot.outbox.is_full(&self.outboxes);
        if is_full || !self.fires(&configuration, id, &timer, now_ms, time_ms) {
            return self.due.list(id, Some(now_ms + AGAIN_MS));
        }
        self.rekey(id, now_ms);
    }

    /// False: not now.
    fn fires(
        &mut self,
        configuration: &Assignment,
        id: address::Slot,
        timer: &Timer,
        now_ms: u64,
        time_ms: u64,
    ) -> bool {
        let Some(Some(slot)) = self.slots.get_mut(usize::from(id)) else { return false };
        let address = slot.agents.get(timer.agent).0.clone();
        let found = configuration.plan.find(&address).filter(|found| found.slot == id);
        let meant = found.and_then(|found| {
            let kind = &configuration.plan.kinds[found.kind];
            Some((found.kind, meant(kind, timer, time_ms)?))
        });
        let Some((kind, Meant { ask, next_ms, name })) = meant else {
            slot.timers.hide_first();
            return true;
        };
        let fired = Fired { timer: timer.name, key: timer.key.clone(), due_ms: timer.due_ms, next_ms };
        let event = event(timer.due_ms);
        let call = |ask, event| Call::fired(&address, id, ask, event, &fired);
        if let Err(refusal) = self.perform(configuration, kind, &call(ask, &event), now_ms) {
            if refusal.fate() != Fate::Final && !refusal.by_rule {
                return false;
            }
            self.faults += 1;
            let of = Source::Timer { name, key: &timer.key };
            let ask = Ask::Fault { of, error: &refusal.with_place() };
            if self.perform(configuration, kind, &call(ask, &Value::Null), now_ms).is_err() {
                return false;
            }
        }
        self.due.counts.fired += 1;
        self.due.counts.late_ms += time_ms.saturating_sub(timer.due_ms);
        true
    }
}

/// What a timer is for.
struct Meant<'a> {
    ask: Ask<'a>,
    /// When it fires again.
    next_ms: Option<u64>,
    name: &'a str,
}

/// `None`: the plan does not have it now.
fn meant<'a>(kind: &'a Kind, timer: &Timer, time_ms: u64) -> Option<Meant<'a>> {
    if timer.name == TimerId::EXPIRE {
        // The plan may have given it more time since.
        let every_ms = kept_every(kind.expire_ms?);
        let due_ms = timer.due_ms.saturating_sub(timer.every_ms).saturating_add(every_ms);
        let ask = if due_ms > time_ms { Ask::Longer(Set { due_ms, every_ms }) } else { Ask::End };
        return Some(Meant { ask, next_ms: None, name: "" });
    }
    if timer.name.is_age() {
        let mut lanes = kind.lanes.iter().enumerate();
        let (lane, declared) = lanes.find(|(_, lane)| TimerId::age(lane.id) == timer.name)?;
        let ask = Ask::Age { lane, age_ms: declared.retain.age_ms? };
        return Some(Meant { ask, next_ms: None, name: &declared.name });
    }
    let mut timers = kind.timers.iter().enumerate();
    let (index, declared) = timers.find(|(_, declared)| declared.id == timer.name)?;
    let next_ms = next_turn(timer.due_ms, timer.every_ms, time_ms, declared.after_outage);
    Some(Meant { ask: Ask::Timer(index), next_ms, name: &declared.name })
}

/// What the rules of a timer see as `event`.
fn event(due_ms: u64) -> Value {
    let due =
        Timestamp::from_millisecond(due_ms as i64).map_or_else(|_| due_ms.to_string(), |due| due.to_string());
    Value::record([(Text::const_new("due"), Value::text(&due))])
}

impl<'a> Call<'a> {
    fn fired(
        agent: &'a Address,
        slot: address::Slot,
        ask: Ask<'a>,
        event: &'a Value,
        fired: &'a Fired,
    ) -> Call<'a> {
        let (origin, key) = (Origin::Timer(fired), &fired.key);
        Call { agent, slot, ask, event, key, sender: "", hops: 1, origin }
    }
}
