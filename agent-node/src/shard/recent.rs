//! The last items of a slot's event lanes, for watchers that come back. Pure.
//!
//! *Guarantees*: of what came after [`Recent::from`] every item is there, in order; in memory it takes [`BYTES`] at
//! most. Replay and snapshots make the same.

use super::codec::{Broken, Reader, text, varint};
use crate::link::{Change, Versioned};
use proto::address::Address;
use proto::binary;
use proto::plan::LaneId;
use proto::value::Value;
use std::collections::VecDeque;

/// For each slot.
pub const BYTES: usize = 64 << 10;

#[derive(Debug, Default)]
pub struct Recent {
    items: VecDeque<Item>,
    bytes: usize,
    /// The version of the last item that is not there any more.
    from: u64,
}

#[derive(Debug, PartialEq)]
struct Item {
    agent: Address,
    lane: LaneId,
    version: u64,
    value: Value,
}

impl Item {
    fn bytes(&self) -> usize {
        size_of::<Item>() + self.value.heap_bytes()
    }
}

impl Recent {
    pub fn push(&mut self, agent: &Address, lane: LaneId, version: u64, value: Value) {
        let item = Item { agent: agent.clone(), lane, version, value };
        self.bytes += item.bytes();
        self.items.push_back(item);
        while self.bytes > BYTES
            && let Some(oldest) = self.items.pop_front()
        {
            self.bytes -= oldest.bytes();
            self.from = oldest.version;
        }
    }

    /// What is after this version is there.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// The items of a lane after a version, as far as they are there.
    pub fn after(&self, agent: &Address, lane: LaneId, version: u64) -> Vec<Versioned> {
        let version = version.max(self.from);
        let begin = self.items.partition_point(|item| item.version <= version);
        let of_lane = self.items.range(begin..).filter(|item| item.lane == lane && item.agent == *agent);
        of_lane
            .map(|item| Versioned { change: Change::Event(item.value.clone()), version: item.version })
            .collect()
    }

    /// Gives what a snapshot has of them, an item at a time.
    pub fn encode(&self, mut item: impl FnMut(&dyn Fn(&mut Vec<u8>))) {
        for Item { agent, lane, version, value } in &self.items {
            item(&|out| {
                text(agent.as_str(), out);
                out.extend_from_slice(&lane.0.to_le_bytes());
                varint(*version, out);
                binary::encode(value, out);
            });
        }
    }

    pub fn decode(&mut self, reader: &mut Reader) -> Result<(), Broken> {
        let agent = Address::trusted(reader.text()?);
        let (lane, version) = (LaneId(reader.u64()?), reader.varint()?);
        self.push(&agent, lane, version, reader.value()?);
        Ok(())
    }

    pub fn begin(from: u64) -> Recent {
        Recent { from, ..Recent::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_items_are_there_and_it_says_from_where_on() {
        let (one, other) = (Address::trusted("/a/1"), Address::trusted("/a/2"));
        let mut recent = Recent::default();
        for version in 1..=2_000 {
            let agent = if version % 2 == 0 { &other } else { &one };
            recent.push(agent, LaneId(7), version, Value::Int(version.cast_signed()));
            recent.push(agent, LaneId(8), version, Value::Null);
        }
        let from = recent.from();
        assert!(from > 1_000 && recent.bytes <= BYTES && recent.bytes > BYTES - 200, "{recent:?}");
        let versions = |after| -> Vec<u64> {
            recent.after(&one, LaneId(7), after).iter().map(|item| item.version).collect()
        };
        let odd = |after: u64| (after + 1..=2_000).filter(|version| version % 2 == 1).collect::<Vec<_>>();
        assert_eq!(versions(0), odd(from));
        assert_eq!(versions(1_990), odd(1_990));
        recent.push(&one, LaneId(7), 2_001, Value::text(&"x".repeat(BYTES)));
        assert_eq!((recent.from(), recent.items.len(), recent.bytes), (2_001, 0, 0), "one that is too large");
    }
}
