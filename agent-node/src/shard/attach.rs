//! Attachments to lanes: what one is told when it begins.

use super::{Effect, Shard, lane, lane_of};
use crate::link::{Change, Update, Versioned, mirror::ATTACHMENT};
use crate::refusal::Refusal;
use proto::address::{self, Address};
use proto::plan::LaneKind;

impl<R: Clone, W: Clone + Eq> Shard<R, W> {
    pub(super) fn attach(
        &mut self,
        watch: W,
        agent: Address,
        slot: address::Slot,
        lane: String,
        limit: Option<u64>,
    ) {
        match self.state(&agent, slot, &lane) {
            Ok(update) => {
                self.hold(slot, Effect::Update { to: watch.clone(), update });
                self.watches.add(agent, slot, lane, watch, limit);
            }
            Err(refusal) => self.hold(slot, Effect::Closed { to: watch, refusal }),
        }
    }

    /// All of a lane, as an attachment begins.
    fn state(&mut self, agent: &Address, slot: address::Slot, lane: &str) -> Result<Update, Refusal> {
        let configuration = self.owns(slot)?;
        let (kind, index) = lane_of(&configuration.plan, agent, slot, lane)?;
        let (version, declared) =
            (self.slot(slot).numbers.version(), &configuration.plan.kinds[kind].lanes[index]);
        let state = self.lane(slot, agent, kind, index);
        let mut entries = None;
        let changes = match (declared.kind, state) {
            (LaneKind::Value, Some(lane::LaneState::Value(value, version))) => {
                vec![Versioned { change: Change::Set(value.clone()), version: *version }]
            }
            (LaneKind::Value, _) => {
                vec![Versioned { change: Change::Set(declared.initial.clone()), version: 0 }]
            }
            (LaneKind::Map, Some(state)) => {
                entries = Some(state.map().clone());
                Vec::new()
            }
            _ => Vec::new(),
        };
        Ok(Update { version, first: true, synced: true, changes, entries, answered: ATTACHMENT })
    }
}
