//! An agent: the lanes of its kind, and those that the plan does not have at present.
//!
//! *Guarantees*: whoever sees its lanes sees them as the plan of now has them: an agent is laid out for a plan when it
//! is looked at for the first time under it, so that a change of the plan costs nothing for each agent. It has memory for
//! the lanes that have a state, up to the last one that was ever touched: `faults` costs those nothing that have none.

use super::lane::LaneState;
use super::record::Change;
use crate::map::Stamp;
use hashbrown::HashMap;
use proto::plan::{Kind, Lane, LaneId, LaneKind, Plan};
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// How the agents of a kind are laid out.
pub type Layout = Arc<Lanes>;

/// The lanes of a kind.
#[derive(Debug, PartialEq)]
pub struct Lanes {
    /// Those that have a state, in the kind's order.
    ids: Box<[LaneId]>,
    /// For each lane of the kind its place among them.
    places: Box<[Option<u16>]>,
}

/// The lanes of one agent, by their index in the kind.
#[derive(Debug)]
pub struct States<'a> {
    lanes: &'a Lanes,
    states: &'a mut Box<[LaneState]>,
}

static UNTOUCHED: LaneState = LaneState::Untouched;

/// For each kind of a plan, how its agents are laid out.
#[derive(Debug, Default)]
pub struct Layouts {
    kinds: Vec<Layout>,
    /// The kind that has a lane: no two have the same.
    by_lane: HashMap<LaneId, usize>,
}

#[derive(Debug, Default)]
pub struct Agent {
    /// How `states` are laid out.
    layout: Option<Layout>,
    /// Up to the last one that was touched.
    states: Box<[LaneState]>,
    /// Lanes of no kind, or of none that the plan had when it was laid out. They are back when their names are.
    #[expect(clippy::box_collection, reason = "few agents have any, and a list is three words")]
    hidden: Option<Box<Vec<(LaneId, LaneState)>>>,
}

impl Layouts {
    /// Those of a plan. Kinds that have kept their lanes keep their layout, and with it all that is laid out so.
    pub fn change(&mut self, plan: &Plan) {
        let before = std::mem::take(&mut self.kinds);
        let layout = |kind: &Kind| -> Layout {
            let lanes = Lanes::of(kind);
            let same = before.iter().find(|before| ***before == lanes);
            same.cloned().unwrap_or_else(|| Arc::new(lanes))
        };
        self.kinds = plan.kinds.iter().map(layout).collect();
        let lanes = plan
            .kinds
            .iter()
            .zip(0..)
            .flat_map(|(of, kind)| of.lanes.iter().map(move |lane| (lane.id, kind)));
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

impl Lanes {
    fn of(kind: &Kind) -> Lanes {
        let has_state = |lane: &&Lane| matches!(lane.kind, LaneKind::Value | LaneKind::Map);
        let mut next = 0;
        let mut place = |lane: &Lane| {
            has_state(&lane).then(|| {
                next += 1;
                next - 1
            })
        };
        Lanes {
            ids: kind.lanes.iter().filter(has_state).map(|lane| lane.id).collect(),
            places: kind.lanes.iter().map(&mut place).collect(),
        }
    }

    fn place(&self, id: LaneId) -> Option<usize> {
        self.ids.iter().position(|own| *own == id)
    }
}

impl Index<usize> for States<'_> {
    type Output = LaneState;

    fn index(&self, lane: usize) -> &LaneState {
        self.lanes.places[lane].and_then(|place| self.states.get(usize::from(place))).unwrap_or(&UNTOUCHED)
    }
}

/// Only for lanes that have a state.
impl IndexMut<usize> for States<'_> {
    fn index_mut(&mut self, lane: usize) -> &mut LaneState {
        let place = self.lanes.places[lane].expect("only lanes with a state are changed");
        touch(self.states, place.into())
    }
}

/// The state at this place, which may be the first so far out.
fn touch(states: &mut Box<[LaneState]>, place: usize) -> &mut LaneState {
    if place >= states.len() {
        let mut more = std::mem::take(states).into_vec();
        more.reserve_exact(place + 1 - more.len());
        more.resize_with(place + 1, LaneState::default);
        *states = more.into_boxed_slice();
    }
    &mut states[place]
}

impl Agent {
    /// Its lanes as a kind of the plan has them.
    pub fn lanes<'a>(&'a mut self, layout: &'a Layout) -> States<'a> {
        if !self.is_laid_out(layout) {
            self.lay_out(layout);
        }
        States { lanes: layout, states: &mut self.states }
    }

    /// One of them.
    pub fn state(&mut self, layout: &Layout, lane: usize) -> &LaneState {
        if !self.is_laid_out(layout) {
            self.lay_out(layout);
        }
        let place = layout.places[lane];
        place.and_then(|place| self.states.get(usize::from(place))).unwrap_or(&UNTOUCHED)
    }

    pub fn is_laid_out(&self, layout: &Layout) -> bool {
        self.layout.as_ref().is_some_and(|own| Arc::ptr_eq(own, layout))
    }

    fn lay_out(&mut self, layout: &Layout) {
        let mut known = self.hidden.take().map_or_else(Vec::new, |hidden| *hidden);
        let ids = self.layout.iter().flat_map(|layout| layout.ids.iter());
        let states = std::mem::take(&mut self.states).into_iter();
        known.extend(ids.copied().zip(states).filter(|(_, state)| *state != LaneState::Untouched));
        known.retain_mut(|(id, state)| {
            let place = layout.place(*id);
            if let Some(place) = place {
                *touch(&mut self.states, place) = std::mem::take(state);
            }
            place.is_none()
        });
        known.shrink_to_fit();
        self.hidden = (!known.is_empty()).then(|| Box::new(known));
        self.layout = Some(layout.clone());
    }

    /// Lanes that have a state, whether the plan has them or not.
    pub fn states(&self) -> impl Iterator<Item = (LaneId, &LaneState)> + Clone {
        let ids = self.layout.iter().flat_map(|layout| layout.ids.iter().copied());
        let hidden = self.hidden.iter().flat_map(|hidden| hidden.iter());
        let all = ids.zip(&self.states).chain(hidden.map(|(id, lane)| (*id, lane)));
        all.filter(|(_, lane)| **lane != LaneState::Untouched)
    }

    /// A lane by its id, whether the plan has it or not.
    pub fn lane(&mut self, id: LaneId) -> &mut LaneState {
        if let Some(place) = self.layout.as_ref().and_then(|layout| layout.place(id)) {
            return touch(&mut self.states, place);
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
