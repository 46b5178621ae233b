//! One lane of one agent: its state, and how a change is made and taken back.

use crate::map::{self, Map, Stamp};
use proto::value::Value;
use std::sync::LazyLock;

/// The state of a lane. Command and Supply lanes have none.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum LaneState {
    /// As the plan begins it.
    #[default]
    Untouched,
    Value(Value, u64),
    Map(Box<Map>),
}

/// What takes a change back.
#[derive(Debug)]
pub enum Undo {
    Lane(LaneState),
    Entry(map::Undo),
}

impl LaneState {
    pub fn version(&self) -> u64 {
        match self {
            LaneState::Untouched => 0,
            LaneState::Value(_, version) => *version,
            LaneState::Map(map) => map.version(),
        }
    }

    pub fn map(&self) -> &Map {
        static EMPTY: LazyLock<Map> = LazyLock::new(Map::default);
        match self {
            LaneState::Map(map) => map,
            _ => &EMPTY,
        }
    }

    pub fn set(&mut self, value: Value, version: u64) -> Undo {
        Undo::Lane(std::mem::replace(self, LaneState::Value(value, version)))
    }

    pub fn put(&mut self, key: Value, value: Value, stamp: Stamp) -> Undo {
        if let LaneState::Map(map) = self {
            return Undo::Entry(map.put(key, value, stamp));
        }
        // What a lane that was of another kind had before is unknown to those who come back.
        let is_new = matches!(self, LaneState::Untouched);
        let mut map = if is_new { Map::default() } else { Map::unknown_before(stamp) };
        map.put(key, value, stamp);
        Undo::Lane(std::mem::replace(self, LaneState::Map(Box::new(map))))
    }

    /// `None`: it was not there.
    pub fn remove(&mut self, key: &Value, stamp: Stamp) -> Option<Undo> {
        let LaneState::Map(map) = self else { return None };
        Some(Undo::Entry(map.remove(key, stamp)?))
    }

    /// `None`: it was empty.
    pub fn clear(&mut self, stamp: Stamp) -> Option<Undo> {
        let LaneState::Map(map) = self else { return None };
        if map.is_empty() {
            return None;
        }
        Some(Undo::Lane(LaneState::Map(Box::new(map.clear(stamp)))))
    }

    pub fn undo(&mut self, undo: Undo) {
        match (undo, self) {
            (Undo::Lane(was), lane) => *lane = was,
            (Undo::Entry(undo), LaneState::Map(map)) => map.undo(undo),
            (Undo::Entry(_), _) => unreachable!("changes are taken back in turn"),
        }
    }
}
