//! What can happen to a shard, and what leaves it.

use super::names::Held;
use crate::done::End;
use crate::holds::Stream;
use crate::link::{Got, Update};
use crate::log::Position;
use crate::refusal::Refusal;
use crate::snapshot::Asked;
use bytes::Bytes;
use proto::address::{Address, Slot};
use proto::plan::Plan;
use proto::ring::StoreId;
use proto::value::{Text, Value};
use std::sync::Arc;

/// Who sent a command with which number.
pub type Key = (Arc<str>, u64);

/// `R` says where an answer goes, `W` which mirror of a lane is told.
#[derive(Debug)]
pub enum Event<R, W> {
    Command(Command<R>),
    /// A client's stream is over: nothing of it needs to be held back any more.
    Ended(Stream),
    Read(Read<R>),
    /// Tells `watch` the state of the lane now, and all changes from then on.
    Attach(Attach<W>),
    /// So many items in all may be told to a watch, from its beginning.
    Limit {
        watch: W,
        agent: Address,
        lane: String,
        limit: u64,
    },
    Detach {
        watch: W,
        agent: Address,
        slot: Slot,
        lane: String,
    },
    /// A command that another agent sent.
    Message(Message),
    /// What the receiver's slot said of messages from one of ours.
    Taken(Taken),
    /// What `Effect::Fetch` has asked for: messages of one slot to another, each with what it costs in memory.
    Fetched {
        from: Slot,
        to: Slot,
        messages: Vec<(Message, usize)>,
    },
    /// Whoever may own these slots, which are in order, can be reached again: unacknowledged messages to them go again.
    Resend(Vec<Slot>),
    /// A node has said hello as this start of its store: nothing comes of earlier ones any more.
    NodeStarted {
        store: StoreId,
        incarnation: u64,
    },
    /// A new plan, a new ring, or both.
    Configured(Arc<Assignment>),
    /// Snapshots are wanted, or there is room for their pieces.
    Snapshot(Asked),
}

/// A client's command, wherever it is on its way. `R` says where the answer goes; `K` is the key: a client may leave it
/// out, and gets one of the node's own when the command goes to another node.
#[derive(Clone, Debug)]
pub struct Command<R, K = Option<Key>> {
    pub reply: R,
    /// Comes back with the answer.
    pub id: u64,
    pub stream: Stream,
    pub slot: Slot,
    pub agent: Address,
    pub lane: String,
    /// JSON as the client sent it.
    pub body: Bytes,
    pub key: K,
}

#[derive(Debug)]
pub struct Attach<W> {
    pub watch: W,
    pub agent: Address,
    pub slot: Slot,
    pub lane: String,
    /// The items after this version are told, as far as the slot keeps them; 0: none. Only event lanes have items.
    pub since: u64,
    /// With a queue that blocks: so many items may be told, until `Limit` says more. Those that it begins with do not
    /// count.
    pub limit: Option<u64>,
}

#[derive(Debug)]
pub struct Read<R> {
    pub reply: R,
    pub id: u64,
    pub slot: Slot,
    pub agent: Address,
    pub lane: String,
    pub if_none_match: Option<u64>,
}

/// What a shard has to know of plan and ring.
#[derive(Debug)]
pub struct Assignment {
    pub plan: Arc<Plan>,
    pub generation: u64,
    /// For each slot, what this node owns of it.
    pub owned: Vec<Option<Ownership>>,
}

impl Assignment {
    pub fn owns(&self, slot: Slot) -> bool {
        self.owned.get(usize::from(slot)).is_some_and(Option::is_some)
    }
}

/// What the ring says of a slot that this node owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    pub epoch: u64,
    pub history: u16,
}

/// The place of a message in the history of its sender's slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub history: u16,
    pub lsn: u64,
    pub index: u32,
}

/// A command from one agent to another, on its way.
#[derive(Clone, Debug)]
pub struct Message {
    pub from: Slot,
    pub to: Slot,
    pub place: Place,
    /// The place of the one before it from the same slot to the same slot.
    pub previous: Place,
    pub sender: Address,
    pub agent: Address,
    pub lane: Text,
    pub body: Value,
    /// How many sends led here, this one counted.
    pub hops: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub from: Slot,
    pub to: Slot,
    /// The receiver has everything up to here, committed.
    pub seen: Place,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// What was sent does not follow `seen`: go back to it.
    Behind,
    /// Not now: not the owner, or not serving yet, or no room. Send again later.
    Refused,
    /// What was refused before for want of room may come now.
    Room,
}

/// What leaves the shard.
#[derive(Debug)]
pub enum Effect<R, W> {
    Answer {
        to: R,
        id: u64,
        end: End,
    },
    Got {
        to: R,
        id: u64,
        end: Result<Got, Refusal>,
    },
    Update {
        to: W,
        update: Update,
    },
    /// The link is not to be had: no such lane.
    Closed {
        to: W,
        refusal: Refusal,
    },
    Send(Message),
    Taken(Taken),
    /// Messages of this slot are to be read from the log again.
    Fetch(Slot, Fetch),
}

/// Messages to one slot, by position and place of their records, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub to: Slot,
    pub places: Vec<(Position, Place)>,
    /// With so many, no more need to come.
    pub bytes: usize,
}

/// What has come of commands and messages to the agents of one route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteCounts {
    pub route: Text,
    /// Clients' commands and changes that took effect.
    pub done: u64,
    /// Those that were refused for good, not by the step `refuse` of a rule.
    pub refused: u64,
    /// Those that a rule's step `refuse` has refused.
    pub declined: u64,
    /// Messages of agents that took effect.
    pub messages: u64,
}

/// Timers of agents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimerCounts {
    /// Those that are scheduled.
    pub scheduled: u64,
    /// What they take of the memory.
    pub bytes: u64,
    pub fired: u64,
    /// By how much those that fired were late, in all.
    pub late_ms: u64,
}

impl std::ops::Add for TimerCounts {
    type Output = TimerCounts;

    fn add(self, more: TimerCounts) -> TimerCounts {
        TimerCounts {
            scheduled: self.scheduled + more.scheduled,
            bytes: self.bytes + more.bytes,
            fired: self.fired + more.fired,
            late_ms: self.late_ms + more.late_ms,
        }
    }
}

/// What `status` and the metrics say of a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub slots_owned: u32,
    pub slots_serving: u32,
    pub agents: u64,
    pub messages: u64,
    pub faults: u64,
    /// Messages that no receiver has acknowledged.
    pub outbox: u64,
    /// Names under which commands came, each in one slot.
    pub client_names: Held,
    pub node_names: Held,
    /// Slots in which a stream is held back after a refusal.
    pub holds: u64,
    pub timers: TimerCounts,
    /// As many as the plan has routes, in its order.
    pub routes: Vec<RouteCounts>,
}
