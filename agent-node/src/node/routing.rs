//! Where an address leads: decides by plan and ring, at one generation and one revision.

use crate::link::{Owner, Target};
use crate::peer::Configuration;
use crate::peer::{Identity, Numbers};
use crate::refusal::Refusal;
use crate::shard;
use proto::address::{Address, Slot};
use proto::plan::{Access, Found, Lane, LaneKind, Plan};
use proto::ring::{Ring, StoreId};
use std::sync::Arc;

/// A plan and a ring in force.
#[derive(Debug)]
pub struct Routing {
    pub given: Configuration,
    pub plan: Arc<Plan>,
    pub ring: Ring,
    /// The owner of each slot.
    pub owners: Arc<[Owner]>,
    pub numbers: Numbers,
}

/// An agent that a plan has, and who owns it.
#[derive(Debug)]
pub struct Routed {
    pub address: Address,
    pub kind: usize,
    pub slot: Slot,
    pub owner: Owner,
}

impl Routing {
    /// The parts must belong together; `configuration::judge` has seen to it.
    pub fn new(given: Configuration, plan: Arc<Plan>, ring: Ring, store: StoreId) -> Routing {
        let owner = |slot| {
            let member = ring.owner(slot);
            if member.store == store { Owner::Here } else { Owner::Node(member.ordinal) }
        };
        let owners = (0..ring.slots.len()).map(|slot| owner(slot as Slot)).collect();
        let numbers = Numbers { revision: ring.revision, generation: given.generation };
        Routing { given, plan, ring, owners, numbers }
    }

    pub fn route(&self, agent: &str) -> Result<Routed, Refusal> {
        let address = Address::parse(agent).map_err(|error| Refusal::bad(error.to_string(), agent))?;
        let Some(Found { kind, slot }) = self.plan.find(&address) else {
            return Err(Refusal::not_found("no route of the plan matches", agent));
        };
        Ok(Routed { owner: self.owner(slot), address, kind, slot })
    }

    pub fn owner(&self, slot: Slot) -> Owner {
        self.owners.get(usize::from(slot)).copied().unwrap_or(Owner::Nobody)
    }

    /// The lanes of an agent that clients can see.
    pub fn lanes(&self, agent: &str) -> Result<Vec<(String, LaneKind)>, Refusal> {
        let kind = &self.plan.kinds[self.route(agent)?.kind];
        let visible = kind.lanes.iter().filter(|lane| lane.access != Access::Internal);
        Ok(visible.map(|lane| (lane.name.to_string(), lane.kind)).collect())
    }

    /// A lane, those too that are none for clients.
    pub fn lane(&self, agent: &str, lane: &str) -> Result<Target, Refusal> {
        let Routed { address: agent, kind, slot, owner } = self.route(agent)?;
        let found = self.plan.kinds[kind].lane(lane);
        let (_, found) =
            found.ok_or_else(|| Refusal::not_found(format!("there is no lane {lane}"), agent.as_str()))?;
        let Lane { name, kind, queue, access, .. } = found;
        let (lane, kind, queue, internal) = (name.clone(), *kind, *queue, *access == Access::Internal);
        Ok(Target { agent, slot, lane, kind, queue, internal, owner })
    }

    /// What one shard of so many has to know. Slots go round them in turn.
    pub fn for_shard(&self, index: usize, count: usize) -> shard::Assignment {
        let owned = self.ring.slots.iter().zip(self.owners.iter()).enumerate().map(|(at, (slot, owner))| {
            let ownership = shard::Ownership { epoch: slot.epoch, history: slot.history };
            (at % count == index && *owner == Owner::Here).then_some(ownership)
        });
        shard::Assignment {
            plan: self.plan.clone(),
            generation: self.numbers.generation,
            owned: owned.collect(),
        }
    }

    pub fn slots_of(&self, owner: Owner) -> Vec<Slot> {
        let slots = self.owners.iter().enumerate().filter(|(_, of)| **of == owner);
        slots.map(|(slot, _)| slot as Slot).collect()
    }

    /// The other nodes: ordinal, where it answers, whose store it is.
    pub fn others(&self, ours: &Identity) -> Vec<(u16, String, StoreId)> {
        let others = self.ring.members.iter().filter(|member| member.ordinal != ours.ordinal);
        let at = |ordinal: u16| self.given.peers.get(usize::from(ordinal)).cloned().unwrap_or_default();
        others.map(|member| (member.ordinal, at(member.ordinal), member.store)).collect()
    }
}

/// What to say when there is nothing to route by.
pub fn unknown(agent: &str) -> Refusal {
    Refusal::unavailable("this node has no plan and ring yet", agent)
}
