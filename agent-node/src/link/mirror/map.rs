//! The entries of a map lane: all of them in key order, as a tree that the owner's lane may share; and those that have
//! changed since the mirror began in the order in which they did, with tombstones of those that were removed.

use super::{Cell, Item, MirrorChange};
use crate::broken::{self, Broken};
use crate::link::{Change, Versioned};
use crate::map::{Map, Stamp, tree};
use hashbrown::{DefaultHashBuilder, HashTable};
use proto::value::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;

/// Fewer tombstones than this are always kept.
const TOMBSTONES_MIN: usize = 1_024;

#[derive(Debug, Default)]
pub struct Entries {
    all: Map,
    /// Nothing, until something changes.
    changes: Option<Box<Changes>>,
}

#[derive(Debug, Default)]
struct Changes {
    places: Vec<Entry>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
    hashing: DefaultHashBuilder,
    /// Places by the order of their last change.
    by_order: BTreeMap<u64, u32>,
    tombstones: BTreeSet<u64>,
    /// Order and version of the last `clear`: it stands for all before it.
    cleared: (u64, u64),
    /// The order of the newest tombstone that was dropped.
    horizon: u64,
}

#[derive(Debug)]
struct Entry {
    key: Cell,
    /// None: it was removed.
    value: Option<Cell>,
    order: u64,
    version: u64,
}

impl Entries {
    /// What the owner has; nothing has changed since.
    pub fn begin(all: Map) -> Entries {
        Entries { all, changes: None }
    }

    /// A snapshot.
    pub fn all(&self) -> &Map {
        &self.all
    }

    pub fn put(&mut self, key: Value, value: Value, version: u64, order: u64) {
        self.all.put(key.clone(), value.clone(), Stamp { version, index: 0 });
        self.changes().note(key, Some(value), version, order);
    }

    /// False: it was not there.
    pub fn remove(&mut self, key: &Value, version: u64, order: u64) -> bool {
        if self.all.remove(key, Stamp { version, index: 0 }).is_none() {
            return false;
        }
        let tombstones_max = self.all.len().max(TOMBSTONES_MIN);
        let changes = self.changes();
        changes.note(key.clone(), None, version, order);
        changes.keep_tombstones(tombstones_max);
        true
    }

    pub fn clear(&mut self, version: u64, order: u64) {
        drop(self.all.clear(Stamp { version, index: 0 }));
        self.changes().clear(version, order);
    }

    fn changes(&mut self) -> &mut Changes {
        self.changes.get_or_insert_default()
    }

    /// All entries above a key.
    pub fn after(&self, key: Option<&Value>) -> tree::Iter<'_, Value, crate::map::Entry> {
        self.all.after(key)
    }

    /// Whether everything that happened after `at` is known here, for a watcher that began at `began`.
    pub fn reaches(&self, at: u64, began: u64) -> bool {
        self.changes.as_ref().is_none_or(|changes| at.max(began).max(changes.cleared.0) >= changes.horizon)
    }

    /// What happened after `at`. What had been removed when the watcher began is not said.
    pub fn newer(&self, at: u64, began: u64) -> impl Iterator<Item = Item<'_>> {
        self.changes.iter().flat_map(move |changes| changes.newer(at, began))
    }

    /// The changes that make these entries the owner's `next`, which is whole at `version`, in the order in which they
    /// happened.
    pub fn differ(&self, next: &Map, version: u64) -> Vec<Versioned> {
        let mut changes = Vec::new();
        if self.all.identity() == next.identity() {
            return changes;
        }
        let mut ours = self.all.entries().peekable();
        let gone = |key: &Value, changes: &mut Vec<Versioned>| {
            changes.push(Versioned { change: Change::Remove(key.clone()), version });
        };
        for (key, entry) in next.entries() {
            while let Some((lower, _)) = ours.next_if(|(ours, _)| *ours < key) {
                gone(lower, &mut changes);
            }
            let held = ours.next_if(|(ours, _)| *ours == key);
            let is_here =
                held.is_some_and(|(_, ours)| ours.version() == entry.version() && ours.value == entry.value);
            if !is_here {
                let change = Change::Put(key.clone(), entry.value.clone());
                changes.push(Versioned { change, version: entry.version() });
            }
        }
        ours.for_each(|(key, _)| gone(key, &mut changes));
        changes.sort_by_key(|versioned| versioned.version);
        changes
    }

    /// Live entries and tombstones.
    #[cfg(test)]
    pub fn kept(&self) -> (usize, usize) {
        (self.all.len(), self.changes.as_ref().map_or(0, |changes| changes.tombstones.len()))
    }
}

impl Changes {
    fn place(&self, key: &Value) -> Option<u32> {
        let hash = self.hashing.hash_one(key);
        self.by_key.find(hash, |place| self.places[*place as usize].key.value() == key).copied()
    }

    /// A key has another value, or none any more.
    fn note(&mut self, key: Value, value: Option<Value>, version: u64, order: u64) {
        let removed = value.is_none();
        let value = value.map(Cell::new);
        match self.place(&key) {
            Some(place) => {
                self.places[place as usize].value = value;
                self.change(place, version, order);
            }
            None => self.add(Entry { key: Cell::new(key), value, order, version }),
        }
        if removed {
            self.tombstones.insert(order);
        }
    }

    fn keep_tombstones(&mut self, most: usize) {
        while self.tombstones.len() > most {
            self.drop_tombstone();
        }
    }

    fn clear(&mut self, version: u64, order: u64) {
        let hashing = std::mem::take(&mut self.hashing);
        *self = Changes { hashing, cleared: (order, version), ..Changes::default() };
    }

    fn change(&mut self, place: u32, version: u64, order: u64) {
        let entry = &mut self.places[place as usize];
        self.by_order.remove(&entry.order);
        self.tombstones.remove(&entry.order);
        (entry.version, entry.order) = (version, order);
        self.by_order.insert(order, place);
    }

    fn add(&mut self, entry: Entry) {
        let (order, hash) = (entry.order, self.hashing.hash_one(entry.key.value()));
        let place = if let Some(place) = self.free.pop() {
            self.places[place as usize] = entry;
            place
        } else {
            self.places.push(entry);
            self.places.len() as u32 - 1
        };
        let (places, hashing) = (&self.places, &self.hashing);
        let hash_of = |place: &u32| hashing.hash_one(places[*place as usize].key.value());
        self.by_key.insert_unique(hash, place, hash_of);
        self.by_order.insert(order, place);
    }

    /// The oldest: whoever has not been told it begins anew.
    fn drop_tombstone(&mut self) {
        let Some(order) = self.tombstones.pop_first() else { return };
        self.horizon = order;
        let Some(place) = self.by_order.remove(&order) else { return };
        let empty = Entry { key: Cell::new(Value::Null), value: None, order: 0, version: 0 };
        let entry = std::mem::replace(&mut self.places[place as usize], empty);
        let hash = self.hashing.hash_one(entry.key.value());
        if let Ok(found) = self.by_key.find_entry(hash, |other| *other == place) {
            found.remove();
        }
        self.free.push(place);
    }

    fn newer(&self, at: u64, began: u64) -> impl Iterator<Item = Item<'_>> {
        let (order, version) = self.cleared;
        let clear = (order > at.max(began)).then_some(Item { order, version, said: MirrorChange::Clear });
        let changed = self.by_order.range(at + 1..).filter_map(move |(order, place)| {
            let Entry { key, value, version, .. } = &self.places[*place as usize];
            let said = match value {
                Some(value) => MirrorChange::Put(key, value),
                None if *order > began && !broken::is(Broken::UntoldRemove) => MirrorChange::Remove(key),
                None => return None,
            };
            Some(Item { order: *order, version: *version, said })
        });
        clear.into_iter().chain(changed)
    }
}
