//! What snapshots have of each slot, so that the log need not have it any more. Pure.

use super::format::Position;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    lsns: Vec<u64>,
    until: Position,
}

impl Covered {
    /// A snapshot has all that the records of a slot up to this one have done. The log was on the disk up to `end` when
    /// it was made.
    pub fn note(&mut self, slot: u16, lsn: u64, end: Position) {
        let place = usize::from(slot);
        if self.lsns.len() <= place {
            self.lsns.resize(place + 1, 0);
        }
        self.lsns[place] = self.lsns[place].max(lsn);
        self.until = self.until.max(end);
    }

    /// Up to which record of a slot a snapshot has it.
    pub fn lsn(&self, slot: u16) -> u64 {
        self.lsns.get(usize::from(slot)).copied().unwrap_or(0)
    }

    /// Up to where the log has been on the disk, as snapshots know it.
    pub fn until(&self) -> Position {
        self.until
    }

    /// The slots of which there is something, with it.
    pub fn slots(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.lsns.iter().zip(0..).filter(|(lsn, _)| **lsn > 0).map(|(lsn, slot)| (slot, *lsn))
    }
}
