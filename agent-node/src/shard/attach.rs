//! Attachments to lanes: what one is told when it begins.

use super::lane::LaneState;
use super::{Effect, Shard, lane_of};
use crate::link::{Begin, Change, Update, Versioned, mirror::ATTACHMENT};
use crate::map::{Map, Stamp};
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
            (LaneKind::Value, Some(LaneState::Value(value, version))) => {
                vec![Versioned { change: Change::Set(value.clone()), version: *version }]
            }
            (LaneKind::Value, _) => {
                vec![Versioned { change: Change::Set(declared.initial.clone()), version: 0 }]
            }
            (LaneKind::Map, state) => {
                entries = Some(map_of(state, version));
                Vec::new()
            }
            (LaneKind::Command | LaneKind::Supply, _) => Vec::new(),
        };
        let known_from = entries.as_ref().map_or(u64::MAX, Map::known_from);
        let horizon = if entries.is_some() { known_from } else { 0 };
        let begin = Begin { removed: known_from, horizon, ..Begin::WHOLE };
        Ok(Update { version, begin: Some(begin), synced: true, changes, entries, answered: ATTACHMENT })
    }
}

/// The entries of a lane. Where it has been no Map so far, nobody knows what was in it when an agent, or a plan, was there
/// that is no more.
fn map_of(state: Option<&LaneState>, version: u64) -> Map {
    match state {
        Some(LaneState::Map(map)) => Map::clone(map),
        Some(LaneState::Untouched) => Map::default(),
        Some(LaneState::Value(..)) | None => Map::unknown_before(Stamp { version, index: 0 }),
    }
}
