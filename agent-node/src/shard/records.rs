//! Records that wait to be written: their heads, and their bodies one after the other in one buffer.
//!
//! *Guarantees*: no record is longer than [`RECORD_MAX`], nor than the bound that its maker gives: what would be is not
//! added, and nothing has changed. There is no other way in than [`Records::add`].

use super::record::Parts;
use crate::log::{self, Head, RECORD_HEAD};
use std::ops::Range;

/// The longest body of a record, and so what there must be room for before a command runs.
pub const RECORD_MAX: usize = log::BODY_MAX;

#[derive(Debug, Default)]
pub struct Records {
    heads: Vec<(Head, Range<usize>)>,
    buffer: Vec<u8>,
}

/// A record would be longer than it may be.
#[derive(Debug, PartialEq, Eq)]
pub struct Full {
    /// How long it would be.
    pub bytes: usize,
}

impl Records {
    /// Each with the place of its body in [`Records::buffer`].
    pub fn heads(&self) -> &[(Head, Range<usize>)] {
        &self.heads
    }

    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// What they take of the log, batches' headers not counted.
    pub fn bytes(&self) -> usize {
        self.buffer.len() + self.heads.len() * RECORD_HEAD
    }

    /// Adds a record whose body is at most `most` bytes long, and gives its length.
    pub(super) fn add(&mut self, head: Head, parts: &Parts, most: usize) -> Result<usize, Full> {
        let start = self.buffer.len();
        parts.write(&mut self.buffer);
        let bytes = self.buffer.len() - start;
        if bytes > most.min(RECORD_MAX) {
            self.buffer.truncate(start);
            return Err(Full { bytes });
        }
        self.heads.push((head, start..self.buffer.len()));
        Ok(bytes)
    }

    pub(super) fn clear(&mut self) {
        self.heads.clear();
        self.buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Begin;
    use super::*;

    fn begin(agent: &str) -> Begin<'_> {
        Begin { history: 1, time_ms: 5, generation: 1, agent }
    }

    #[test]
    fn what_is_too_long_is_not_added_and_changes_nothing() {
        let head = |lsn| Head { slot: 3, epoch: 1, incarnation: 1, lsn };
        let mut records = Records::default();
        let short = Parts::of_slot(begin("/a/1"));
        let bytes = records.add(head(1), &short, RECORD_MAX).unwrap();
        for (length, most, fits) in [
            (10, RECORD_MAX, true),
            (10, 12, false),
            (RECORD_MAX, usize::MAX, false),
            (RECORD_MAX - 100, usize::MAX, true),
            (RECORD_MAX - 100, RECORD_MAX / 2, false),
        ] {
            let before = (records.heads().to_vec(), records.buffer().to_vec());
            let agent = "x".repeat(length);
            let added = records.add(head(2), &Parts::of_slot(begin(&agent)), most);
            assert_eq!(added.is_ok(), fits, "{length} of {most}");
            match added {
                Ok(bytes) => assert_eq!(records.bytes(), before.1.len() + bytes + 2 * RECORD_HEAD),
                Err(Full { bytes }) => {
                    assert!(bytes > most.min(RECORD_MAX));
                    assert_eq!((records.heads(), records.buffer()), (&before.0[..], &before.1[..]));
                }
            }
            records.heads.truncate(1);
            records.buffer.truncate(bytes);
        }
    }
}
