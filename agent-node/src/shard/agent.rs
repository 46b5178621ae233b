//! An agent: the lanes of its kind, and those that the plan does not have at present.
//!
//! *Guarantees*: whoever sees its lanes sees them as the plan of now has them: an agent is laid out for a plan when it
//! is looked at for the first time under it, so that a change of the plan costs nothing for each agent.

use super::lane::LaneState;
use super::record::Change;
use crate::map::Stamp;
use hashbrown::HashMap;
use proto::plan::{Kind, LaneId, Plan};
use std::sync::Arc;

/// The lanes of a kind, in its order.
pub type Layout = Arc<Box<[LaneId]>>;

/// For each kind of a plan, how its agents are laid out.
#[derive(Debug, Default)]
pub struct Layouts {
    kinds: Vec<Layout>,
    /// The kind that has a lane: no two have the same.
    by_lane: HashMap<LaneId, usize>,
}

#[derive(Debug, Default)]
pub struct Agent {
    /// How `lanes` are laid out.
    layout: Option<Layout>,
    lanes: Box<[LaneState]>,
    /// Lanes of no kind, or of none that the plan had when it was laid out. They are back when their names are.
    #[expect(clippy::box_collection, reason = "few agents have any, and a list is three words")]
    hidden: Option<Box<Vec<(LaneId, LaneState)>>>,
}

impl Layouts {
    /// Those of a plan. Kinds that have kept their lanes keep their layout, and with it all that is laid out so.
    pub fn change(&mut self, plan: &Plan) {
        let before = std::mem::take(&mut self.kinds);
        let layout = |kind: &Kind| -> Layout {
            let ids: Box<[LaneId]> = kind.lanes.iter().map(|lane| lane.id).collect();
            let same = before.iter().find(|before| ***before == ids);
            same.cloned().unwrap_or_else(|| Arc::new(ids))
        };
        self.kinds = plan.kinds.iter().map(layout).collect();
        let lanes =
            self.kinds.iter().zip(0..).flat_map(|(layout, kind)| layout.iter().map(move |id| (*id, kind)));
        self.by_lane = lanes.collect();
    }

    /// By index of the kind.
    pub fn of(&self, kind: usize) -> &Layout {
        &self.kinds[kind]
    }

    /// An agent with nothing in it, laid out as one that has such a lane.
    pub fn begin(&self, lane: Option<LaneId>) -> Agent {
        let mut agent = Agent::default();
        if let Some(kind) = lane.and_then(|lane| self.by_lane.get(&lane)) {
            agent.lay_out(&self.kinds[*kind]);
        }
        agent
    }
}

impl Agent {
    /// Its lanes as a kind of the plan has them.
    pub fn lanes(&mut self, layout: &Layout) -> &mut [LaneState] {
        if !self.is_laid_out(layout) {
            self.lay_out(layout);
        }
        &mut self.lanes
    }

    pub fn is_laid_out(&self, layout: &Layout) -> bool {
        self.layout.as_ref().is_some_and(|own| Arc::ptr_eq(own, layout))
    }

    fn lay_out(&mut self, layout: &Layout) {
        let mut known = self.hidden.take().map_or_else(Vec::new, |hidden| *hidden);
        let ids = self.layout.iter().flat_map(|layout| layout.iter());
        let lanes = std::mem::take(&mut self.lanes).into_iter();
        known.extend(ids.copied().zip(lanes).filter(|(_, lane)| *lane != LaneState::Untouched));
        let mut lane = |id: &LaneId| {
            let place = known.iter().position(|(known, _)| known == id)?;
            Some(known.swap_remove(place).1)
        };
        self.lanes = layout.iter().map(|id| lane(id).unwrap_or_default()).collect();
        known.shrink_to_fit();
        self.hidden = (!known.is_empty()).then(|| Box::new(known));
        self.layout = Some(layout.clone());
    }

    /// Lanes that have a state, whether the plan has them or not.
    pub fn states(&self) -> impl Iterator<Item = (LaneId, &LaneState)> + Clone {
        let ids = self.layout.iter().flat_map(|layout| layout.iter().copied());
        let hidden = self.hidden.iter().flat_map(|hidden| hidden.iter());
        let all = ids.zip(&self.lanes).chain(hidden.map(|(id, lane)| (*id, lane)));
        all.filter(|(_, lane)| **lane != LaneState::Untouched)
    }

    /// A lane by its id, whether the plan has it or not.
    pub fn lane(&mut self, id: LaneId) -> &mut LaneState {
        let laid_out = self.layout.as_ref().and_then(|layout| layout.iter().position(|own| *own == id));
        if let Some(place) = laid_out {
            return &mut self.lanes[place];
        }
        let hidden = self.hidden.get_or_insert_default();
        let place = hidden.iter().position(|(own, _)| *own == id).unwrap_or_else(|| {
            hidden.reserve_exact(1);
            hidden.push((id, LaneState::Untouched));
            hidden.len() - 1
        });
        &mut hidden[place].1
    }

    /// It has ended: what the plan does not have of its lanes, nor the record, is as if it had never been, but that maps
    /// know that they were cleared.
    pub fn end_hidden(&mut self, stamp: Stamp, said: &[(LaneId, Change)]) {
        let hidden = self.hidden.iter_mut().flat_map(|hidden| hidden.iter_mut());
        for (_, lane) in hidden.filter(|(id, _)| !said.iter().any(|(said, _)| said == id)) {
            if lane.clear(stamp).is_none() && !matches!(lane, LaneState::Map(_)) {
                *lane = LaneState::Untouched;
            }
        }
    }

    /// Makes a change that a record has.
    pub fn replay(&mut self, lane: LaneId, change: Change, stamp: Stamp) {
        let lane = self.lane(lane);
        match change {
            Change::Set(value) => drop(lane.set(value, stamp.version)),
            Change::Put(key, value) => drop(lane.put(key, value, stamp)),
            Change::Remove(key) => drop(lane.remove(&key, stamp)),
            Change::Clear => drop(lane.clear(stamp)),
            Change::Event(_) => {}
        }
    }
}
