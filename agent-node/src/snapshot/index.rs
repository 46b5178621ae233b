//! Which snapshots there are and in which files, newest first for each slot. Pure.
//!
//! *Guarantees.* A slot's two newest snapshots are live, and all else in the files is not needed any more. *Assumptions.* A file has
//! one snapshot of a slot at most.

use super::format::Kept;
use proto::address::Slot;
use std::collections::{BTreeMap, BTreeSet};

/// So many snapshots of a slot are kept: the newest one, and one for when that is damaged.
pub const LIVE: usize = 2;

/// A file, and what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filed {
    pub bytes: u64,
    pub kept: BTreeMap<Slot, Kept>,
}

#[derive(Clone, Debug, Default)]
pub struct Index {
    files: BTreeMap<u64, Filed>,
    /// LSN and file of each snapshot, newest first.
    slots: BTreeMap<Slot, Vec<(u64, u64)>>,
}

impl Index {
    pub fn add(&mut self, file: u64, filed: Filed) {
        for (&slot, kept) in &filed.kept {
            let of_slot = self.slots.entry(slot).or_default();
            let place = of_slot.partition_point(|&newer| newer > (kept.lsn, file));
            of_slot.insert(place, (kept.lsn, file));
        }
        self.files.insert(file, filed);
    }

    /// The file is not there any more.
    pub fn remove(&mut self, file: u64) {
        let filed = self.files.remove(&file).unwrap_or_default();
        for slot in filed.kept.keys() {
            self.leave(*slot, file);
        }
    }

    /// A snapshot is not good.
    pub fn forget(&mut self, file: u64, slot: Slot) {
        if let Some(filed) = self.files.get_mut(&file) {
            filed.kept.remove(&slot);
            self.leave(slot, file);
        }
    }

    fn leave(&mut self, slot: Slot, file: u64) {
        if let Some(of_slot) = self.slots.get_mut(&slot) {
            of_slot.retain(|(_, of)| *of != file);
            if of_slot.is_empty() {
                self.slots.remove(&slot);
            }
        }
    }

    /// The files in which a slot has snapshots, the newest one first, with those.
    pub fn of(&self, slot: Slot) -> impl Iterator<Item = (u64, &Kept)> {
        let of_slot = self.slots.get(&slot).map_or(&[][..], Vec::as_slice);
        of_slot.iter().filter_map(move |(_, file)| Some((*file, self.files.get(file)?.kept.get(&slot)?)))
    }

    /// The live snapshots of a slot.
    pub fn live(&self, slot: Slot) -> impl Iterator<Item = (u64, &Kept)> {
        self.of(slot).take(LIVE)
    }

    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.slots.keys().copied()
    }

    pub fn files(&self) -> &BTreeMap<u64, Filed> {
        &self.files
    }

    /// Bytes of one snapshot of everything: the newest one of each slot.
    pub fn whole(&self) -> u64 {
        self.slots().filter_map(|slot| Some(self.of(slot).next()?.1.bytes)).sum()
    }

    /// What is live in each file, in bytes.
    pub fn live_bytes(&self) -> BTreeMap<u64, u64> {
        let mut live: BTreeMap<u64, u64> = self.files.keys().map(|file| (*file, 0)).collect();
        for slot in self.slots() {
            for (file, kept) in self.live(slot) {
                *live.entry(file).or_default() += kept.bytes;
            }
        }
        live
    }

    /// The slots of which a file has a live snapshot.
    pub fn live_in(&self, file: u64) -> BTreeSet<Slot> {
        let slots = self.files.get(&file).into_iter().flat_map(|filed| filed.kept.keys().copied());
        slots.filter(|slot| self.live(*slot).any(|(of, _)| of == file)).collect()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::log::Position;

    pub fn kept(lsn: u64, bytes: u64) -> Kept {
        Kept { lsn, end: Position(lsn), pin: None, bytes, places: Box::default() }
    }

    pub fn filed(kept: &[(Slot, Kept)]) -> Filed {
        Filed {
            bytes: kept.iter().map(|(_, kept)| kept.bytes).sum::<u64>() + 100,
            kept: kept.iter().cloned().collect(),
        }
    }

    #[test]
    fn the_two_newest_are_live_whichever_file_they_are_in() {
        let mut index = Index::default();
        index.add(1, filed(&[(5, kept(10, 1)), (6, kept(3, 20))]));
        index.add(2, filed(&[(5, kept(12, 2))]));
        // A copy of what an older file had.
        index.add(4, filed(&[(6, kept(3, 20))]));
        index.add(3, filed(&[(5, kept(15, 4)), (6, kept(3, 20))]));
        let live =
            |index: &Index, slot| index.live(slot).map(|(file, kept)| (file, kept.lsn)).collect::<Vec<_>>();
        assert_eq!((live(&index, 5), live(&index, 6)), (vec![(3, 15), (2, 12)], vec![(4, 3), (3, 3)]));
        assert_eq!(index.live_bytes().into_iter().collect::<Vec<_>>(), [(1, 0), (2, 2), (3, 24), (4, 20)]);
        assert_eq!((index.whole(), index.live_in(3)), (24, [5, 6].into()));
        index.remove(4);
        index.forget(3, 5);
        assert_eq!((live(&index, 5), live(&index, 6)), (vec![(2, 12), (1, 10)], vec![(3, 3), (1, 3)]));
        index.remove(1);
        index.remove(2);
        assert_eq!(index.slots().collect::<Vec<_>>(), [6]);
    }
}
