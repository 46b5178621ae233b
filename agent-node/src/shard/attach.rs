//! Attachments to lanes: what one is told when it begins.

use super::lane::LaneState;
use super::recent::Recent;
use super::{Attach, Effect, Shard, lane_of};
use crate::link::{Begin, Change, Update, Versioned, mirror::ATTACHMENT};
use crate::map::{Map, Stamp};
use crate::refusal::Refusal;
use proto::address::Address;
use proto::plan::{LaneId, LaneKind};
use proto::ring;

impl<R: Clone, W: Clone + Eq> Shard<R, W> {
    pub(super) fn attach(&mut self, attach: Attach<W>) {
        match self.state(&attach) {
            Ok(update) => {
                let Attach { watch, agent, slot, lane, since: _, limit } = attach;
                self.hold(slot, Effect::Update { to: watch.clone(), update });
                self.watches.add(agent, slot, lane, watch, limit);
            }
            Err(refusal) => self.hold(attach.slot, Effect::Closed { to: attach.watch, refusal }),
        }
    }

    /// What an attachment begins with: of a Value or Map lane all that there is, of an event lane the items since.
    fn state(&mut self, attach: &Attach<W>) -> Result<Update, Refusal> {
        let Attach { agent, slot, lane, since, .. } = attach;
        let configuration = self.owns(*slot)?;
        let (kind, index) = lane_of(&configuration.plan, agent, *slot, lane)?;
        let declared = &configuration.plan.kinds[kind].lanes[index];
        let version = self.slot(*slot).numbers.version();
        if matches!(declared.kind, LaneKind::Command | LaneKind::Supply) {
            let recent = &self.slot(*slot).recent;
            return Ok(items(recent, agent, declared.id, *since, version));
        }
        let state = self.lane(*slot, agent, kind, index);
        let (mut changes, mut entries) = (Vec::new(), None);
        match (declared.kind, state) {
            (LaneKind::Map, state) => entries = Some(map_of(state, version)),
            (_, Some(LaneState::Value(value, version))) => {
                changes.push(Versioned { change: Change::Set(value.clone()), version: *version });
            }
            _ => changes.push(Versioned { change: Change::Set(declared.initial.clone()), version: 0 }),
        }
        let known_from = entries.as_ref().map_or(u64::MAX, Map::known_from);
        let horizon = if entries.is_some() { known_from } else { 0 };
        let begin = Begin { removed: known_from, horizon, ..Begin::WHOLE };
        Ok(Update { version, begin: Some(begin), synced: true, changes, entries, answered: ATTACHMENT })
    }
}

/// The items of an event lane after a version, or none where that is of another history or of no record.
fn items(recent: &Recent, agent: &Address, lane: LaneId, since: u64, version: u64) -> Update {
    let is_of_this = since > 0 && since <= version && ring::history(since) == ring::history(version);
    let (changes, changed) = if is_of_this {
        (recent.after(agent, lane, since), since.max(recent.from()))
    } else {
        (Vec::new(), 0)
    };
    let begin = Some(Begin { changed, removed: u64::MAX, horizon: recent.from() });
    Update { version, begin, synced: true, changes, entries: None, answered: ATTACHMENT }
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
