//! The entries of a map lane in the order in which they last changed, with tombstones of those that were removed.

use super::{Cell, Item, Said};
use crate::link::{Change, Versioned};
use hashbrown::{DefaultHashBuilder, HashTable};
use proto::value::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::BuildHasher as _;

/// Fewer tombstones than this are always kept.
const TOMBSTONES_MIN: usize = 1_024;

#[derive(Debug, Default)]
pub struct Entries {
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
    fn place(&self, key: &Value) -> Option<u32> {
        let hash = self.hashing.hash_one(key);
        self.by_key.find(hash, |place| self.places[*place as usize].key.value() == key).copied()
    }

    fn live(&self) -> usize {
        self.by_order.len() - self.tombstones.len()
    }

    pub fn put(&mut self, key: Value, value: Value, version: u64, order: u64) {
        let value = Some(Cell::new(value));
        match self.place(&key) {
            Some(place) => {
                let entry = &mut self.places[place as usize];
                entry.value = value;
                self.change(place, version, order);
            }
            None => self.add(Entry { key: Cell::new(key), value, order, version }),
        }
    }

    /// False: it was not there.
    pub fn remove(&mut self, key: &Value, version: u64, order: u64) -> bool {
        let Some(place) = self.place(key) else { return false };
        if self.places[place as usize].value.take().is_none() {
            return false;
        }
        self.change(place, version, order);
        self.tombstones.insert(order);
        while self.tombstones.len() > self.live().max(TOMBSTONES_MIN) {
            self.drop_tombstone();
        }
        true
    }

    pub fn clear(&mut self, version: u64, order: u64) {
        let hashing = std::mem::take(&mut self.hashing);
        *self = Entries { hashing, cleared: (order, version), ..Entries::default() };
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

    /// Whether everything that happened after `at` is known here, for a watcher that began at `began`.
    pub fn reaches(&self, at: u64, began: u64) -> bool {
        let (cleared, _) = self.cleared;
        at.max(began).max(cleared) >= self.horizon
    }

    /// What happened after `at`. What had been removed when the watcher began is not said.
    pub fn newer(&self, at: u64, began: u64) -> impl Iterator<Item = Item<'_>> {
        let (order, version) = self.cleared;
        let clear = (order > at.max(began)).then_some(Item { order, version, said: Said::Clear });
        let changed = self.by_order.range(at + 1..).filter_map(move |(order, place)| {
            let Entry { key, value, version, .. } = &self.places[*place as usize];
            let said = match value {
                Some(value) => Said::Put(key, value),
                None if *order > began => Said::Remove(key),
                None => return None,
            };
            Some(Item { order: *order, version: *version, said })
        });
        clear.into_iter().chain(changed)
    }

    /// The changes that make these entries the owner's `next`, which is whole at `version`.
    pub fn differ(&self, next: Vec<Versioned>, version: u64) -> Vec<Versioned> {
        let key = |versioned: &'_ Versioned| match &versioned.change {
            Change::Put(key, _) => Some(key.clone()),
            _ => None,
        };
        let wanted: HashSet<Value> = next.iter().filter_map(key).collect();
        let gone: Vec<Versioned> = self
            .by_order
            .values()
            .map(|place| &self.places[*place as usize])
            .filter(|entry| entry.value.is_some() && !wanted.contains(entry.key.value()))
            .map(|entry| Versioned { change: Change::Remove(entry.key.value().clone()), version })
            .collect();
        let mut changes = next;
        changes.retain(|versioned| match &versioned.change {
            Change::Put(key, value) => !self.holds(key, value, versioned.version),
            _ => true,
        });
        changes.extend(gone);
        changes
    }

    fn holds(&self, key: &Value, value: &Value, version: u64) -> bool {
        let entry = self.place(key).map(|place| &self.places[place as usize]);
        entry.is_some_and(|entry| {
            entry.version == version && entry.value.as_ref().is_some_and(|cell| cell.value() == value)
        })
    }

    pub fn in_key_order(&self) -> Vec<(Value, Value)> {
        let live = self.by_order.values().filter_map(|place| {
            let Entry { key, value, .. } = &self.places[*place as usize];
            Some((key.value().clone(), value.as_ref()?.value().clone()))
        });
        let mut live: Vec<_> = live.collect();
        live.sort_by(|(a, _), (b, _)| a.cmp(b));
        live
    }

    /// Live entries and tombstones.
    #[cfg(test)]
    pub fn kept(&self) -> (usize, usize) {
        (self.live(), self.tombstones.len())
    }
}
