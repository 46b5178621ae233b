//! The chain of batches as it is written: numbers that rise, what is synced, which slots the batch before held. Pure.

use super::format::{self, BLOCK, BatchHead, HEADER, Ident, Kind};

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
    /// Slots and last LSNs of the batch before, as they are written.
    pub list: Vec<u8>,
    lasts: Lasts,
}

impl Chain {
    pub fn new(store: u128, incarnation: u64, synced: u64, first: u64, list: Vec<u8>) -> Chain {
        Chain { store, incarnation, number: synced + 1, first, synced, list, lasts: Lasts::new() }
    }

    /// Bytes of the next batch without its records.
    pub fn overhead(&self) -> usize {
        HEADER + self.list.len()
    }

    /// Adds a batch of these framed records to `out`.
    pub fn batch(&mut self, ident: &Ident, frames: &[u8], out: &mut Vec<u8>) -> BatchHead {
        let start = out.len();
        out.resize(start + HEADER, 0);
        out.extend_from_slice(&self.list);
        let body = out.len();
        out.extend_from_slice(frames);
        let lasts = &mut self.lasts;
        let records =
            format::seal(&mut out[body..], ident.seed(self.number), |slot, lsn| lasts.note(slot, lsn));
        out.resize(start + (out.len() - start).next_multiple_of(BLOCK), 0);
        let head = self.head(Kind::Records, ident, records, frames.len() as u32);
        head.encode(&self.list, &mut out[start..start + HEADER]);
        self.lasts.take(&mut self.list);
        self.number += 1;
        self.first += u64::from(records);
        head
    }

    /// Adds a batch to `out` that only says what is synced.
    pub fn mark(&self, kind: Kind, ident: &Ident, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + HEADER, 0);
        out.extend_from_slice(&self.list);
        out.resize(start + (out.len() - start).next_multiple_of(BLOCK), 0);
        self.head(kind, ident, 0, 0).encode(&self.list, &mut out[start..start + HEADER]);
    }

    fn head(&self, kind: Kind, ident: &Ident, records: u32, bytes: u32) -> BatchHead {
        BatchHead {
            kind,
            ident: *ident,
            number: self.number,
            first: self.first,
            synced: self.synced,
            incarnation: self.incarnation,
            lasts: format::lasts_length(&self.list),
            records,
            bytes,
            list_crc: 0,
        }
    }
}

/// The last LSN of each slot in a batch. A slot's place in the list is looked up and not searched, and what an earlier
/// batch left in the table does no harm: it points at an entry of another slot, or past the list.
struct Lasts {
    places: Vec<u16>,
    list: Vec<(u16, u64)>,
}

impl Lasts {
    fn new() -> Lasts {
        Lasts { places: vec![0; 1 << 16], list: Vec::new() }
    }

    fn note(&mut self, slot: u16, lsn: u64) {
        let place = usize::from(self.places[usize::from(slot)]);
        match self.list.get_mut(place) {
            Some(last) if last.0 == slot => last.1 = lsn,
            _ => {
                self.places[usize::from(slot)] = self.list.len() as u16;
                self.list.push((slot, lsn));
            }
        }
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        out.clear();
        for (slot, lsn) in self.list.drain(..) {
            format::push_last(slot, lsn, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::{Head, frame, lasts};
    use super::*;

    #[test]
    fn a_batch_names_the_slots_and_last_lsns_of_the_one_before() {
        let ident = Ident { store: 1, segment: 1, salt: 1 };
        let mut chain = Chain::new(1, 1, 0, 0, Vec::new());
        let mut out = Vec::new();
        for records in [&[(7, 1), (65535, 1), (7, 2)][..], &[(65535, 2), (0, 1)], &[(7, 3)]] {
            let mut frames = Vec::new();
            for &(slot, lsn) in records {
                frame(&Head { slot, lsn, ..Head::default() }, b"x", &mut frames);
            }
            chain.batch(&ident, &frames, &mut out);
        }
        let lists: Vec<Vec<(u16, u64)>> = out
            .chunks(BLOCK)
            .map(|batch| lasts(BatchHead::decode(batch).unwrap().list(batch).unwrap()).collect())
            .collect();
        assert_eq!(lists, [vec![], vec![(7, 2), (65535, 1)], vec![(65535, 2), (0, 1)]]);
        assert_eq!((chain.number, chain.first), (4, 6));
    }
}
