//! Other nodes: what is said between two of them. Each opens one stream to the other, on which it asks and the other
//! answers; a frame is a batch. `docs/node.md` tells the life of a command and of an update.
//!
//! *Guarantees.* Nothing is read from who has not shown a certificate of the plan, and nothing is done for who has
//! another role than the call needs. Of two processes with one store the one of the lower incarnation is refused, and
//! ends itself; nothing but the word of a node inside of a stream makes it do so. Both sides always read, whatever
//! their queues hold: what finds no room is refused, never waited for. *Assumptions.* Who has a key of the plan's CA
//! is a node of this plan or its operator.

pub mod accepting;
pub mod access;
pub mod admission;
pub mod asks;
pub mod attempts;
pub mod certificates;
pub mod complaints;
pub mod gossip;
pub mod hello;
pub mod hints;
pub mod mailbox;
pub mod peers;
pub mod share;
pub mod transport;
pub mod turned_away;
pub mod wire;

use crate::done::End;
use crate::link::{Question, Since};
use crate::refusal::Refusal;
use crate::shard::{Command, Got, Key, Message, Stream, Taken};
use bytes::Bytes;
use proto::address::{Address, Slot};
use proto::ring::StoreId;

/// The format of frames and of what they carry; a node beyond its neighbours' is refused.
pub const FORMAT: u32 = 4;
/// A frame is closed when it has this much. One item may be larger.
pub const FRAME_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub plan_uid: String,
    pub ordinal: u16,
    pub store: StoreId,
    pub incarnation: u64,
}

/// The first thing that each side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub identity: Identity,
    pub format: u32,
    /// The store that the opener calls; of the side that answers, and of nodes of before, `None`.
    pub called: Option<StoreId>,
}

/// Why the side that answers goes on with nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub error: String,
    /// The highest start of the opener's store that it has seen, if that is why; else 0.
    pub later_start: u64,
}

/// How new plan and ring of a node are; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub revision: u64,
    pub generation: u64,
}

impl Numbers {
    pub fn behind(self, other: Numbers) -> bool {
        self.revision < other.revision || self.generation < other.generation
    }
}

/// A plan and a ring, as the operator gives them and as the node keeps them.
#[derive(Debug, Clone)]
pub struct Configuration {
    pub plan_name: String,
    pub plan_uid: String,
    pub generation: u64,
    /// The plan's spec as JSON.
    pub spec: Bytes,
    /// `Ring::encode`.
    pub ring: Bytes,
    /// Where each ordinal answers peers.
    pub peers: Vec<String>,
    /// The uid of the plan that has adopted the volumes of the plan `plan_uid`; empty: that plan itself.
    pub adopted_by: String,
}

/// What a node says of itself to those who configure it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub plan_uid: String,
    pub ordinal: u16,
    pub store: String,
    pub incarnation: u64,
    pub revision: u64,
    pub generation: u64,
    pub slots_owned: u32,
    pub slots_serving: u32,
    pub had_ring: bool,
    /// Digests of the certificates that the node uses.
    pub certificates: proto::trust::Digests,
    /// The ring that the store was given before its volume was adopted, until it is given one anew; else empty.
    pub held: Bytes,
    /// The digest of the hints that the node has.
    pub hints: u64,
}

/// A client's command for its owner: it has a key by now, and is answered on the stream.
#[derive(Clone, Debug)]
pub struct Forward {
    pub command: Command<(), Key>,
    /// All before it of this slot have been answered, and what was answered with 421 follows.
    pub again: bool,
}

#[derive(Clone, Debug)]
pub struct Read {
    pub id: u64,
    pub slot: Slot,
    pub agent: Address,
    pub lane: String,
    pub if_none_match: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Attach {
    pub attachment: u64,
    pub slot: Slot,
    pub agent: Address,
    pub lane: String,
    pub since: Since,
    /// With a queue that blocks: how many items may come, until [`Limit`] says more.
    pub limit: Option<u64>,
}

/// So many items of an attachment may come in all, from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub attachment: u64,
    pub items: u64,
}

/// What one frame of the side that opened the stream asks.
#[derive(Debug, Default)]
pub struct Asked {
    pub forwards: Vec<Forward>,
    pub reads: Vec<Read>,
    pub attaches: Vec<Attach>,
    pub detaches: Vec<u64>,
    pub limits: Vec<Limit>,
    pub questions: Vec<Question>,
    pub messages: Vec<Message>,
    pub ended: Vec<Stream>,
}

/// Part of the answer to a read: of a Map, some of its entries.
#[derive(Debug)]
pub struct Piece {
    pub id: u64,
    pub end: Result<Got, Refusal>,
    pub more: bool,
}

/// What one frame of the other side answers.
#[derive(Debug, Default)]
pub struct Answered {
    pub settled: Vec<(u64, End)>,
    pub pieces: Vec<Piece>,
    pub updates: Vec<(u64, Result<crate::link::Update, Refusal>)>,
    pub taken: Vec<Taken>,
}
