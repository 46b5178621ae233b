//! An agent: the lanes of its kind, and those that the plan does not have at present.

use super::lane::Lane;
use super::record::Change;
use proto::address::Address;
use proto::plan::{Kind, LaneId};

#[derive(Debug)]
pub struct Agent {
    pub address: Address,
    /// Laid out as the kind's lanes are.
    pub lanes: Box<[Lane]>,
    /// Lanes of no kind, or of none that the plan has now. They are back when their names are.
    hidden: Vec<(LaneId, Lane)>,
}

impl Agent {
    pub fn new(address: Address, kind: Option<&Kind>) -> Agent {
        let count = kind.map_or(0, |kind| kind.lanes.len());
        let lanes = (0..count).map(|_| Lane::Untouched).collect();
        Agent { address, lanes, hidden: Vec::new() }
    }

    /// Lays its lanes out for another plan.
    pub fn lay_out(&mut self, before: Option<&Kind>, now: Option<&Kind>) {
        let mut known = std::mem::take(&mut self.hidden);
        let lanes = std::mem::take(&mut self.lanes).into_vec();
        for (index, lane) in lanes.into_iter().enumerate() {
            if let Some(kind) = before
                && lane != Lane::Untouched
            {
                known.push((kind.lanes[index].id, lane));
            }
        }
        let mut take = |id: LaneId| {
            let place = known.iter().position(|(known, _)| *known == id)?;
            Some(known.swap_remove(place).1)
        };
        self.lanes = now
            .map_or_else(Vec::new, |kind| {
                kind.lanes.iter().map(|lane| take(lane.id).unwrap_or_default()).collect()
            })
            .into();
        known.shrink_to_fit();
        self.hidden = known;
    }

    /// Makes a change that a record has, before there is a plan.
    pub fn replay(&mut self, lane: LaneId, change: Change, version: u64) {
        let place = self.hidden.iter().position(|(id, _)| *id == lane);
        let place = place.unwrap_or_else(|| {
            self.hidden.push((lane, Lane::Untouched));
            self.hidden.len() - 1
        });
        let lane = &mut self.hidden[place].1;
        match change {
            Change::Set(value) => drop(lane.set(value, version)),
            Change::Put(key, value) => drop(lane.put(key, value, version)),
            Change::Remove(key) => drop(lane.remove(&key, version)),
            Change::Clear => drop(lane.clear(version)),
            Change::Event(_) => {}
        }
    }
}
