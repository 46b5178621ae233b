//! The agents of one slot: a table of their own, so that a slot can be walked, dropped and brought in by itself.
//!
//! *Guarantees*: an agent keeps its place for as long as it is there; places are without holes, from 0. Adding one moves
//! no other one, but for the table of places, which holds four bytes for each.

use super::agent::Agent;
use hashbrown::{DefaultHashBuilder, HashTable};
use proto::address::Address;
use std::hash::BuildHasher;

/// So many lie in one piece of memory.
const CHUNK: usize = 256;

#[derive(Debug, Default)]
pub struct Agents {
    /// By address, which is looked up where the agent lies.
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
    chunks: Vec<Vec<Entry>>,
    count: u32,
}

#[derive(Debug)]
struct Entry {
    address: Address,
    agent: Agent,
}

impl Agents {
    pub fn len(&self) -> u32 {
        self.count
    }

    pub fn find(&self, address: &Address) -> Option<u32> {
        let hash = self.hasher.hash_one(address);
        self.places.find(hash, |place| entry(&self.chunks, *place).address == *address).copied()
    }

    pub fn get(&self, place: u32) -> (&Address, &Agent) {
        let Entry { address, agent } = entry(&self.chunks, place);
        (address, agent)
    }

    pub fn at(&mut self, place: u32) -> &mut Agent {
        &mut self.chunks[place as usize / CHUNK][place as usize % CHUNK].agent
    }

    pub fn get_mut(&mut self, address: &Address) -> Option<&mut Agent> {
        self.find(address).map(|place| self.at(place))
    }

    /// Adds one that is not there.
    pub fn add(&mut self, address: Address, agent: Agent) -> u32 {
        let (place, hash) = (self.count, self.hasher.hash_one(&address));
        // The first piece grows with the slot; it is all that most slots have.
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(if self.chunks.is_empty() { 1 } else { CHUNK }));
        }
        self.chunks[place as usize / CHUNK].push(Entry { address, agent });
        let (hasher, chunks) = (&self.hasher, &self.chunks);
        self.places.insert_unique(hash, place, |other| hasher.hash_one(&entry(chunks, *other).address));
        self.count += 1;
        place
    }

    pub fn get_or_add(&mut self, address: Address, new: impl FnOnce() -> Agent) -> &mut Agent {
        let place = self.find(&address).unwrap_or_else(|| self.add(address, new()));
        self.at(place)
    }

    #[cfg(test)]
    pub fn all(&self) -> impl Iterator<Item = (&Address, &Agent)> {
        (0..self.count).map(|place| self.get(place))
    }
}

fn entry(chunks: &[Vec<Entry>], place: u32) -> &Entry {
    &chunks[place as usize / CHUNK][place as usize % CHUNK]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_where_it_was_put_and_only_there() {
        let mut agents = Agents::default();
        let address = |n: u32| Address::trusted(&format!("/a/{n}"));
        for n in 0..3_000 {
            assert_eq!(agents.find(&address(n)), None);
            assert_eq!(agents.add(address(n), Agent::default()), n);
        }
        assert_eq!(agents.len(), 3_000);
        for n in (0..3_000).rev() {
            assert_eq!(agents.find(&address(n)), Some(n));
            assert_eq!(agents.get(n).0, &address(n));
        }
        assert!(agents.get_mut(&address(3_000)).is_none());
        agents.get_or_add(address(5), Agent::default);
        assert_eq!(agents.len(), 3_000);
        agents.get_or_add(address(3_000), Agent::default);
        assert_eq!((agents.len(), agents.find(&address(3_000))), (3_001, Some(3_000)));
    }
}
