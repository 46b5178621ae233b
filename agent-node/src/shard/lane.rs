//! One lane of one agent: its state, and how a change is made and taken back.

use proto::cel::Entries;
use proto::value::Value;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;

/// The state of a lane. Command and Supply lanes have none.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Lane {
    /// As the plan begins it.
    #[default]
    Untouched,
    Value(Value, u64),
    Map(Box<Map>),
}

/// The entries of a Map lane, by key and by the order in which they changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Map {
    entries: BTreeMap<Value, Entry>,
    order: BTreeMap<u64, Value>,
    /// The order of the next change.
    next: u64,
    /// The version of the last change.
    version: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub value: Value,
    pub version: u64,
    order: u64,
}

/// What takes a change back.
#[derive(Debug)]
pub enum Undo {
    Lane(Lane),
    Entry { key: Value, was: Option<Entry>, version: u64 },
}

impl Lane {
    pub fn version(&self) -> u64 {
        match self {
            Lane::Untouched => 0,
            Lane::Value(_, version) => *version,
            Lane::Map(map) => map.version,
        }
    }

    pub fn map(&self) -> &Map {
        static EMPTY: Map = Map { entries: BTreeMap::new(), order: BTreeMap::new(), next: 0, version: 0 };
        match self {
            Lane::Map(map) => map,
            _ => &EMPTY,
        }
    }

    fn map_mut(&mut self) -> &mut Map {
        if !matches!(self, Lane::Map(_)) {
            *self = Lane::Map(Box::default());
        }
        match self {
            Lane::Map(map) => map,
            _ => unreachable!("it has just become one"),
        }
    }

    pub fn set(&mut self, value: Value, version: u64) -> Undo {
        Undo::Lane(std::mem::replace(self, Lane::Value(value, version)))
    }

    pub fn put(&mut self, key: Value, value: Value, version: u64) -> Undo {
        let map = self.map_mut();
        let (order, before) = (map.next, map.version);
        let entry = Entry { value, version, order };
        let was = match map.entries.entry(key.clone()) {
            Place::Occupied(mut place) => {
                let was = place.insert(entry);
                map.order.remove(&was.order);
                Some(was)
            }
            Place::Vacant(place) => {
                place.insert(entry);
                None
            }
        };
        map.order.insert(order, key.clone());
        (map.next, map.version) = (order + 1, version);
        Undo::Entry { key, was, version: before }
    }

    /// `None`: it was not there.
    pub fn remove(&mut self, key: &Value, version: u64) -> Option<Undo> {
        let Lane::Map(map) = self else { return None };
        let was = map.entries.remove(key)?;
        map.order.remove(&was.order);
        let before = std::mem::replace(&mut map.version, version);
        Some(Undo::Entry { key: key.clone(), was: Some(was), version: before })
    }

    /// `None`: it was empty.
    pub fn clear(&mut self, version: u64) -> Option<Undo> {
        let Lane::Map(map) = self else { return None };
        if map.entries.is_empty() {
            return None;
        }
        let empty = Map { next: map.next, version, ..Map::default() };
        Some(Undo::Lane(std::mem::replace(self, Lane::Map(Box::new(empty)))))
    }

    pub fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Lane(lane) => *self = lane,
            Undo::Entry { key, was, version } => {
                let map = self.map_mut();
                let is = match was {
                    Some(was) => {
                        map.order.insert(was.order, key.clone());
                        map.entries.insert(key, was)
                    }
                    None => map.entries.remove(&key),
                };
                if let Some(is) = is {
                    map.order.remove(&is.order);
                }
                map.version = version;
            }
        }
    }
}

impl Map {
    /// The key of the entry that was changed longest ago.
    pub fn oldest(&self) -> Option<&Value> {
        self.order.first_key_value().map(|(_, key)| key)
    }

    pub fn has(&self, key: &Value) -> bool {
        self.entries.contains_key(key)
    }

    /// In key order.
    pub fn all(&self) -> impl Iterator<Item = (&Value, &Entry)> {
        self.entries.iter()
    }

    pub fn last_key(&self) -> Option<&Value> {
        self.entries.last_key_value().map(|(key, _)| key)
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
        Box::new(self.entries.iter().map(|(key, entry)| (key, &entry.value)))
    }
}
