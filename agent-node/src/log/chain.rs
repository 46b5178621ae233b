//! The chain of batches as it is written: numbers that rise, what is synced, which slots the batches before held. Pure.

use super::format::{self, BLOCK, BatchHead, HEADER, Ident, Kind};

/// A log before its first record has slots of all numbers, and none of them has a record.
const SLOTS: usize = 1 << 16;

/// Where a chain goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Until {
    /// Batches up to this one are on the disk.
    pub synced: u64,
    /// How many records they have.
    pub records: u64,
    /// Slots and last LSNs of the last of them, and of the one before, as they are written.
    pub lists: [Vec<u8>; 2],
    /// The last LSN of each slot.
    pub reached: Vec<u64>,
}

impl Until {
    /// Nothing has been written yet.
    pub fn nothing() -> Until {
        Until { synced: 0, records: 0, lists: [Vec::new(), Vec::new()], reached: vec![0; SLOTS] }
    }
}

/// What the next batch has to say of those before it.
pub struct Chain {
    pub store: u128,
    pub incarnation: u64,
    /// Number of the next batch.
    pub number: u64,
    /// How many records lie before it.
    pub first: u64,
    /// Batches up to this one are on the disk.
    pub synced: u64,
    lists: [Vec<u8>; 2],
    reached: Vec<u64>,
    /// How many slots have records.
    slots: usize,
    lasts: Lasts,
}

impl Chain {
    pub fn new(store: u128, incarnation: u64, until: Until) -> Chain {
        let Until { synced, records, lists, reached } = until;
        let slots = reached.iter().filter(|&&lsn| lsn > 0).count();
        Chain {
            store,
            incarnation,
            number: synced + 1,
            first: records,
            synced,
            lists,
            reached,
            slots,
            lasts: Lasts::default(),
        }
    }

    /// Bytes of the next batch, or of a mark, without records.
    pub fn overhead(&self) -> usize {
        HEADER + self.lists.iter().map(Vec::len).sum::<usize>()
    }

    /// Bytes for records, and their places in a list, in the next batch of a segment that has so many left. Behind it
    /// a mark has room, so that the log can always say up to where it is on the disk, and in the last block the closing.
    pub fn room_in(&self, left: usize) -> usize {
        left.saturating_sub(self.needed_for(0))
    }

    /// The reverse of `room_in`.
    pub fn needed_for(&self, records: usize) -> usize {
        records.next_multiple_of(BLOCK) + (2 * self.overhead()).next_multiple_of(BLOCK) + 2 * BLOCK
    }

    /// The last LSN of each slot.
    pub fn reached(&self) -> &[u64] {
        &self.reached
    }

    /// Bytes of an opening.
    pub fn opening_length(&self) -> usize {
        (HEADER + self.slots * format::LAST).next_multiple_of(BLOCK)
    }

    /// Adds a batch of these framed records to `out`.
    pub fn batch(&mut self, ident: &Ident, frames: &[u8], out: &mut Vec<u8>) -> BatchHead {
        let start = begin(&self.lists, out);
        let body = out.len();
        out.extend_from_slice(frames);
        let lasts = &mut self.lasts;
        let records =
            format::seal(&mut out[body..], ident.seed(self.number), |slot, lsn| lasts.note(slot, lsn));
        let head = BatchHead { records, bytes: frames.len() as u32, ..self.head(Kind::Records, ident) };
        finish(&head, start, out);
        self.lists.swap(0, 1);
        self.lists[0].clear();
        for (slot, lsn) in self.lasts.drain() {
            format::push_last(slot, lsn, &mut self.lists[0]);
            let before = std::mem::replace(&mut self.reached[usize::from(slot)], lsn);
            self.slots += usize::from(before == 0);
        }
        self.number += 1;
        self.first += u64::from(records);
        head
    }

    /// Adds a batch to `out` that only says what is synced.
    pub fn mark(&self, ident: &Ident, out: &mut Vec<u8>) {
        let start = begin(&self.lists, out);
        finish(&self.head(Kind::Mark, ident), start, out);
    }

    /// Adds the opening of a segment to `out`.
    pub fn opening(&self, ident: &Ident, out: &mut Vec<u8>) {
        let mut table = Vec::new();
        for (slot, &lsn) in self.reached.iter().enumerate().filter(|(_, lsn)| **lsn > 0) {
            format::push_last(slot as u16, lsn, &mut table);
        }
        let start = begin(&[], out);
        out.extend_from_slice(&table);
        let lasts = format::lasts_length(&table);
        finish(&BatchHead { lasts, earlier: 0, ..self.head(Kind::Opening, ident) }, start, out);
    }

    /// Adds the end of a segment to `out`, one block long.
    pub fn closing(&self, ident: &Ident, out: &mut Vec<u8>) {
        let start = begin(&[], out);
        finish(&BatchHead { lasts: 0, earlier: 0, ..self.head(Kind::Closing, ident) }, start, out);
    }

    fn head(&self, kind: Kind, ident: &Ident) -> BatchHead {
        BatchHead {
            kind,
            ident: *ident,
            number: self.number,
            first: self.first,
            synced: self.synced,
            incarnation: self.incarnation,
            lasts: format::lasts_length(&self.lists[0]),
            earlier: format::lasts_length(&self.lists[1]),
            records: 0,
            bytes: 0,
            list_crc: 0,
        }
    }
}

/// Leaves room for a header and adds these lists; where the header begins.
fn begin(lists: &[Vec<u8>], out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + HEADER, 0);
    for list in lists {
        out.extend_from_slice(list);
    }
    start
}

/// Fills up the batch that begins at `start` with zeros, and writes its header.
fn finish(head: &BatchHead, start: usize, out: &mut Vec<u8>) {
    out.resize(start + (out.len() - start).next_multiple_of(BLOCK), 0);
    let (header, rest) = out[start..].split_at_mut(HEADER);
    head.encode(&rest[..head.body_at() - HEADER], header);
}

/// The last LSN of each slot in a batch. A slot's place in the list is looked up and not searched, and what an earlier
/// batch left in the table does no harm: it points at an entry of another slot, or past the list.
pub struct Lasts {
    places: Vec<u16>,
    list: Vec<(u16, u64)>,
}

impl Default for Lasts {
    fn default() -> Lasts {
        Lasts { places: vec![0; SLOTS], list: Vec::new() }
    }
}

impl Lasts {
    pub fn note(&mut self, slot: u16, lsn: u64) {
        let place = usize::from(self.places[usize::from(slot)]);
        match self.list.get_mut(place) {
            Some(last) if last.0 == slot => last.1 = lsn,
            _ => {
                self.places[usize::from(slot)] = self.list.len() as u16;
                self.list.push((slot, lsn));
            }
        }
    }

    pub fn drain(&mut self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.list.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::{Head, frame, lasts};
    use super::*;

    const IDENT: Ident = Ident { store: 1, segment: 1, salt: 1, begins: 1, recycled: false };

    fn frames(records: &[(u16, u64)]) -> Vec<u8> {
        let mut frames = Vec::new();
        for &(slot, lsn) in records {
            frame(&Head { slot, lsn, ..Head::default() }, b"x", &mut frames);
        }
        frames
    }

    #[test]
    fn a_batch_names_the_slots_and_last_lsns_of_the_two_before() {
        let mut chain = Chain::new(1, 1, Until::nothing());
        let mut out = Vec::new();
        for records in [&[(7, 1), (65535, 1), (7, 2)][..], &[(65535, 2), (0, 1)], &[(7, 3)]] {
            chain.batch(&IDENT, &frames(records), &mut out);
        }
        chain.mark(&IDENT, &mut out);
        let listed = |batch: &[u8]| {
            let (last, earlier) = BatchHead::decode(batch).unwrap().lists(batch).unwrap();
            [lasts(last).collect::<Vec<_>>(), lasts(earlier).collect()]
        };
        let lists: Vec<_> = out.chunks(BLOCK).map(listed).collect();
        let (one, two) = (vec![(7, 2), (65535, 1)], vec![(65535, 2), (0, 1)]);
        assert_eq!(lists[0], [vec![], vec![]]);
        assert_eq!(lists[1], [one.clone(), vec![]]);
        assert_eq!(lists[2], [two.clone(), one]);
        assert_eq!(lists[3], [vec![(7, 3)], two]);
        assert_eq!((chain.number, chain.first), (4, 6));
    }

    #[test]
    fn an_opening_names_every_slot_and_a_closing_is_one_block() {
        let mut chain = Chain::new(1, 1, Until::nothing());
        let slots: Vec<(u16, u64)> = (0..900).map(|slot| (slot, 1)).collect();
        chain.batch(&IDENT, &frames(&slots), &mut Vec::new());
        chain.batch(&IDENT, &frames(&[(3, 2)]), &mut Vec::new());
        chain.batch(&IDENT, &frames(&[(5, 2)]), &mut Vec::new());
        let mut out = Vec::new();
        chain.opening(&IDENT, &mut out);
        assert_eq!(out.len(), chain.opening_length());
        let head = BatchHead::decode(&out).unwrap();
        let (table, none) = head.lists(&out).unwrap();
        assert_eq!((lasts(table).count(), none.len(), head.length()), (900, 0, out.len()));
        assert_eq!(
            lasts(table).filter(|(_, lsn)| *lsn == 2).map(|(slot, _)| slot).collect::<Vec<_>>(),
            [3, 5]
        );
        let opening = out.len();
        chain.closing(&IDENT, &mut out);
        assert_eq!(out.len() - opening, BLOCK);
        assert_eq!(BatchHead::decode(&out[opening..]).unwrap().length(), BLOCK);
    }
}
