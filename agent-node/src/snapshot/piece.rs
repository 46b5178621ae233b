//! What a snapshot of a slot is made of: `Begin`, sections, `End`, in this order. Pure.

use crate::log::Position;
use proto::address::Slot;

/// No section of a piece is longer: who has more gives several pieces with the same tag.
pub const BYTES_MAX: usize = 64 << 10;
/// No snapshot says more terms than these. Who has more says the last of them.
pub const TERMS_MAX: usize = 1_024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Begin(Begin),
    /// What only a shard understands.
    Section(Tag, Vec<u8>),
    /// The snapshot is whole.
    End,
}

/// What a section holds. The numbers are the shard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u16);

impl Tag {
    /// A reader that does not know a section with this bit passes over it; without the bit it refuses the snapshot.
    pub const MAY_BE_SKIPPED: u16 = 1 << 15;

    pub const fn may_be_skipped(self) -> bool {
        self.0 & Tag::MAY_BE_SKIPPED != 0
    }
}

/// Up to where a snapshot goes, and what there has to be beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    pub history: u16,
    /// The last record whose effects are in the snapshot.
    pub lsn: u64,
    /// After that record, in the log. The snapshot does not count before the log is on the disk up to there.
    pub end: Position,
    /// Slot time.
    pub time_ms: u64,
    /// The generation of the plan that was in force.
    pub generation: u64,
    /// In order, the last ones if there are more than [`TERMS_MAX`].
    pub terms: Vec<Term>,
    /// The first record of the log that the slot may still want to read again. No segment with it goes.
    pub pin: Option<Position>,
}

/// Who wrote the records of a slot from `first` on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Term {
    pub epoch: u64,
    pub incarnation: u64,
    /// The LSN of its first record.
    pub first: u64,
}

/// What a shard is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Snapshots of these slots, in any order, each as it is when its turn comes. It takes the place of a round before:
    /// what of that was not given yet is not wanted any more.
    Take { round: u64, slots: Vec<Slot> },
    /// There is room for pieces again.
    Room,
}

/// A piece of a slot's snapshot.
#[derive(Debug, PartialEq, Eq)]
pub struct Given {
    pub slot: Slot,
    pub piece: Piece,
}
