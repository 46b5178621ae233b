//! Agents and maps in a snapshot: how they are written, and read again. Pure.
//!
//! An item of [`tag::AGENTS`] is an agent: its address, then each lane that has a state, by id: a value with its version,
//! a map with its entries, or that the map comes by itself. That is then a [`tag::MAP`] followed by its
//! [`tag::ENTRIES`] and [`tag::REMOVED`].

use super::agent::Agent;
use super::codec::{Broken, Reader, text, varint};
use super::lane::LaneState;
use super::timers::Timer;
use crate::map::{Entry, Gone, Map, Stamp, Stamped};
use crate::snapshot::Tag;
use proto::address::Address;
use proto::binary;
use proto::plan::{LaneId, TimerId};
use proto::value::Value;

/// What the sections of a slot's snapshot hold, in this order. Their numbers are for ever.
pub mod tag {
    use crate::snapshot::Tag;

    /// Other slots, each with the place up to which its messages have had their effect.
    pub const SEEN: Tag = Tag(1);
    pub const OUTBOX: Tag = Tag(2);
    pub const NAMES: Tag = Tag(3);
    pub const AGENTS: Tag = Tag(4);
    /// A map that is too large to stand with its agent: the agent's address, the lane's id, and what a map begins with.
    pub const MAP: Tag = Tag(5);
    /// Entries of the map before it.
    pub const ENTRIES: Tag = Tag(6);
    /// Tombstones of the map before it.
    pub const REMOVED: Tag = Tag(7);
    /// Each with the address of its agent.
    pub const TIMERS: Tag = Tag(8);
    /// When records were made, for entries that go for their age: LSNs, each with a time.
    pub const TIMES: Tag = Tag(9);
    /// From which version on the items of event lanes are there.
    pub const RECENT_FROM: Tag = Tag(10);
    pub const RECENT: Tag = Tag(11);
}

/// The item goes on in the next piece, which has the same tag.
pub const GOES_ON: u16 = 1 << 14;
/// A map that takes more memory than this comes by itself.
const LARGE: usize = 16 << 10;

const VALUE: u8 = 0;
const MAP: u8 = 1;
const LARGE_MAP: u8 = 2;

/// Whether an item goes on after this section.
pub fn goes_on(tag: Tag) -> (Tag, bool) {
    (Tag(tag.0 & !GOES_ON), tag.0 & GOES_ON != 0)
}

/// Writes an agent, and gives `large` the maps that are to come by themselves.
pub fn agent(address: &Address, agent: &Agent, out: &mut Vec<u8>, mut large: impl FnMut(LaneId, &Map)) {
    text(address.as_str(), out);
    let states = agent.states();
    varint(states.clone().count() as u64, out);
    for (id, state) in states {
        out.extend_from_slice(&id.0.to_le_bytes());
        match state {
            LaneState::Untouched => unreachable!("it has a state"),
            LaneState::Value(value, version) => {
                out.push(VALUE);
                varint(*version, out);
                binary::encode(value, out);
            }
            LaneState::Map(map) if map.bytes() > LARGE => {
                out.push(LARGE_MAP);
                large(id, map);
            }
            LaneState::Map(map) => {
                out.push(MAP);
                map_head(map, out);
                varint(map.len() as u64, out);
                map.entries().for_each(|(key, value)| entry(key, value, out));
                varint(map.tombstones() as u64, out);
                map.removed(None, Stamp::default()).for_each(|(key, stamp)| removed(key, stamp, out));
            }
        }
    }
}

/// Reads an agent: its address, with each of its lanes, or with none if it has none.
pub fn read_agent(
    reader: &mut Reader,
    mut each: impl FnMut(&str, Option<(LaneId, LaneState)>),
) -> Result<(), Broken> {
    let (address, lanes) = (reader.text()?, reader.varint()?);
    if lanes == 0 {
        each(address, None);
    }
    for _ in 0..lanes {
        let id = LaneId(reader.u64()?);
        let state = match reader.byte()? {
            VALUE => {
                let version = reader.varint()?;
                LaneState::Value(reader.value()?, version)
            }
            MAP => {
                let mut map = read_map_head(reader)?;
                for _ in 0..reader.varint()? {
                    read_entry(reader, &mut map)?;
                }
                for _ in 0..reader.varint()? {
                    read_removed(reader, &mut map)?;
                }
                LaneState::Map(Box::new(map.whole()))
            }
            LARGE_MAP => LaneState::Map(Box::default()),
            _ => return Err("a lane of an unknown kind"),
        };
        each(address, Some((id, state)));
    }
    Ok(())
}

pub fn timer(address: &Address, timer: &Timer, out: &mut Vec<u8>) {
    let Timer { agent: _, name, key, due_ms, every_ms } = timer;
    text(address.as_str(), out);
    out.extend_from_slice(&name.0.to_le_bytes());
    binary::encode(key, out);
    varint(*due_ms, out);
    varint(*every_ms, out);
}

/// A timer, but for the place of its agent.
pub fn read_timer(reader: &mut Reader) -> Result<(Address, Timer), Broken> {
    let (address, name) = (Address::trusted(reader.text()?), TimerId(reader.u64()?));
    let (key, due_ms, every_ms) = (reader.value()?, reader.varint()?, reader.varint()?);
    Ok((address, Timer { agent: 0, name, key, due_ms, every_ms }))
}

/// A map that comes by itself.
pub fn large_map(address: &Address, lane: LaneId, map: &Map, out: &mut Vec<u8>) {
    text(address.as_str(), out);
    out.extend_from_slice(&lane.0.to_le_bytes());
    map_head(map, out);
}

pub fn read_large_map(reader: &mut Reader) -> Result<(Address, LaneId, Reading), Broken> {
    let address = Address::trusted(reader.text()?);
    Ok((address, LaneId(reader.u64()?), read_map_head(reader)?))
}

/// A map that is being read.
#[derive(Debug)]
pub struct Reading {
    map: Map,
    version: u64,
    gone: Gone,
}

impl Reading {
    pub fn whole(self) -> Map {
        self.map.as_known(self.version, self.gone)
    }
}

fn map_head(map: &Map, out: &mut Vec<u8>) {
    varint(map.version(), out);
    let Gone { cleared, horizon } = map.gone();
    stamp(cleared, out);
    stamp(horizon, out);
}

fn read_map_head(reader: &mut Reader) -> Result<Reading, Broken> {
    let version = reader.varint()?;
    let (cleared, horizon) = (read_stamp(reader)?, read_stamp(reader)?);
    Ok(Reading { map: Map::default(), version, gone: Gone { cleared, horizon } })
}

pub fn entry(key: &Value, entry: &Entry, out: &mut Vec<u8>) {
    binary::encode(key, out);
    stamp(entry.stamp(), out);
    binary::encode(&entry.value, out);
}

pub fn read_entry(reader: &mut Reader, reading: &mut Reading) -> Result<(), Broken> {
    let (key, stamp) = (reader.value()?, read_stamp(reader)?);
    drop(reading.map.put(key, reader.value()?, stamp));
    Ok(())
}

/// A tombstone.
pub fn removed(key: &Value, at: Stamp, out: &mut Vec<u8>) {
    binary::encode(key, out);
    stamp(at, out);
}

pub fn read_removed(reader: &mut Reader, reading: &mut Reading) -> Result<(), Broken> {
    let key = reader.value()?;
    reading.map.bury(&key, read_stamp(reader)?);
    Ok(())
}

fn stamp(stamp: Stamp, out: &mut Vec<u8>) {
    varint(stamp.version, out);
    varint(stamp.index.into(), out);
}

fn read_stamp(reader: &mut Reader) -> Result<Stamp, Broken> {
    Ok(Stamp { version: reader.varint()?, index: reader.index()? })
}
