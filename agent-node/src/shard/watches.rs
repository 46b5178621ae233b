//! Who is told of changes of which lane.

use proto::address::{Address, Slot};
use std::collections::HashMap;

#[derive(Debug)]
pub struct Watches<W> {
    agents: HashMap<Address, (Slot, Vec<(String, W)>)>,
}

impl<W: Clone + Eq> Watches<W> {
    pub fn new() -> Self {
        Watches { agents: HashMap::new() }
    }

    pub fn add(&mut self, agent: Address, slot: Slot, lane: String, watch: W) {
        let (_, lanes) = self.agents.entry(agent).or_insert_with(|| (slot, Vec::new()));
        if !lanes.iter().any(|(known, other)| *known == lane && *other == watch) {
            lanes.push((lane, watch));
        }
    }

    pub fn remove(&mut self, agent: &Address, lane: &str, watch: &W) {
        if let Some((_, lanes)) = self.agents.get_mut(agent) {
            lanes.retain(|(known, other)| known != lane || other != watch);
            if lanes.is_empty() {
                self.agents.remove(agent);
            }
        }
    }

    /// The lanes of an agent that anyone watches.
    pub fn of(&self, agent: &Address) -> &[(String, W)] {
        if self.agents.is_empty() {
            return &[];
        }
        self.agents.get(agent).map_or(&[], |(_, lanes)| lanes)
    }

    /// Takes out those of which `keep` says why they have to end.
    pub fn end<E>(&mut self, mut ends: impl FnMut(&Address, Slot, &str) -> Option<E>) -> Vec<(Slot, W, E)> {
        let mut ended = Vec::new();
        self.agents.retain(|agent, (slot, lanes)| {
            lanes.retain(|(lane, watch)| match ends(agent, *slot, lane) {
                None => true,
                Some(why) => {
                    ended.push((*slot, watch.clone(), why));
                    false
                }
            });
            !lanes.is_empty()
        });
        ended
    }
}
