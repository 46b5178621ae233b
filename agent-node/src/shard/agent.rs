//! An agent: the lanes of its kind, and those that the plan does not have at present.
//!
//! *Guarantees*: whoever sees its lanes sees them as the plan of now has them: an agent is laid out for a plan when it
//! is looked at for the first time under it, so that a change of the plan costs nothing for each agent.

use super::lane::LaneState;
use super::record::Change;
use crate::map::Stamp;
use proto::plan::{Kind, LaneId, Plan};
use std::sync::Arc;

/// The lanes of a kind, in its order.
pub type Layout = Arc<Box<[LaneId]>>;

/// For each kind of a plan, how its agents are laid out.
#[derive(Debug, Default)]
pub struct Layouts(Vec<Layout>);

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
        let before = std::mem::take(&mut self.0);
        let layout = |kind: &Kind| -> Layout {
            let ids: Box<[LaneId]> = kind.lanes.iter().map(|lane| lane.id).collect();
            let same = before.iter().find(|before| ***before == ids);
            same.cloned().unwrap_or_else(|| Arc::new(ids))
        };
        self.0 = plan.kinds.iter().map(layout).collect();
    }

    /// By index of the kind.
    pub fn of(&self, kind: usize) -> &Layout {
        &self.0[kind]
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

    /// Makes a change that a record has, before there is a plan.
    pub fn replay(&mut self, lane: LaneId, change: Change, stamp: Stamp) {
        let hidden = self.hidden.get_or_insert_default();
        let place = hidden.iter().position(|(id, _)| *id == lane).unwrap_or_else(|| {
            hidden.reserve_exact(1);
            hidden.push((lane, LaneState::Untouched));
            hidden.len() - 1
        });
        let lane = &mut hidden[place].1;
        match change {
            Change::Set(value) => drop(lane.set(value, stamp.version)),
            Change::Put(key, value) => drop(lane.put(key, value, stamp)),
            Change::Remove(key) => drop(lane.remove(&key, stamp)),
            Change::Clear => drop(lane.clear(stamp)),
            Change::Event(_) => {}
        }
    }
}
