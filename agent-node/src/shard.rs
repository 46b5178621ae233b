//! A shard: the agents, lanes, windows and outboxes of some of the node's slots, as a plain state machine. It has no
//! clock, no thread and no file: what happens comes in by `handle`, what is to be written goes out by `records`, and
//! everything that leaves waits until `durable` has reached the state that it was computed from.

//!
//! *Guarantees*: one command is one record of its effects, or has none. What leaves was computed from what is on the
//! disk. Replaying the records gives the state that made them, whatever the plan is now. *Assumptions*: one slot's
//! events all come to one shard; each record that it gives out is written, in order.

mod agent;
mod agents;
mod attach;
mod codec;
mod due;
mod event;
mod fire;
mod gate;
mod install;
mod kept;
mod lane;
mod marks;
mod messages;
mod names;
mod outbox;
mod perform;
mod recent;
mod record;
mod records;
mod replay;
mod rules;
mod saved;
mod slot;
mod taking;
#[cfg(test)]
mod tests;
mod timers;
mod watches;
mod window;

pub use crate::holds::Stream;
pub use crate::link::{Body, Got};
pub use event::{
    Assignment, Attach, Command, Counts, Effect, Event, Fetch, Key, Message, Ownership, Place, Read,
    RouteCounts, Taken, TimerCounts, Verdict,
};
pub use names::{Held, Room, of_node as name_of_node};
pub use record::{Change, Fired, Record, Sent, Set, TimerChange, messages};
pub use records::{RECORD_MAX, Records};

use crate::broken::{self, Broken};
use crate::holds::Holds;
use crate::log::Position;
use crate::map::Map;
use crate::refusal::Refusal;
use crate::snapshot::Asked;
use agent::Layouts;
use due::Due;
use gate::Gate;
use hashbrown::HashMap;
use install::Installing;
use names::Names;
use outbox::Again;
use proto::address::{self, Address};
use proto::plan::{LaneKind, Plan};
use proto::value::Value;
use slot::Slot;
use std::sync::Arc;
use taking::Taking;
use watches::Watches;

/// The most that a tick writes, heads of records counted.
pub const TIDY_MAX: usize = 512 << 10;

#[derive(Debug)]
pub struct Shard<R, W> {
    incarnation: u64,
    configuration: Option<Arc<Assignment>>,
    /// The layouts of the configuration's plan.
    layouts: Layouts,
    slots: Vec<Option<Box<Slot>>>,
    names: Names,
    watches: Watches<W>,
    holds: Holds,
    /// Pairs of slots, from and to, of which the sender will be told how far its messages came.
    heard: HashMap<(address::Slot, address::Slot), Verdict>,
    records: Records,
    /// Pairs of slots, from and to, that have messages among them which memory does not keep.
    in_log: Vec<(address::Slot, address::Slot)>,
    /// Slots that have a record among them.
    touched: Vec<address::Slot>,
    outboxes: outbox::Total,
    gate: Gate<R, W>,
    due: Due,
    /// What timers may take of the memory.
    timer_bytes_max: usize,
    taking: Taking,
    installing: Option<Installing>,
    messages: u64,
    faults: u64,
    /// By index of the kind.
    routes: Vec<RouteCounts>,
}

impl<R: Clone, W: Clone + Eq> Shard<R, W> {
    /// `incarnation` is this start's, for the records that it writes; `room` is there for clients' names.
    pub fn new(incarnation: u64, room: Room) -> Self {
        Self {
            incarnation,
            configuration: None,
            layouts: Layouts::default(),
            slots: Vec::new(),
            due: Due::default(),
            timer_bytes_max: room.timers,
            names: Names::new(room),
            watches: Watches::new(),
            holds: Holds::default(),
            heard: HashMap::new(),
            records: Records::default(),
            in_log: Vec::new(),
            touched: Vec::new(),
            outboxes: outbox::Total::new(room.messages, room.message_bytes),
            gate: Gate::new(),
            taking: Taking::default(),
            installing: None,
            messages: 0,
            faults: 0,
            routes: Vec::new(),
        }
    }

    /// Something has happened. `now_ms` is the wall clock.
    pub fn handle(&mut self, event: Event<R, W>, now_ms: u64) {
        match event {
            Event::Command(command) => self.command(command, now_ms),
            Event::Ended(stream) => self.holds.ended(stream),
            Event::Read(read) => {
                let end = self.read(&read);
                let got = Effect::Got { to: read.reply, id: read.id, end };
                if broken::is(Broken::EarlyRead) {
                    return self.gate.hold(Position(0), got);
                }
                self.hold(read.slot, got);
            }
            Event::Attach(attach) => self.attach(attach),
            Event::Limit { watch, agent, lane, limit } => self.watches.limit(&agent, &lane, &watch, limit),
            Event::Detach { watch, agent, slot: _, lane } => self.watches.remove(&agent, &lane, &watch),
            Event::Message(message) => self.message(&message, now_ms),
            Event::Taken(taken) => self.taken(taken),
            Event::Fetched { from, to, messages } => self.fetched(from, to, messages),
            Event::Resend(slots) => self.resend(Again::To(&slots)),
            Event::NodeStarted { store, incarnation } => self.names.started(store, incarnation),
            Event::Configured(configuration) => self.configured(&configuration, now_ms),
            Event::Snapshot(Asked::Take { round, slots }) => self.take_snapshots(round, slots),
            Event::Snapshot(Asked::Room) => {}
        }
    }

    /// The same for an event that can't be run now: commands are refused so, messages will come again.
    pub fn refuse(&mut self, event: Event<R, W>, why: &Refusal) {
        match event {
            Event::Command(Command { reply: to, id, stream, slot, .. }) => {
                let held = self.holds.of(stream, slot).cloned();
                self.holds.note(stream, slot, why);
                self.hold(slot, Effect::Answer { to, id, end: Err(held.unwrap_or_else(|| why.clone())) });
            }
            Event::Read(read) => {
                self.hold(read.slot, Effect::Got { to: read.reply, id: read.id, end: Err(why.clone()) });
            }
            Event::Attach(Attach { watch, slot, .. }) => {
                self.hold(slot, Effect::Closed { to: watch, refusal: why.clone() });
            }
            Event::Message(message) => self.hear(message.from, message.to, Verdict::Refused),
            Event::Ended(_)
            | Event::Limit { .. }
            | Event::Detach { .. }
            | Event::Taken(_)
            | Event::Fetched { .. }
            | Event::Resend(_)
            | Event::NodeStarted { .. }
            | Event::Configured(_)
            | Event::Snapshot(_) => {
                self.handle(event, 0);
            }
        }
    }

    /// Whether the next tick has something to write, so that it needs room in the log.
    pub fn has_to_tidy(&self, now_ms: u64) -> bool {
        self.names.is_due(now_ms) || self.slots.iter().flatten().any(|slot| slot.has_trims_to_say())
    }

    /// About once a second: what was refused is sent again, and what is old is forgotten, by records that take no more
    /// than `granted` bytes of the log. [`TIDY_MAX`] are enough for one turn, and with 0 it waits for a later one.
    pub fn tick(&mut self, now_ms: u64, granted: usize) {
        self.look_at_clock(now_ms);
        self.resend(Again::Held);
        self.tidy(now_ms, granted);
        for slot in self.slots.iter_mut().flatten() {
            slot.numbers.busy = false;
        }
    }

    /// What has to be written now. The caller appends it and says by `appended` where it ended.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// All of `records` was appended, and ends here.
    pub fn appended(&mut self, position: Position) {
        let first = Position(position.0 - self.records.heads().len() as u64);
        self.records.clear();
        for id in self.touched.drain(..) {
            if let Some(slot) = &mut self.slots[usize::from(id)] {
                slot.numbers.end = position;
            }
        }
        self.placed(first);
        self.tell_heard();
        self.gate.appended(position);
    }

    /// Gives out what may leave, now that the log is on the disk up to `position`.
    pub fn release(&mut self, durable: Position, out: &mut Vec<Effect<R, W>>) {
        self.tell_heard();
        self.gate.release(durable, out);
    }

    /// How far the log must be on the disk for the next effect to leave. `None`: nothing is held back.
    pub fn held(&self) -> Option<Position> {
        self.gate.next()
    }

    pub fn counts(&self) -> Counts {
        let owned = self.configuration.as_ref().map_or(0, |configuration| {
            configuration.owned.iter().filter(|owned| owned.is_some()).count() as u32
        });
        Counts {
            slots_owned: owned,
            slots_serving: owned,
            agents: self.slots.iter().flatten().map(|slot| u64::from(slot.agents.len())).sum(),
            messages: self.messages,
            faults: self.faults,
            outbox: self.outboxes.waiting() as u64,
            client_names: self.names.clients(),
            node_names: self.names.nodes(),
            holds: self.holds.len() as u64,
            timers: self.due.counts,
            routes: self.routes.clone(),
        }
    }

    fn slot(&mut self, id: address::Slot) -> &mut Slot {
        slot_of(&mut self.slots, id)
    }

    /// Lets an effect leave when all that the slot has written is on the disk.
    fn hold(&mut self, slot: address::Slot, effect: Effect<R, W>) {
        let end = self
            .slots
            .get(usize::from(slot))
            .and_then(Option::as_ref)
            .map_or(Position(0), |slot| slot.numbers.end);
        self.gate.hold(end, effect);
    }

    fn owns(&self, slot: address::Slot) -> Result<Arc<Assignment>, Refusal> {
        let Some(configuration) = &self.configuration else {
            return Err(Refusal::unavailable("this node has no plan yet", ""));
        };
        match configuration.owned.get(usize::from(slot)) {
            Some(Some(_)) => Ok(configuration.clone()),
            _ => Err(Refusal::elsewhere("")),
        }
    }

    fn read(&mut self, read: &Read<R>) -> Result<Got, Refusal> {
        let configuration = self.owns(read.slot)?;
        let (kind, index) = lane_of(&configuration.plan, &read.agent, read.slot, &read.lane)?;
        let declared = &configuration.plan.kinds[kind].lanes[index];
        let state = self.lane(read.slot, &read.agent, kind, index);
        let version = state.map_or(0, lane::LaneState::version);
        let not_modified = read.if_none_match == Some(version);
        let body = match declared.kind {
            LaneKind::Command | LaneKind::Supply => {
                let text = format!(
                    "{} is a {} lane: it has no state, and can be watched",
                    declared.name, declared.kind
                );
                return Err(Refusal::new(406, text, &*read.lane));
            }
            _ if not_modified => Body::Value(Value::Null),
            LaneKind::Value => Body::Value(match state {
                Some(lane::LaneState::Value(value, _)) => value.clone(),
                _ => declared.initial.clone(),
            }),
            LaneKind::Map => Body::Map(state.map_or_else(Map::default, |state| state.map().clone())),
        };
        Ok(Got { version, not_modified, body })
    }

    /// The state of a lane of an agent of this kind; `None`: the agent has not begun.
    fn lane(
        &mut self,
        slot: address::Slot,
        agent: &Address,
        kind: usize,
        index: usize,
    ) -> Option<&lane::LaneState> {
        let agent = self.slots.get_mut(usize::from(slot))?.as_mut()?.agents.get_mut(agent)?;
        Some(agent.state(self.layouts.of(kind), index))
    }

    /// A newer plan, another ring, or both.
    fn configured(&mut self, configuration: &Arc<Assignment>, now_ms: u64) {
        let before = self.configuration.replace(configuration.clone());
        if before.is_none_or(|before| !Arc::ptr_eq(&before.plan, &configuration.plan)) {
            self.layouts.change(&configuration.plan);
            self.count_routes_of(&configuration.plan);
            self.show_timers();
        }
        for (id, owned) in configuration.owned.iter().enumerate() {
            if let Some(ownership) = owned {
                self.slot(id as address::Slot).adopt(*ownership);
            }
        }
        self.rekey_all(now_ms);
        self.end_watches(configuration);
        self.resend(Again::All);
    }

    /// Routes that stay go on counting.
    fn count_routes_of(&mut self, plan: &Plan) {
        let mut before = std::mem::take(&mut self.routes);
        let counts = |kind: &proto::plan::Kind| {
            let known = before.iter_mut().find(|counts| counts.route == kind.route.text.as_str());
            let new = || RouteCounts { route: kind.route.text.as_str().into(), ..RouteCounts::default() };
            known.map_or_else(new, std::mem::take)
        };
        self.routes = plan.kinds.iter().map(counts).collect();
    }

    fn end_watches(&mut self, configuration: &Assignment) {
        let ended = self.watches.end(|agent, slot, lane| match configuration.owned.get(usize::from(slot)) {
            Some(Some(_)) => lane_of(&configuration.plan, agent, slot, lane).err(),
            _ => Some(Refusal::elsewhere(agent.as_str())),
        });
        for (slot, watch, refusal) in ended {
            self.hold(slot, Effect::Closed { to: watch, refusal });
        }
    }
}

/// A slot, which is made if it is not there, beside all else that a shard has.
fn slot_of(slots: &mut Vec<Option<Box<Slot>>>, id: address::Slot) -> &mut Slot {
    let place = usize::from(id);
    if place >= slots.len() {
        slots.resize_with(place + 1, || None);
    }
    slots[place].get_or_insert_default()
}

/// A lane that clients may know of: the index of its kind in the plan, and its own in the kind.
fn lane_of(plan: &Plan, agent: &Address, slot: address::Slot, lane: &str) -> Result<(usize, usize), Refusal> {
    let found = plan.find(agent).ok_or_else(|| Refusal::not_found("no route matches", agent.as_str()))?;
    if found.slot != slot {
        return Err(Refusal::elsewhere(agent.as_str()));
    }
    match plan.kinds[found.kind].lane(lane) {
        Some((index, lane)) if lane.access != proto::plan::Access::Internal => Ok((found.kind, index)),
        _ => Err(Refusal::not_found(format!("{agent} has no lane {lane}"), agent.as_str())),
    }
}
