//! The entries of a Map lane, as a copy-on-write tree.
//!
//! A clone is a snapshot: it costs one count, stays as it is while the lane goes on, and can be walked on any thread.
//! Whoever holds one keeps in memory what the lane has replaced since, at most all of it: that is what
//! [`Map::bytes`] is known for.
//!
//! *Guarantees.* Entries are in key order. Each knows the version and index of the change that made it, and the map
//! finds the one that was changed longest ago in the time of a lookup.

pub mod tree;

pub use tree::{Stamp, Stamped, Tree};

use proto::cel::Entries;
use proto::value::Value;
use std::ops::ControlFlow;

#[derive(Debug, Clone, Default)]
pub struct Map {
    entries: Tree<Value, Entry>,
    /// The version of the last change.
    version: u64,
    /// What the entries take in memory, about.
    bytes: usize,
    gone: Gone,
}

/// What is known of entries that are no more. Tombstones have their place here, by the same stamps: none is kept yet,
/// so the horizon is where the newest entry was removed.
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
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the entries take in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn gone(&self) -> Gone {
        self.gone
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

    /// Keys and values, in key order.
    pub fn values(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.entries.entries().map(|(key, entry)| (key, &entry.value))
    }

    /// The key of the entry that was changed longest ago.
    pub fn oldest(&self) -> Option<&Value> {
        self.entries.oldest().map(|(key, _)| key)
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
        Undo { key, was, version: std::mem::replace(&mut self.version, version), gone: self.gone }
    }

    /// `None`: it was not there.
    pub fn remove(&mut self, key: &Value, stamp: Stamp) -> Option<Undo> {
        let was = self.extract(key)?;
        let gone = self.gone;
        self.gone.horizon = stamp;
        let version = std::mem::replace(&mut self.version, stamp.version);
        Some(Undo { key: key.clone(), was: Some(was), version, gone })
    }

    /// The map as it was before.
    #[must_use]
    pub fn clear(&mut self, stamp: Stamp) -> Map {
        let gone = Gone { cleared: stamp, horizon: stamp };
        std::mem::replace(self, Map { version: stamp.version, gone, ..Map::default() })
    }

    /// Takes back the change that was made last.
    pub fn undo(&mut self, undo: Undo) {
        let Undo { key, was, version, gone } = undo;
        match was {
            Some(was) => drop(self.insert(key, was)),
            None => drop(self.extract(&key)),
        }
        (self.version, self.gone) = (version, gone);
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

/// Equal entries, changed by the same records.
impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        (self.len(), self.version, self.gone) == (other.len(), other.version, other.gone)
            && self.entries().eq(other.entries())
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
