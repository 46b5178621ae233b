//! Which slots have records in which segment, in memory, so that it can be said when a segment may go. Pure.
//!
//! *Guarantees.* Of a segment that is not written any more it is known of each slot which is its last record there, or
//! a later one. Memory: 24 bytes for each slot that has records in a segment, and 8 for each slot.

use super::format::Position;
use std::collections::VecDeque;
use std::sync::Arc;

/// What one segment has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub segment: u64,
    /// Length of its file.
    pub bytes: u64,
    /// The record with which it begins, or an earlier one.
    pub first: Position,
    /// By slot. Of the segment that is being written nothing is known.
    pub slots: Arc<[Run]>,
    is_open: bool,
    /// What it begins with is known to be on the disk.
    is_synced: bool,
}

/// The records of one slot in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub slot: u16,
    pub first: u64,
    pub last: u64,
}

impl Held {
    /// It is being written, and does not go.
    pub fn is_open(&self) -> bool {
        self.is_open
    }
}

#[derive(Debug, Default)]
pub struct Contents {
    held: VecDeque<Held>,
    /// The last LSN of each slot when the last segment began.
    reached: Vec<u64>,
}

impl Contents {
    /// Nothing comes into the segment that was begun last any more, and so far have slots come with it.
    pub fn ended(&mut self, reached: &[u64]) {
        let used = reached.iter().rposition(|&lsn| lsn > 0).map_or(0, |last| last + 1);
        if let Some(held) = self.held.back_mut().filter(|held| held.is_open) {
            let before = self.reached.iter().copied().chain(std::iter::repeat(0));
            let run = |((&last, before), slot)| Run { slot, first: before + 1, last };
            let runs = reached[..used].iter().zip(before).zip(0..).map(run);
            held.slots = runs.filter(|run| run.last >= run.first).collect();
            held.is_open = false;
        }
        self.reached.clear();
        self.reached.extend_from_slice(&reached[..used]);
    }

    /// A segment begins with the record of this position.
    pub fn begun(&mut self, segment: u64, bytes: u64, first: Position) {
        // One is synced before another is begun.
        if let Some(last) = self.held.back_mut() {
            last.is_synced = true;
        }
        self.held.push_back(Held {
            segment,
            bytes,
            first,
            slots: Arc::default(),
            is_open: true,
            is_synced: false,
        });
    }

    /// The segment that was begun last is on the disk.
    pub fn synced(&mut self) {
        if let Some(last) = self.held.back_mut() {
            last.is_synced = true;
        }
    }

    /// The first segment, if it may go: one that is on the disk comes after it.
    pub fn first(&self) -> Option<u64> {
        let next = self.held.get(1)?;
        (next.is_synced && !self.held[0].is_open).then_some(self.held[0].segment)
    }

    /// The file of a segment has another length now.
    pub fn measured(&mut self, segment: u64, bytes: u64) {
        if let Some(held) = self.held.iter_mut().rfind(|held| held.segment == segment) {
            held.bytes = bytes;
        }
    }

    /// The first segment is not there any more.
    pub fn dropped(&mut self) {
        self.held.pop_front();
    }

    pub fn held(&self) -> &VecDeque<Held> {
        &self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_has_the_records_between_its_begin_and_its_end() {
        let mut contents = Contents::default();
        contents.begun(1, 100, Position(0));
        contents.ended(&[0, 3, 0, 7, 0]);
        contents.begun(2, 200, Position(10));
        contents.ended(&[0, 3, 0, 9, 0]);
        contents.begun(3, 300, Position(12));
        // As a start does after a segment that it goes on after: what was read is known.
        contents.ended(&[1, 3, 0, 9]);
        contents.ended(&[1, 3, 0, 9]);
        contents.begun(4, 400, Position(13));
        let runs: Vec<Vec<(u16, u64, u64)>> = contents
            .held()
            .iter()
            .map(|held| held.slots.iter().map(|run| (run.slot, run.first, run.last)).collect())
            .collect();
        assert_eq!(runs, [vec![(1, 1, 3), (3, 1, 7)], vec![(3, 8, 9)], vec![(0, 1, 1)], vec![]]);
        contents.dropped();
        let left: Vec<_> = contents.held().iter().map(|held| (held.segment, held.is_open())).collect();
        assert_eq!(left, [(2, false), (3, false), (4, true)]);
    }
}
