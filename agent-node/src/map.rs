//! The entries of a Map lane, as a copy-on-write tree.
//!
//! A clone is a snapshot: it costs one count, stays as it is while the lane goes on, and can be walked on any thread.
//! Whoever holds one keeps in memory what the lane has replaced since, at most all of it: that is what
//! [`Map::bytes`] is known for.
//!
//! Who holds the map of an earlier version is told what has changed since: the entries with higher stamps, and the
//! *tombstones* of those that were removed. Of these there are as many as live entries at most, but always room for
//! 1,024; what a drop of the oldest has made unknown lies below the *horizon*. A `clear` is one mark, which stands for
//! all before it.
//!
//! *Guarantees.* Entries are in key order. Each knows the version and index of the change that made it, and the map
//! finds the one that was changed longest ago in the time of a lookup. What is taken back leaves the map as it was,
//! tombstones and horizon with it.

#[cfg(test)]
mod tests;
pub mod tree;

pub use tree::{Stamp, Stamped, Tree};

use crate::broken::{self, Broken};
use proto::cel::Entries;
use proto::value::Value;
use std::ops::ControlFlow;

/// So many tombstones are kept, however few entries there are.
pub const TOMBSTONES_MIN: usize = 1_024;

#[cfg(not(test))]
const fn tombstones_min() -> usize {
    TOMBSTONES_MIN
}

#[cfg(test)]
pub use tests::{keep_few, tombstones_min};

#[derive(Debug, Clone, Default)]
pub struct Map {
    entries: Tree<Value, Entry>,
    /// The version of the last change.
    version: u64,
    /// What entries and tombstones take in memory, about.
    bytes: usize,
    gone: Gone,
    /// When keys were removed that have no entry; none of them before the last `clear`.
    tombstones: Option<Tree<Value, Stamp>>,
    /// Room for so many tombstones, where there are more than entries.
    spared: u32,
}

/// How far back it is known what was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gone {
    /// The last `clear`: it stands for all before it.
    pub cleared: Stamp,
    /// What was removed one by one up to here, and after the last `clear`, is not known.
    pub horizon: Stamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub value: Value,
    version: u64,
    index: u32,
    /// What key and value take in memory, about.
    bytes: u32,
}

/// What takes a change of one entry back.
#[derive(Debug)]
pub struct Undo {
    key: Value,
    was: Option<Entry>,
    /// The key's tombstone.
    tombstone: Option<Stamp>,
    /// Tombstones for which there was no room any more.
    dropped: Vec<(Value, Stamp)>,
    version: u64,
    gone: Gone,
}

impl Entry {
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl Stamped for Entry {
    fn stamp(&self) -> Stamp {
        Stamp { version: self.version, index: self.index }
    }
}

impl Map {
    /// Nothing of which it is known what was removed up to then.
    pub fn unknown_before(horizon: Stamp) -> Map {
        Map { gone: Gone { horizon, ..Gone::default() }, ..Map::default() }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// What entries and tombstones take in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn gone(&self) -> Gone {
        self.gone
    }

    /// Who holds the map of this version, or of a later one, can be told all that was removed since.
    pub fn known_from(&self) -> u64 {
        if self.gone.horizon <= self.gone.cleared { 0 } else { self.gone.horizon.version }
    }

    /// The keys above `key`, or all, that were removed after `since` and have not come back, in key order.
    pub fn removed<'a>(
        &'a self,
        key: Option<&Value>,
        since: Stamp,
    ) -> impl Iterator<Item = (&'a Value, Stamp)> + use<'a> {
        let removed = self.tombstones.as_ref().map(|tombstones| tombstones.changed(key, Some(since)));
        removed.into_iter().flatten().map(|(key, stamp)| (key, *stamp))
    }

    pub fn tombstones(&self) -> usize {
        self.tombstones.as_ref().map_or(0, Tree::len)
    }

    /// Equal for two maps only if they are clones of one state.
    pub fn identity(&self) -> usize {
        self.entries.identity()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn has(&self, key: &Value) -> bool {
        self.entries.get(key).is_some()
    }

    pub fn get(&self, key: &Value) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// In key order.
    pub fn entries(&self) -> tree::Iter<'_, Value, Entry> {
        self.entries.entries()
    }

    /// The entries with higher keys, or all, in key order.
    pub fn after(&self, key: Option<&Value>) -> tree::Iter<'_, Value, Entry> {
        key.map_or_else(|| self.entries.entries(), |key| self.entries.after(key))
    }

    /// The same of those that were changed after `since`, or whenever that was.
    pub fn changed(&self, key: Option<&Value>, since: Option<Stamp>) -> tree::Changed<'_, Value, Entry> {
        self.entries.changed(key, since)
    }

    /// Keys and values, in key order.
    pub fn values(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.entries.entries().map(|(key, entry)| (key, &entry.value))
    }

    /// The key of the entry that was changed longest ago.
    pub fn oldest(&self) -> Option<&Value> {
        self.entries.oldest().map(|(key, _)| key)
    }

    /// The entry that was changed longest ago, and the LSN of the record that did so.
    pub fn oldest_entry(&self) -> Option<(&Value, u64)> {
        let oldest = self.oldest()?;
        let version = self.get(oldest)?.version;
        Some((oldest, proto::ring::lsn(version)))
    }

    pub fn last_key(&self) -> Option<&Value> {
        self.entries.last().map(|(key, _)| key)
    }

    /// Whether it can be shown as a JSON object. Texts stand together in the order of keys.
    pub fn has_only_texts_as_keys(&self) -> bool {
        let ends = [self.entries.first(), self.entries.last()];
        ends.iter().flatten().all(|(key, _)| matches!(key, Value::Text(_)))
    }

    /// Adds all entries of another map.
    pub fn append(&mut self, other: &Map) {
        for (key, entry) in other.entries() {
            self.insert(key.clone(), entry.clone());
        }
    }

    pub fn put(&mut self, key: Value, value: Value, stamp: Stamp) -> Undo {
        let Stamp { version, index } = stamp;
        let bytes = size_of::<(Value, Entry)>() + key.heap_bytes() + value.heap_bytes();
        let entry = Entry { value, version, index, bytes: bytes.try_into().unwrap_or(u32::MAX) };
        let was = self.insert(key.clone(), entry);
        // What was there has no tombstone.
        let tombstone = if was.is_some() { None } else { self.unbury(&key) };
        let version = std::mem::replace(&mut self.version, version);
        Undo { key, was, tombstone, dropped: Vec::new(), version, gone: self.gone }
    }

    /// `None`: it was not there.
    pub fn remove(&mut self, key: &Value, stamp: Stamp) -> Option<Undo> {
        let was = self.extract(key)?;
        let gone = self.gone;
        self.entomb(key, stamp);
        let dropped = self.drop_tombstones();
        let version = std::mem::replace(&mut self.version, stamp.version);
        Some(Undo { key: key.clone(), was: Some(was), tombstone: None, dropped, version, gone })
    }

    /// The same entries, as a snapshot has them with this version and what is known of those that are gone.
    #[must_use]
    pub fn as_known(self, version: u64, gone: Gone) -> Map {
        Map { version, gone, ..self }
    }

    /// A key is removed, whether or not it was there. Says whether it was, and which tombstones have had to go.
    pub fn strike(&mut self, key: &Value, stamp: Stamp) -> (bool, Vec<(Value, Stamp)>) {
        let was_there = self.extract(key).is_some();
        self.entomb(key, stamp);
        self.version = stamp.version;
        (was_there, self.drop_tombstones())
    }

    /// What another map of the same lane knows of the keys that this one knows nothing of; `entries`: not only that they
    /// were removed. Both together know all that was removed after the version `known_from`.
    pub fn add(&mut self, other: &Map, entries: bool, known_from: u64) {
        for (key, entry) in other.entries().filter(|_| entries) {
            if !self.has(key) && self.removed_at(key).is_none() {
                self.insert(key.clone(), entry.clone());
            }
        }
        for (key, stamp) in other.removed(None, Stamp::default()) {
            if !self.has(key) && self.removed_at(key).is_none() {
                self.entomb(key, stamp);
            }
        }
        self.gone.cleared = self.gone.cleared.max(other.gone.cleared);
        self.know_from(known_from);
    }

    /// All that was removed after this version is known here, and stays so while nothing more is removed.
    pub fn know_from(&mut self, version: u64) {
        self.gone.horizon = Stamp { version, index: 0 };
        self.spared = self.tombstones().try_into().unwrap_or(u32::MAX);
    }

    /// Keeps as many tombstones as come.
    pub fn keep_all(&mut self) {
        self.spared = u32::MAX;
    }

    /// When a key was removed, if its tombstone is here.
    pub fn removed_at(&self, key: &Value) -> Option<Stamp> {
        self.tombstones.as_ref()?.get(key).copied()
    }

    /// The map as it was before.
    #[must_use]
    pub fn clear(&mut self, stamp: Stamp) -> Map {
        let gone = Gone { cleared: stamp, horizon: stamp };
        let spared = self.spared;
        std::mem::replace(self, Map { version: stamp.version, gone, spared, ..Map::default() })
    }

    /// Takes back the change that was made last.
    pub fn undo(&mut self, undo: Undo) {
        let Undo { key, was, tombstone, dropped, version, gone } = undo;
        for (key, stamp) in dropped {
            self.entomb(&key, stamp);
        }
        if tombstone.is_none() {
            self.unbury(&key);
        }
        if let Some(was) = was {
            self.insert(key, was);
        } else {
            self.extract(&key);
            if let Some(stamp) = tombstone {
                self.entomb(&key, stamp);
            }
        }
        (self.version, self.gone) = (version, gone);
    }

    /// A tombstone that a snapshot has.
    pub fn bury(&mut self, key: &Value, stamp: Stamp) {
        self.entomb(key, stamp);
    }

    fn entomb(&mut self, key: &Value, stamp: Stamp) {
        self.bytes += tombstone_bytes(key);
        let before = self.tombstones.get_or_insert_default().insert(key.clone(), stamp);
        if before.is_some() {
            self.bytes -= tombstone_bytes(key);
        }
    }

    /// The key is there again, or was never removed.
    fn unbury(&mut self, key: &Value) -> Option<Stamp> {
        let stamp = self.tombstones.as_mut()?.remove(key)?;
        self.bytes -= tombstone_bytes(key);
        Some(stamp)
    }

    /// The oldest go, as far as there are too many.
    fn drop_tombstones(&mut self) -> Vec<(Value, Stamp)> {
        let most = self.entries.len().max(tombstones_min()).max(self.spared as usize);
        let early = broken::is(Broken::EarlyTombstone);
        let (most, mut dropped) = (if early { 0 } else { most }, Vec::new());
        while let Some(tombstones) = self.tombstones.as_mut().filter(|tombstones| tombstones.len() > most)
            && let Some((key, stamp)) = tombstones.oldest().map(|(key, stamp)| (key.clone(), *stamp))
        {
            tombstones.remove(&key);
            self.bytes -= tombstone_bytes(&key);
            if !early {
                self.gone.horizon = stamp;
            }
            dropped.push((key, stamp));
        }
        dropped
    }

    fn insert(&mut self, key: Value, entry: Entry) -> Option<Entry> {
        self.bytes += entry.bytes as usize;
        let was = self.entries.insert(key, entry);
        self.bytes -= was.as_ref().map_or(0, |was| was.bytes as usize);
        was
    }

    fn extract(&mut self, key: &Value) -> Option<Entry> {
        let was = self.entries.remove(key)?;
        self.bytes -= was.bytes as usize;
        Some(was)
    }
}

fn tombstone_bytes(key: &Value) -> usize {
    size_of::<(Value, Stamp)>() + key.heap_bytes()
}

/// Entries that were told without the changes that made them.
impl Extend<(Value, Value)> for Map {
    fn extend<T: IntoIterator<Item = (Value, Value)>>(&mut self, entries: T) {
        for (key, value) in entries {
            self.put(key, value, Stamp::default());
        }
    }
}

impl FromIterator<(Value, Value)> for Map {
    fn from_iter<T: IntoIterator<Item = (Value, Value)>>(entries: T) -> Map {
        let mut map = Map::default();
        map.extend(entries);
        map
    }
}

/// A walk over a snapshot in pieces.
#[derive(Debug)]
pub struct Walk {
    map: Map,
    /// The last key that was visited.
    at: Option<Value>,
    left: usize,
}

impl Walk {
    pub fn new(map: Map) -> Walk {
        Walk { left: map.len(), at: None, map }
    }

    /// How many entries have not been visited.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Visits entries in key order from where it stands, until `visit` breaks or all are done.
    pub fn visit(&mut self, mut visit: impl FnMut(&Value, &Value) -> ControlFlow<()>) {
        let mut last = None;
        for (key, entry) in self.map.after(self.at.as_ref()) {
            last = Some(key);
            self.left -= 1;
            if visit(key, &entry.value).is_break() {
                break;
            }
        }
        self.at = last.cloned();
    }
}

/// Equal entries and tombstones, changed by the same records.
impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        let all = Stamp::default();
        (self.len(), self.version, self.gone) == (other.len(), other.version, other.gone)
            && self.entries().eq(other.entries())
            && self.removed(None, all).eq(other.removed(None, all))
    }
}

impl Entries for Map {
    fn get(&self, key: &Value) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn iter(&self) -> Box<dyn Iterator<Item = (&Value, &Value)> + '_> {
        Box::new(self.values())
    }
}
