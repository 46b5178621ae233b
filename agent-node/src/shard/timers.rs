//! What is due in one slot, and when: timers that rules have scheduled, each by its agent, name and key. Plain state.
//!
//! *Guarantees*: one that is set takes the place of the one with the same agent, name and key; `first` is the one that is
//! due first of all that are not hidden; setting, cancelling and firing take the logarithm of how many there are. At rest
//! one takes [`ONE`] bytes at most, beside a key that is no whole number. *Assumptions*: an agent keeps its place as long
//! as it has a timer.

use super::marks::Marks;
use hashbrown::{DefaultHashBuilder, HashTable};
use proto::plan::TimerId;
use proto::value::Value;
use std::hash::BuildHasher as _;

/// What a timer takes of the memory, with its part of the heap and the index.
pub const ONE: usize = 48;
/// The last moment for which one can be scheduled: the end of the year 9999.
pub const DUE_MAX: u64 = 253_402_300_799_999;
/// The longest time between two turns: 68 years.
pub const EVERY_MAX: u64 = (UNIT as u64 - 1) * 1_000;

/// From here on, the time between two turns is counted in seconds.
const UNIT: u32 = 1 << 31;
/// Its place in the heap: it is not there, since the plan does not have its name.
const HIDDEN: u32 = u32::MAX;
/// The same: nothing is here.
const FREE: u32 = u32::MAX - 1;
/// Names are counted by so many bits.
const NAMES_MAX: usize = 1 << 14;
/// The memory of more entries than these is given back when they are gone.
const KEPT: usize = 64;
/// The children of each place of the heap.
const CHILDREN: usize = 4;

/// A timer of an agent of the slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Timer {
    /// The place of the agent.
    pub agent: u32,
    pub name: TimerId,
    /// Null: none.
    pub key: Value,
    pub due_ms: u64,
    /// 0: it fires once.
    pub every_ms: u64,
}

/// What a key takes of the memory beside the timer.
pub fn key_bytes(key: &Value) -> usize {
    match key {
        Value::Null | Value::Int(_) => 0,
        other => size_of::<Value>() + other.heap_bytes(),
    }
}

#[derive(Debug, Default)]
pub struct Timers {
    entries: Vec<Entry>,
    /// The first free one; each has the next one as its agent.
    free: Option<u32>,
    /// Places of entries, so that none is due before the one above it.
    heap: Vec<u32>,
    index: HashTable<u32>,
    hashing: DefaultHashBuilder,
    names: Vec<Name>,
    keys: Keys,
    hidden: usize,
    /// Kept while entries of some lane go for their age.
    marks: Marks,
}

#[derive(Debug)]
struct Name {
    id: TimerId,
    used: u32,
}

/// As small as it can be: there may be millions.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
struct Entry {
    /// 48 bits of the due time, 14 of the name, 2 of what `key` is.
    when: u64,
    /// A whole number as it is, or where in `keys` it is.
    key: u64,
    agent: u32,
    /// The place in the heap.
    at: u32,
    every: u32,
}

const _: () = assert!(size_of::<Entry>() == 28);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    NoKey,
    Int,
    Other,
}

/// Keys that are no whole numbers.
#[derive(Debug, Default)]
struct Keys {
    all: Vec<Value>,
    free: Vec<u32>,
    bytes: usize,
}

impl Keys {
    fn add(&mut self, key: &Value) -> u64 {
        self.bytes += key_bytes(key);
        if let Some(place) = self.free.pop() {
            self.all[place as usize] = key.clone();
            return place.into();
        }
        grow(&mut self.all);
        self.all.push(key.clone());
        self.all.len() as u64 - 1
    }

    fn remove(&mut self, place: u64) {
        let key = std::mem::take(&mut self.all[place as usize]);
        self.bytes -= key_bytes(&key);
        self.free.push(place as u32);
    }
}

/// Makes room for one more, and for an eighth: doubling would leave half of it empty.
fn grow<T>(all: &mut Vec<T>) {
    if all.len() == all.capacity() {
        all.reserve_exact(all.len() / 8 + 4);
    }
}

/// The time between two turns as it is kept: whole seconds when it is long.
pub fn kept_every(every_ms: u64) -> u64 {
    unpacked(packed(every_ms))
}

fn packed(every_ms: u64) -> u32 {
    let seconds = || UNIT | every_ms.div_ceil(1_000).min(u64::from(UNIT - 1)) as u32;
    u32::try_from(every_ms).ok().filter(|ms| *ms < UNIT).unwrap_or_else(seconds)
}

fn unpacked(every: u32) -> u64 {
    if every < UNIT { every.into() } else { u64::from(every & !UNIT) * 1_000 }
}

impl Entry {
    fn due(&self) -> u64 {
        self.when & ((1 << 48) - 1)
    }

    fn name(&self) -> usize {
        (self.when >> 48) as usize & (NAMES_MAX - 1)
    }

    fn form(&self) -> Form {
        match self.when >> 62 {
            0 => Form::NoKey,
            1 => Form::Int,
            _ => Form::Other,
        }
    }

    fn set_due(&mut self, due_ms: u64) {
        self.when = self.when >> 48 << 48 | due_ms.min(DUE_MAX);
    }
}

impl Timers {
    pub fn len(&self) -> usize {
        self.heap.len() + self.hidden
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it is taken for, in memory.
    pub fn bytes(&self) -> usize {
        self.len() * ONE + self.keys.bytes
    }

    /// Whether one more name fits.
    pub fn takes(&self, name: TimerId) -> bool {
        self.names.len() < NAMES_MAX || self.names.iter().any(|known| known.used == 0 || known.id == name)
    }

    /// Schedules one, in the place of the one that is there with the same agent, name and key.
    pub fn set(&mut self, timer: &Timer) {
        let Timer { agent, name, key, due_ms, every_ms } = timer;
        let place = match self.find(*agent, *name, key) {
            Some(place) => {
                self.unlink(place);
                place
            }
            None => self.add(*agent, *name, key),
        };
        let entry = &mut self.entries[place as usize];
        entry.set_due(*due_ms);
        entry.every = packed(*every_ms);
        self.link(place);
    }

    /// False: there is none.
    pub fn cancel(&mut self, agent: u32, name: TimerId, key: &Value) -> bool {
        let Some(place) = self.find(agent, name, key) else { return false };
        self.remove(place);
        true
    }

    /// It has fired, and will again at `next_ms`, if ever.
    pub fn fired(&mut self, agent: u32, name: TimerId, key: &Value, next_ms: Option<u64>) {
        let Some(place) = self.find(agent, name, key) else { return };
        match next_ms {
            None => self.remove(place),
            Some(next_ms) => {
                self.unlink(place);
                self.entries[place as usize].set_due(next_ms);
                self.link(place);
            }
        }
    }

    /// All of an agent go.
    pub fn end(&mut self, agent: u32) {
        if self.is_empty() {
            return;
        }
        for place in 0..self.entries.len() as u32 {
            let entry = self.entries[place as usize];
            if entry.at != FREE && entry.agent == agent {
                self.remove(place);
            }
        }
    }

    pub fn get(&self, agent: u32, name: TimerId) -> Option<Timer> {
        let place = self.find(agent, name, &Value::Null)?;
        Some(self.timer(&self.entries[place as usize]))
    }

    /// The agent had a command: its lifetime begins anew.
    pub fn touch(&mut self, agent: u32, now_ms: u64) {
        if let Some(place) = self.find(agent, TimerId::EXPIRE, &Value::Null) {
            let entry = &mut self.entries[place as usize];
            let due_ms = now_ms.saturating_add(unpacked(entry.every));
            entry.set_due(due_ms);
            let at = entry.at;
            if at != HIDDEN {
                self.settle(at as usize);
            }
        }
    }

    /// Whether records have to be told to it: for agents that end by themselves, and for entries that go for their age.
    pub fn has_lifetimes(&self) -> bool {
        self.has(|id| id == TimerId::EXPIRE || id.is_age())
    }

    fn has(&self, is_meant: impl Fn(TimerId) -> bool) -> bool {
        self.names.iter().any(|name| name.used > 0 && is_meant(name.id))
    }

    /// A record was made.
    pub fn mark(&mut self, lsn: u64, time_ms: u64) {
        if self.has(TimerId::is_age) {
            self.marks.add(lsn, time_ms);
        } else if !self.marks.all().is_empty() {
            self.marks.clear();
        }
    }

    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    pub fn marks_mut(&mut self) -> &mut Marks {
        &mut self.marks
    }

    /// When the first one is due.
    pub fn next_ms(&self) -> Option<u64> {
        self.heap.first().map(|place| self.entries[*place as usize].due())
    }

    pub fn first(&self) -> Option<Timer> {
        self.heap.first().map(|place| self.timer(&self.entries[*place as usize]))
    }

    /// The plan does not have the first one's name: it waits until it is shown again.
    pub fn hide_first(&mut self) {
        if let Some(place) = self.heap.first().copied() {
            self.unlink(place);
            self.hidden += 1;
        }
    }

    /// The plan may have other names now.
    pub fn show(&mut self) {
        if self.hidden == 0 {
            return;
        }
        self.hidden = 0;
        for place in 0..self.entries.len() as u32 {
            if self.entries[place as usize].at == HIDDEN {
                self.link(place);
            }
        }
    }

    pub fn all(&self) -> impl Iterator<Item = Timer> {
        self.entries.iter().filter(|entry| entry.at != FREE).map(|entry| self.timer(entry))
    }

    fn timer(&self, entry: &Entry) -> Timer {
        Timer {
            agent: entry.agent,
            name: self.names[entry.name()].id,
            key: self.key(entry).unwrap_or_default(),
            due_ms: entry.due(),
            every_ms: unpacked(entry.every),
        }
    }

    fn key(&self, entry: &Entry) -> Option<Value> {
        match entry.form() {
            Form::NoKey => None,
            Form::Int => Some(Value::Int(entry.key as i64)),
            Form::Other => Some(self.keys.all[entry.key as usize].clone()),
        }
    }

    fn has_key(&self, entry: &Entry, key: &Value) -> bool {
        match (entry.form(), key) {
            (Form::NoKey, Value::Null) => true,
            (Form::Int, Value::Int(number)) => entry.key == *number as u64,
            (Form::Other, _) => self.keys.all[entry.key as usize] == *key,
            _ => false,
        }
    }

    fn hash(&self, agent: u32, name: usize, key: &Value) -> u64 {
        self.hashing.hash_one((agent, name, key))
    }

    fn hash_of(&self, entry: &Entry) -> u64 {
        let (agent, name) = (entry.agent, entry.name());
        match entry.form() {
            Form::NoKey => self.hash(agent, name, &Value::Null),
            Form::Int => self.hash(agent, name, &Value::Int(entry.key as i64)),
            Form::Other => self.hash(agent, name, &self.keys.all[entry.key as usize]),
        }
    }

    fn find(&self, agent: u32, name: TimerId, key: &Value) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let name = self.names.iter().position(|known| known.used > 0 && known.id == name)?;
        let is_it = |place: &u32| {
            let entry = &self.entries[*place as usize];
            entry.agent == agent && entry.name() == name && self.has_key(entry, key)
        };
        self.index.find(self.hash(agent, name, key), is_it).copied()
    }

    /// A new entry that is due never and not in the heap yet.
    fn add(&mut self, agent: u32, name: TimerId, key: &Value) -> u32 {
        let name = self.named(name);
        let (form, key_bits) = match key {
            Value::Null => (0, 0),
            Value::Int(number) => (1, *number as u64),
            other => (2, self.keys.add(other)),
        };
        let entry =
            Entry { when: form << 62 | (name as u64) << 48, key: key_bits, agent, at: HIDDEN, every: 0 };
        let place = if let Some(place) = self.free {
            let next = std::mem::replace(&mut self.entries[place as usize], entry).agent;
            self.free = (next != FREE).then_some(next);
            place
        } else {
            grow(&mut self.entries);
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        };
        let hash = self.hash(agent, name, key);
        let mut index = std::mem::take(&mut self.index);
        index.insert_unique(hash, place, |place| self.hash_of(&self.entries[*place as usize]));
        self.index = index;
        place
    }

    /// The number of a name, which is used once more.
    fn named(&mut self, id: TimerId) -> usize {
        let known = self.names.iter().position(|known| known.used > 0 && known.id == id);
        let place = known.or_else(|| self.names.iter().position(|known| known.used == 0));
        let place = place.unwrap_or_else(|| {
            self.names.push(Name { id, used: 0 });
            self.names.len() - 1
        });
        debug_assert!(place < NAMES_MAX, "more names than a slot can have");
        self.names[place] = Name { id, used: self.names[place].used + 1 };
        place
    }

    fn remove(&mut self, place: u32) {
        self.unlink(place);
        let entry = self.entries[place as usize];
        let hash = self.hash_of(&entry);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == place) {
            found.remove();
        }
        if entry.form() == Form::Other {
            self.keys.remove(entry.key);
        }
        self.names[entry.name()].used -= 1;
        let next = self.free.replace(place).unwrap_or(FREE);
        self.entries[place as usize] = Entry { agent: next, at: FREE, ..entry };
        if self.is_empty() && self.entries.len() > KEPT {
            *self = Timers::default();
        }
    }

    /// Takes an entry out of the heap, or from those that are hidden.
    fn unlink(&mut self, place: u32) {
        let at = self.entries[place as usize].at;
        self.entries[place as usize].at = HIDDEN;
        if at == HIDDEN {
            self.hidden -= 1;
            return;
        }
        self.heap.swap_remove(at as usize);
        if let Some(moved) = self.heap.get(at as usize).copied() {
            self.entries[moved as usize].at = at;
            self.settle(at as usize);
        }
    }

    fn link(&mut self, place: u32) {
        grow(&mut self.heap);
        self.heap.push(place);
        let at = self.heap.len() - 1;
        self.entries[place as usize].at = at as u32;
        self.settle(at);
    }

    fn due_at(&self, at: usize) -> u64 {
        self.entries[self.heap[at] as usize].due()
    }

    /// Moves what is at a place of the heap to where it belongs.
    fn settle(&mut self, mut at: usize) {
        while at > 0 && self.due_at(at) < self.due_at((at - 1) / CHILDREN) {
            self.swap(at, (at - 1) / CHILDREN);
            at = (at - 1) / CHILDREN;
        }
        loop {
            let children = at * CHILDREN + 1..(at * CHILDREN + 1 + CHILDREN).min(self.heap.len());
            let Some(least) = children.min_by_key(|child| self.due_at(*child)) else { return };
            if self.due_at(at) <= self.due_at(least) {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for at in [a, b] {
            self.entries[self.heap[at] as usize].at = at as u32;
        }
    }
}

#[cfg(test)]
mod tests;
