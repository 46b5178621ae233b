//! One slot of the shard: its numbers, its agents, and what it remembers of other slots.

use super::agents::Agents;
use super::event::{Ownership, Place};
use super::gate::GATHERED;
use super::outbox::Outbox;
use super::recent::Recent;
use super::timers::Timers;
use crate::broken::{self, Broken};
use crate::log::{Head, Position};
use crate::snapshot::{TERMS_MAX, Term};
use proto::address;
use proto::ring::version;
use std::collections::HashMap;

#[derive(Debug, Default)]
pub struct Slot {
    pub numbers: Numbers,
    pub agents: Agents,
    pub outbox: Outbox,
    pub timers: Timers,
    pub recent: Recent,
    /// Up to where messages of other slots have had their effect.
    pub seen: HashMap<address::Slot, Place>,
}

#[derive(Debug, Default)]
pub struct Numbers {
    /// The LSN of the last record.
    pub lsn: u64,
    pub history: u16,
    /// Never falls.
    pub time_ms: u64,
    /// When it was that, by how long it is since the node began.
    time_since_ms: u64,
    /// Where the last record ends.
    pub end: Position,
    /// Who wrote its records, the last [`TERMS_MAX`].
    pub terms: Vec<Term>,
    /// It had a record since the last tick.
    pub busy: bool,
}

impl Slot {
    /// No command of its own has said for a while which of its messages were taken.
    pub fn has_trims_to_say(&self) -> bool {
        !self.numbers.busy && self.outbox.has_trims()
    }

    pub fn adopt(&mut self, ownership: Ownership) {
        self.numbers.history = ownership.history;
    }
}

impl Numbers {
    /// What the next record will be.
    pub fn next_version(&self) -> u64 {
        version(self.history, self.lsn + 1)
    }

    pub fn version(&self) -> u64 {
        version(self.history, self.lsn)
    }

    /// The time in this slot: the wall clock, unless that was set back. Then time goes on at half the speed until the clock
    /// has come up with it. `since_ms` is a clock that nobody sets.
    pub fn now_ms(&self, now_ms: u64, since_ms: u64) -> u64 {
        if broken::is(Broken::FallingTime) {
            return now_ms;
        }
        now_ms.max(self.time_ms + since_ms.saturating_sub(self.time_since_ms) / 2)
    }

    /// The same, for a record.
    pub fn time(&mut self, now_ms: u64, since_ms: u64) -> u64 {
        let time_ms = self.now_ms(now_ms, since_ms);
        if broken::is(Broken::FallingTime) {
            self.time_ms = time_ms;
        }
        if time_ms > self.time_ms {
            let slowly = self.time_since_ms + 2 * (time_ms - self.time_ms);
            self.time_since_ms = if time_ms == now_ms { since_ms } else { slowly };
            self.time_ms = time_ms;
        }
        time_ms
    }

    /// The next record is being made.
    pub fn count(&mut self, head: Head) {
        self.follow(head);
        self.end = GATHERED;
        self.busy = true;
    }

    /// This is the next record.
    pub fn follow(&mut self, head: Head) {
        self.lsn = head.lsn;
        let (epoch, incarnation) = (head.epoch, head.incarnation);
        if self.terms.last().is_none_or(|last| (last.epoch, last.incarnation) != (epoch, incarnation)) {
            if self.terms.len() == TERMS_MAX {
                self.terms.remove(0);
            }
            self.terms.push(Term { epoch, incarnation, first: head.lsn });
        }
    }
}
