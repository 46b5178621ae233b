//! The entries of a map lane: all of them in key order, with tombstones, as a tree that the owner's lane may share; and
//! those that have changed since the mirror began in the order in which they did.

use super::{Cell, Item, MirrorChange};
use crate::broken::{self, Broken};
use crate::link::{Change, Versioned};
use crate::map::{Map, Stamp, Stamped as _};
use hashbrown::{DefaultHashBuilder, HashTable};
use proto::value::Value;
use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::ops::Bound;

#[derive(Debug, Default)]
pub struct Entries {
    all: Map,
    /// Nothing, until something changes.
    changes: Option<Box<Changes>>,
    /// The position of the last `clear`: it stands for all before it.
    cleared: Stamp,
    /// The position of the newest removal of which the tombstone has been dropped.
    horizon: Stamp,
}

/// Keys that have changed, with the texts of what watchers are told of them.
#[derive(Debug, Default)]
struct Changes {
    places: Vec<Entry>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
    hashing: DefaultHashBuilder,
    /// Places by the position of their last change.
    by_order: BTreeMap<Stamp, u32>,
}

#[derive(Debug)]
struct Entry {
    key: Cell,
    /// None: it was removed.
    value: Option<Cell>,
    at: Stamp,
}

impl Entries {
    /// What the owner has; nothing has changed since.
    pub fn begin(all: Map) -> Entries {
        Entries { all, ..Entries::default() }
    }

    /// A snapshot.
    pub fn all(&self) -> &Map {
        &self.all
    }

    pub fn put(&mut self, key: Value, value: Value, at: Stamp) {
        self.all.put(key.clone(), value.clone(), at);
        self.changes().note(key, Some(value), at);
    }

    /// Where not all is here, a key that is not may be what a watcher has. False: nobody has it.
    pub fn remove(&mut self, key: Value, at: Stamp, is_complete: bool) -> bool {
        let (was_there, dropped) = self.all.strike(&key, at);
        self.forget(&dropped);
        let is_news = was_there || !is_complete;
        if is_news {
            self.changes().note(key, None, at);
        }
        is_news
    }

    pub fn clear(&mut self, at: Stamp) {
        drop(self.all.clear(at));
        (self.changes, self.cleared) = (None, at);
    }

    fn changes(&mut self) -> &mut Changes {
        self.changes.get_or_insert_default()
    }

    /// Other entries, of which watchers have been told what differs, and what was removed for them at this version.
    pub fn replace(&mut self, all: Map, removed: Vec<Value>, version: u64) {
        self.all = all;
        for key in removed {
            let (_, dropped) = self.all.strike(&key, Stamp { version, index: 0 });
            self.forget(&dropped);
        }
    }

    /// Adds what the owner has said of what was before all that changed here, which is told to nobody. `is_all`: the
    /// owner has said all that there is. Until now removals were known from `since` on.
    pub fn join(&mut self, mut said: Map, is_all: bool, since: u64) {
        let known_from = since.min(said.known_from());
        if !is_all {
            self.all.add(&said, true, known_from);
            return;
        }
        if known_from < said.known_from() {
            said.add(&self.all, false, known_from);
        }
        self.all = said;
    }

    fn forget(&mut self, dropped: &[(Value, Stamp)]) {
        if let Some(changes) = &mut self.changes {
            let forgotten = dropped.iter().filter_map(|(key, _)| changes.forget(key));
            self.horizon = forgotten.fold(self.horizon, Stamp::max);
        }
    }

    /// Whether a change of the owner's is what is here.
    pub fn has(&self, told: &Versioned) -> bool {
        let version = match &told.change {
            Change::Put(key, value) => {
                let entry = self.all.get(key).filter(|entry| entry.value == *value);
                entry.map(crate::map::Entry::version)
            }
            Change::Remove(key) => self.all.removed_at(key).map(|stamp| stamp.version),
            Change::Clear => Some(self.cleared.version),
            Change::Set(_) | Change::Event(_) => None,
        };
        version == Some(told.version)
    }

    /// Whether everything that happened after a position is known here, for a watcher that was told the state.
    pub fn reaches(&self, at: Stamp) -> bool {
        at.max(self.cleared) >= self.horizon
    }

    /// Whether it is known here what was removed after the versions below this.
    pub fn knows_removals(&self, since: Stamp) -> bool {
        let gone = self.all.gone();
        since.max(gone.cleared) >= gone.horizon
    }

    /// What happened after `at`. What had been removed when the watcher began is not said.
    pub fn newer(&self, at: Stamp, began: Stamp) -> impl Iterator<Item = Item<'_>> {
        let cleared = self.cleared;
        let clear = (cleared > at.max(began)).then_some(Item { at: cleared, said: MirrorChange::Clear });
        let changed = self.changes.iter().flat_map(move |changes| changes.newer(at, began));
        clear.into_iter().chain(changed)
    }

    /// The changes that make these entries, all of which are here, the owner's `next`, which is whole at `version`, in
    /// the order in which they happened.
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

    /// Live entries, and tombstones in the order of changes.
    #[cfg(test)]
    pub fn kept(&self) -> (usize, usize) {
        let removed = |changes: &Changes| {
            changes.by_order.values().filter(|place| changes.places[**place as usize].value.is_none()).count()
        };
        (self.all.len(), self.changes.as_ref().map_or(0, |changes| removed(changes)))
    }
}

/// What has happened to a Map after a version that is not below what it knows of, in the order in which it did.
pub fn changes_after(map: &Map, version: u64) -> Vec<Versioned> {
    let since = Stamp::end_of(version);
    let clear = (map.gone().cleared > since).then_some((map.gone().cleared, Change::Clear));
    let put = map
        .changed(None, Some(since))
        .map(|(key, entry)| (entry.stamp(), Change::Put(key.clone(), entry.value.clone())));
    let removed = map.removed(None, since).map(|(key, stamp)| (stamp, Change::Remove(key.clone())));
    let mut changes: Vec<_> = clear.into_iter().chain(put).chain(removed).collect();
    // A clear comes before what its own record has put.
    changes.sort_by_key(|(stamp, change)| (*stamp, !matches!(change, Change::Clear)));
    changes.into_iter().map(|(stamp, change)| Versioned { change, version: stamp.version }).collect()
}

impl Changes {
    fn place(&self, key: &Value) -> Option<u32> {
        let hash = self.hashing.hash_one(key);
        self.by_key.find(hash, |place| self.places[*place as usize].key.value() == key).copied()
    }

    /// A key has another value, or none any more.
    fn note(&mut self, key: Value, value: Option<Value>, at: Stamp) {
        let value = value.map(Cell::new);
        match self.place(&key) {
            Some(place) => {
                let entry = &mut self.places[place as usize];
                self.by_order.remove(&entry.at);
                (entry.value, entry.at) = (value, at);
                self.by_order.insert(at, place);
            }
            None => self.add(Entry { key: Cell::new(key), value, at }),
        }
    }

    fn add(&mut self, entry: Entry) {
        let (at, hash) = (entry.at, self.hashing.hash_one(entry.key.value()));
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
        self.by_order.insert(at, place);
    }

    /// A tombstone has been dropped: whoever has not been told it begins anew.
    fn forget(&mut self, key: &Value) -> Option<Stamp> {
        let place = self.place(key)?;
        let hash = self.hashing.hash_one(key);
        if let Ok(found) = self.by_key.find_entry(hash, |other| *other == place) {
            found.remove();
        }
        let empty = Entry { key: Cell::new(Value::Null), value: None, at: Stamp::default() };
        let Entry { at, .. } = std::mem::replace(&mut self.places[place as usize], empty);
        self.by_order.remove(&at);
        self.free.push(place);
        Some(at)
    }

    fn newer(&self, at: Stamp, began: Stamp) -> impl Iterator<Item = Item<'_>> {
        self.by_order.range((Bound::Excluded(at), Bound::Unbounded)).filter_map(move |(at, place)| {
            let Entry { key, value, .. } = &self.places[*place as usize];
            let said = match value {
                Some(value) => MirrorChange::Put(key, value),
                None if *at > began && !broken::is(Broken::UntoldRemove) => MirrorChange::Remove(key),
                None => return None,
            };
            Some(Item { at: *at, said })
        })
    }
}
