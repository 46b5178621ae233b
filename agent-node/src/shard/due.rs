//! Timers of all slots of a shard: which slot has the next one that is due, and what records change of them.

use super::Shard;
use super::event::TimerCounts;
use super::record::{Fired, Set, TimerChange};
use super::slot::Slot;
use super::timers::{ONE, Timer, Timers, key_bytes};
use crate::broken::{self, Broken};
use crate::refusal::Refusal;
use proto::address::{self, Address};
use proto::plan::AfterOutage;
use proto::value::Value;
use std::collections::BTreeSet;

/// The clock was set when it has gone on by so much more or less than time has.
const STEP_MS: u64 = 50;
/// How much too early a broken node lets a timer fire.
pub const EARLY_MS: u64 = 400;

/// The slots of a shard that have timers, by when the first of each fires.
#[derive(Debug, Default)]
pub struct Due {
    pub slots: BTreeSet<(u64, address::Slot)>,
    /// Under which time each slot is listed, by its number; 0: not.
    listed: Vec<u64>,
    pub counts: TimerCounts,
    /// How long it is since the node began, by a clock that nobody sets.
    pub since_ms: u64,
    /// What the wall clock was ahead of that.
    offset_ms: u64,
}

impl Due {
    pub fn list(&mut self, slot: address::Slot, wake_ms: Option<u64>) {
        let place = usize::from(slot);
        if place >= self.listed.len() {
            self.listed.resize(place + 1, 0);
        }
        let wake_ms = wake_ms.map_or(0, |wake_ms| wake_ms.max(1));
        let before = std::mem::replace(&mut self.listed[place], wake_ms);
        if before == wake_ms {
            return;
        }
        if before > 0 {
            self.slots.remove(&(before, slot));
        }
        if wake_ms > 0 {
            self.slots.insert((wake_ms, slot));
        }
    }

    /// A slot has come, with its timers.
    pub fn gain(&mut self, timers: &Timers) {
        self.counts.bytes += timers.bytes() as u64;
        self.counts.scheduled += timers.len() as u64;
    }

    /// A slot is gone.
    pub fn lose(&mut self, slot: address::Slot, timers: &Timers) {
        self.list(slot, None);
        self.counts.bytes -= timers.bytes() as u64;
        self.counts.scheduled -= timers.len() as u64;
    }

    /// Whether the wall clock was set since it was asked last.
    fn is_set(&mut self, now_ms: u64) -> bool {
        let offset_ms = now_ms.saturating_sub(self.since_ms);
        offset_ms.abs_diff(std::mem::replace(&mut self.offset_ms, offset_ms)) > STEP_MS
    }
}

/// What a record says of the timers of its agent.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    pub fired: Option<&'a Fired>,
    /// All that were there are gone.
    pub is_ended: bool,
    pub changes: &'a [TimerChange],
    /// A command or message has come.
    pub is_command: bool,
}

/// The next turn of one that was due, and fires now.
pub fn next_turn(due_ms: u64, every_ms: u64, now_ms: u64, after: AfterOutage) -> Option<u64> {
    if every_ms == 0 {
        return None;
    }
    let missed = match after {
        AfterOutage::Once => now_ms.saturating_sub(due_ms) / every_ms,
        AfterOutage::Each => 0,
    };
    Some(due_ms.saturating_add(every_ms.saturating_mul(missed + 1)))
}

impl<R: Clone, W: Clone + Eq> Shard<R, W> {
    /// So much time has gone by since the node began, by a clock that nobody sets.
    pub fn at(&mut self, since_ms: u64) {
        self.due.since_ms = since_ms;
    }

    /// When, by the wall clock, the next timer fires.
    pub fn next_due(&self) -> Option<u64> {
        self.due.slots.first().map(|(wake_ms, _)| *wake_ms)
    }

    /// What a record says of timers of an agent. True: there is something.
    pub(super) fn change_timers(&mut self, id: address::Slot, agent: &Address, said: &Said) -> bool {
        let Said { fired, is_ended, changes, is_command } = *said;
        let Some(Some(slot)) = self.slots.get_mut(usize::from(id)) else { return false };
        let says_nothing = fired.is_none() && !is_ended && changes.is_empty();
        let (lsn, time_ms) = (slot.numbers.lsn, slot.numbers.time_ms);
        let Slot { agents, timers, .. } = &mut **slot;
        if says_nothing && !timers.has_lifetimes() {
            return false;
        }
        let Some(agent) = agents.find(agent) else { return false };
        let (bytes, count) = (timers.bytes(), timers.len());
        if let Some(Fired { timer, key, due_ms: _, next_ms }) = fired {
            timers.fired(agent, *timer, key, *next_ms);
        }
        if is_ended {
            timers.end(agent);
        }
        for TimerChange { timer, key, set } in changes {
            match set {
                Some(Set { due_ms, every_ms }) => {
                    let (name, key) = (*timer, key.clone());
                    timers.set(&Timer { agent, name, key, due_ms: *due_ms, every_ms: *every_ms });
                }
                None if broken::is(Broken::IgnoredCancel) => {}
                None => drop(timers.cancel(agent, *timer, key)),
            }
        }
        if is_command {
            timers.touch(agent, time_ms);
        }
        timers.mark(lsn, time_ms);
        let counts = &mut self.due.counts;
        counts.bytes = counts.bytes + timers.bytes() as u64 - bytes as u64;
        counts.scheduled = counts.scheduled + timers.len() as u64 - count as u64;
        !says_nothing
    }

    /// The first timer of a slot may be another one.
    pub(super) fn rekey(&mut self, id: address::Slot, now_ms: u64) {
        let is_owned = self.configuration.as_ref().is_some_and(|configuration| configuration.owns(id));
        let slot = self.slots.get(usize::from(id)).and_then(Option::as_ref).filter(|_| is_owned);
        let wake_ms = slot.and_then(|slot| wake_ms(slot, now_ms, self.due.since_ms));
        self.due.list(id, wake_ms);
    }

    pub(super) fn rekey_all(&mut self, now_ms: u64) {
        for id in 0..self.slots.len() {
            self.rekey(id as address::Slot, now_ms);
        }
    }

    /// The plan may have other names of timers.
    pub(super) fn show_timers(&mut self) {
        self.slots.iter_mut().flatten().for_each(|slot| slot.timers.show());
    }

    /// About once a second: timers go by the wall clock, also when it was set.
    pub(super) fn look_at_clock(&mut self, now_ms: u64) {
        if self.due.is_set(now_ms) {
            self.rekey_all(now_ms);
        }
    }
}

/// When, by the wall clock, the first timer of a slot is due. Of a slot that is ahead of that clock, time goes on at half
/// the speed.
fn wake_ms(slot: &Slot, now_ms: u64, since_ms: u64) -> Option<u64> {
    let due_ms = slot.timers.next_ms()?;
    let due_ms = if broken::is(Broken::EarlyTimer) { due_ms.saturating_sub(EARLY_MS) } else { due_ms };
    let left_ms = due_ms.saturating_sub(slot.numbers.now_ms(now_ms, since_ms));
    Some(due_ms.max(now_ms).min(now_ms.saturating_add(left_ms.saturating_mul(2))))
}

/// Whether a command may schedule as many as it does.
pub fn admit(
    due: &Due,
    scheduled: &Timers,
    fired: Option<&Fired>,
    changes: &[TimerChange],
    most: usize,
) -> Result<(), &'static str> {
    let sets = || changes.iter().filter(|change| change.set.is_some());
    if sets().any(|change| !scheduled.takes(change.timer)) {
        return Err("timers of too many names that the plan has had are scheduled in this slot");
    }
    let bytes = |key: &Value| ONE + key_bytes(key);
    let more: usize = sets().map(|change| bytes(&change.key)).sum();
    // What fires for the last time makes room.
    let less = fired.filter(|fired| fired.next_ms.is_none()).map_or(0, |fired| bytes(&fired.key));
    let more = more.saturating_sub(less);
    if more > 0 && due.counts.bytes as usize + more > most {
        return Err("this node has no room for more timers at present");
    }
    Ok(())
}

/// What an agent is told that has no room for its timers.
pub fn refused(why: &str, agent: &Address, is_from_client: bool) -> Refusal {
    if is_from_client { Refusal::full(why, agent.as_str()) } else { Refusal::new(422, why, agent.as_str()) }
}
