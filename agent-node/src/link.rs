//! Links: what a watcher of a lane is told, whoever it is.
//!
//! For each lane that anyone watches on this node there is one [`mirror`] of it, fed by its owner. A watcher is a cursor
//! over the mirror: when it can be told something, it is told what is newer than its cursor. So conflation costs nothing,
//! and who does not read holds nothing. `docs/links.md` tells the whole of it.

mod due;
mod groups;
mod lane;
mod links;
pub mod mirror;
mod pace;
mod peer_links;
mod serving;
mod table;
#[cfg(test)]
mod tests;

pub use lane::Asked;
pub use links::Links;
pub use pace::Rate;
pub use peer_links::PeerLinks;
pub use serving::{Serving, Upstream};
pub use table::{Owner, Target};

use crate::map::Map;
use crate::refusal::Refusal;
use bytes::Bytes;
use proto::value::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Set,
    Update,
    Remove,
    Clear,
    Event,
    Synced,
    Reset,
    Gap,
    Stale,
}

/// One event of a lane for a client, encoded. What its kind does not need is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    /// JSON.
    pub key: Bytes,
    /// JSON.
    pub value: Bytes,
    /// The watermark, on `synced` and the last event of a complete flush.
    pub id: Option<u64>,
    pub gap: (u64, u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOutput {
    Event { link: u32, event: Event },
    Closed { link: u32, refusal: Option<Refusal> },
}

/// What the owner of a lane says to a mirror of it. All of it is committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Everything of the lane up to here has been said when this has.
    pub version: u64,
    /// State follows, which begins with this: what the attachment said before is void.
    pub begin: Option<Begin>,
    /// The state that was begun has come with this.
    pub synced: bool,
    /// In the order in which they happened.
    pub changes: Vec<Versioned>,
    /// With `begin`, of a Map lane of this node: a snapshot of all entries and tombstones.
    pub entries: Option<Map>,
    /// The highest question of the attachment that is answered when this has been said; 0: none. What was acknowledged
    /// before it was asked has been said then. The attachment itself is question [`mirror::ATTACHMENT`].
    pub answered: u64,
}

/// What an attachment asks for, by versions of the lane that somebody has here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// All that was set, put or emitted after this version; 0: all that there is.
    pub changed: u64,
    /// All that was removed after this version; 0: nobody needs to know.
    pub removed: u64,
}

/// Which part of a lane's state is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// All that was set or put after this version; 0: all that there is. Of an event lane: all items after it; 0: none.
    pub changed: u64,
    /// All that was removed after this version, and not before the last `clear`; what is above the state's own version
    /// is that.
    pub removed: u64,
    /// What was removed after a version below this one nobody can say.
    pub horizon: u64,
}

impl Begin {
    /// All that there is, and nothing of what was removed.
    pub const WHOLE: Begin = Begin { changed: 0, removed: u64::MAX, horizon: 0 };

    /// The version after which items are told, in a state of this version.
    pub fn items_from(self, version: u64) -> u64 {
        if self.changed == 0 { version } else { self.changed }
    }
}

impl Since {
    /// What answers two who ask.
    #[must_use]
    pub fn and(self, other: Since) -> Since {
        let removed = match (self.removed, other.removed) {
            (0, one) | (one, 0) => one,
            (one, other) => one.min(other),
        };
        Since { changed: self.changed.min(other.changed), removed }
    }
}

/// Asks the owner of a lane, in order with what it says on the attachment, whether all that it acknowledged until now has
/// been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub attachment: u64,
    /// Counted by attachment.
    pub number: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Versioned {
    pub change: Change,
    /// The version of the record that made it; within the state that an attachment begins with, of the entry.
    pub version: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Set(Value),
    Put(Value, Value),
    Remove(Value),
    Clear,
    Event(Value),
}

/// The state of a lane, as a read gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Got {
    pub version: u64,
    pub not_modified: bool,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Value(Value),
    /// A snapshot.
    Map(Map),
}
