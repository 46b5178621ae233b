//! What the bytes of a file of snapshots mean: a header, pieces of the slots' snapshots, a table of where they lie, and
//! the end that says where the table is. Pure: bytes in, bytes out.
//!
//! Sums of pieces begin with the file's random salt, so that nothing that a piece holds can be taken for one.

use super::piece::{BYTES_MAX, Begin, TERMS_MAX, Tag, Term};
use crate::broken::{self, Broken};
use crate::little_endian::{u16_at, u32_at, u64_at};
use crate::log::Position;
use proto::address::Slot;

pub const VERSION: u16 = 1;
/// Bytes of a file's header.
pub const HEADER: usize = 64;
/// Bytes of a piece before what it holds.
pub const HEAD: usize = 24;
/// Bytes of what ends a file.
pub const ENDING: usize = 32;
/// Bytes of a term.
const TERM: usize = 24;
/// Bytes of `Begin` without its terms.
const BEGIN: usize = 44;
/// No piece holds more.
pub const HELD_MAX: usize = BYTES_MAX;
const _: () = assert!(BEGIN + TERMS_MAX * TERM <= HELD_MAX);
const MAGIC: [u8; 4] = *b"SHSN";
const ENDING_MAGIC: [u8; 4] = *b"SHSE";
const NO_PIN: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub store: u128,
    pub number: u64,
    pub salt: u64,
    pub incarnation: u64,
    pub time_ms: u64,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..4].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[16..32].copy_from_slice(&self.store.to_le_bytes());
        for (field, at) in
            [self.number, self.salt, self.incarnation, self.time_ms].iter().zip([32, 40, 48, 56])
        {
            out[at..at + 8].copy_from_slice(&field.to_le_bytes());
        }
        let sum = crc32c::crc32c(&out[8..]);
        out[4..8].copy_from_slice(&sum.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8; HEADER]) -> Result<Header, NotAFile> {
        if bytes[..4] != MAGIC || u32_at(bytes, 4) != crc32c::crc32c(&bytes[8..]) {
            return Err(NotAFile::Broken);
        }
        match u16_at(bytes, 8) {
            VERSION => Ok(Header {
                store: u128::from(u64_at(bytes, 24)) << 64 | u128::from(u64_at(bytes, 16)),
                number: u64_at(bytes, 32),
                salt: u64_at(bytes, 40),
                incarnation: u64_at(bytes, 48),
                time_ms: u64_at(bytes, 56),
            }),
            other => Err(NotAFile::OtherFormat(other)),
        }
    }

    fn seed(&self) -> u32 {
        (self.salt ^ self.salt >> 32) as u32
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAFile {
    Broken,
    OtherFormat(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Begin,
    Section(Tag),
    End,
}

/// A piece without what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub slot: Slot,
    pub kind: Kind,
    /// In the slot's snapshot, from 0.
    pub number: u32,
    /// Length of what it holds.
    pub bytes: u32,
    sum: u32,
}

impl Head {
    /// A piece of a file, with the sum of what it holds.
    pub fn new(file: &Header, slot: Slot, kind: Kind, number: u32, held: &[u8]) -> Head {
        let sum = crc32c::crc32c_append(file.seed(), held);
        Head { slot, kind, number, bytes: held.len() as u32, sum }
    }

    pub fn encode(&self, file: &Header) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        let (kind, tag) = match self.kind {
            Kind::Begin => (0, 0),
            Kind::Section(tag) => (1, tag.0),
            Kind::End => (2, 0),
        };
        out[4..8].copy_from_slice(&self.sum.to_le_bytes());
        out[8..12].copy_from_slice(&self.bytes.to_le_bytes());
        out[12..14].copy_from_slice(&self.slot.to_le_bytes());
        out[14] = kind;
        out[16..18].copy_from_slice(&tag.to_le_bytes());
        out[20..24].copy_from_slice(&self.number.to_le_bytes());
        let sum = crc32c::crc32c_append(file.seed(), &out[4..]);
        out[..4].copy_from_slice(&sum.to_le_bytes());
        out
    }

    pub fn decode(file: &Header, bytes: &[u8]) -> Option<Head> {
        let bytes = bytes.get(..HEAD)?;
        if u32_at(bytes, 0) != crc32c::crc32c_append(file.seed(), &bytes[4..]) {
            return None;
        }
        let kind = match bytes[14] {
            0 => Kind::Begin,
            1 => Kind::Section(Tag(u16_at(bytes, 16))),
            2 => Kind::End,
            _ => return None,
        };
        let (sum, bytes_held) = (u32_at(bytes, 4), u32_at(bytes, 8));
        let (slot, number) = (u16_at(bytes, 12), u32_at(bytes, 20));
        (bytes_held as usize <= HELD_MAX).then_some(Head { slot, kind, number, bytes: bytes_held, sum })
    }

    /// Whether this is what it held when it was written.
    pub fn holds(&self, file: &Header, held: &[u8]) -> bool {
        let checks = !broken::is(Broken::UncheckedPieces);
        held.len() == self.bytes as usize && (!checks || crc32c::crc32c_append(file.seed(), held) == self.sum)
    }

    /// From its beginning to the next piece.
    pub fn length(&self) -> usize {
        HEAD + self.bytes as usize
    }
}

pub fn encode_begin(begin: &Begin) -> Vec<u8> {
    let Begin { history, lsn, end, time_ms, generation, terms, pin } = begin;
    let lsn = lsn + u64::from(broken::is(Broken::ShortSnapshot));
    let terms = &terms[terms.len().saturating_sub(TERMS_MAX)..];
    let mut out = Vec::with_capacity(BEGIN + terms.len() * TERM);
    out.extend_from_slice(&history.to_le_bytes());
    out.extend_from_slice(&(terms.len() as u16).to_le_bytes());
    for field in [lsn, end.0, *time_ms, *generation, pin.map_or(NO_PIN, |pin| pin.0)] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for term in terms {
        for field in [term.epoch, term.incarnation, term.first] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }
    out
}

pub fn decode_begin(bytes: &[u8]) -> Option<Begin> {
    let terms = usize::from(u16_at(bytes.get(..BEGIN)?, 2));
    let listed = bytes[BEGIN..].chunks_exact(TERM);
    if bytes.len() != BEGIN + terms * TERM {
        return None;
    }
    let term = |bytes: &[u8]| Term {
        epoch: u64_at(bytes, 0),
        incarnation: u64_at(bytes, 8),
        first: u64_at(bytes, 16),
    };
    let pin = u64_at(bytes, 36);
    Some(Begin {
        history: u16_at(bytes, 0),
        lsn: u64_at(bytes, 4),
        end: Position(u64_at(bytes, 12)),
        time_ms: u64_at(bytes, 20),
        generation: u64_at(bytes, 28),
        terms: listed.map(term).collect(),
        pin: (pin != NO_PIN).then_some(Position(pin)),
    })
}

/// A whole snapshot of a slot in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub lsn: u64,
    pub end: Position,
    pub pin: Option<Position>,
    /// What it takes of the file.
    pub bytes: u64,
    /// Where its pieces begin, in order.
    pub places: Box<[u64]>,
}

/// The table of a file, and its ending.
pub fn encode_table(kept: &[(Slot, Kept)], at: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for (slot, Kept { lsn, end, pin, bytes, places }) in kept {
        out.extend_from_slice(&slot.to_le_bytes());
        out.extend_from_slice(&(places.len() as u32).to_le_bytes());
        for field in [*lsn, end.0, pin.map_or(NO_PIN, |pin| pin.0), *bytes].iter().chain(places) {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }
    let mut ending = [0; ENDING];
    ending[..4].copy_from_slice(&ENDING_MAGIC);
    ending[8..12].copy_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    ending[12..16].copy_from_slice(&(kept.len() as u32).to_le_bytes());
    ending[16..24].copy_from_slice(&at.to_le_bytes());
    ending[24..32].copy_from_slice(&(out.len() as u64).to_le_bytes());
    let sum = crc32c::crc32c(&ending[8..]);
    ending[4..8].copy_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&ending);
    out
}

/// Where the table is, its length, and what it is checked by.
pub struct Ending {
    pub at: u64,
    pub bytes: u64,
    count: u32,
    sum: u32,
}

impl Ending {
    pub fn decode(bytes: &[u8; ENDING]) -> Option<Ending> {
        let is_whole = bytes[..4] == ENDING_MAGIC && u32_at(bytes, 4) == crc32c::crc32c(&bytes[8..]);
        is_whole.then(|| Ending {
            sum: u32_at(bytes, 8),
            count: u32_at(bytes, 12),
            at: u64_at(bytes, 16),
            bytes: u64_at(bytes, 24),
        })
    }

    pub fn table(&self, mut bytes: &[u8]) -> Option<Vec<(Slot, Kept)>> {
        if crc32c::crc32c(bytes) != self.sum {
            return None;
        }
        let mut all = Vec::new();
        for _ in 0..self.count {
            let (head, rest) = bytes.split_at_checked(6 + 4 * 8)?;
            let (places, rest) = rest.split_at_checked(u32_at(head, 2) as usize * 8)?;
            let pin = u64_at(head, 22);
            all.push((
                u16_at(head, 0),
                Kept {
                    lsn: u64_at(head, 6),
                    end: Position(u64_at(head, 14)),
                    pin: (pin != NO_PIN).then_some(Position(pin)),
                    bytes: u64_at(head, 30),
                    places: places.chunks_exact(8).map(|place| u64_at(place, 0)).collect(),
                },
            ));
            bytes = rest;
        }
        bytes.is_empty().then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: Header =
        Header { store: 7 << 70 | 9, number: 3, salt: 0xdead_beef_1234_5678, incarnation: 4, time_ms: 5 };

    #[test]
    fn a_header_comes_back_and_any_flipped_bit_is_seen() {
        let mut bytes = FILE.encode();
        assert_eq!(Header::decode(&bytes), Ok(FILE));
        for bit in 0..HEADER * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes), Err(NotAFile::Broken), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        bytes[8] = 9;
        let sum = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(NotAFile::OtherFormat(9)));
    }

    #[test]
    fn a_piece_comes_back_and_any_flipped_bit_is_seen() {
        for kind in [Kind::Begin, Kind::Section(Tag(0x8003)), Kind::End] {
            let head = Head::new(&FILE, 5, kind, 77, b"held");
            let mut bytes = head.encode(&FILE).to_vec();
            assert_eq!(Head::decode(&FILE, &bytes), Some(head));
            assert!(head.holds(&FILE, b"held") && !head.holds(&FILE, b"helf") && !head.holds(&FILE, b"hel"));
            assert_eq!(Head::decode(&Header { salt: 1, ..FILE }, &bytes), None, "a piece of another file");
            for bit in 0..HEAD * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Head::decode(&FILE, &bytes), None, "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    fn begin() -> impl Strategy<Value = Begin> {
        let terms = prop::collection::vec(any::<[u64; 3]>(), 0..4);
        (any::<(u16, u64, u64, u64, u64)>(), terms, prop::option::of(0..u64::MAX)).prop_map(
            |((history, lsn, end, time_ms, generation), terms, pin)| Begin {
                history,
                lsn,
                end: Position(end),
                time_ms,
                generation,
                terms: terms
                    .into_iter()
                    .map(|[epoch, incarnation, first]| Term { epoch, incarnation, first })
                    .collect(),
                pin: pin.map(Position),
            },
        )
    }

    #[test]
    fn more_terms_than_there_is_room_for_leave_the_last_ones() {
        let term = |first| Term { first, ..Term::default() };
        let begin = Begin { terms: (0..2_000).map(term).collect(), ..Begin::default() };
        let bytes = encode_begin(&begin);
        assert!(bytes.len() <= HELD_MAX);
        let terms = decode_begin(&bytes).expect("it is whole").terms;
        assert_eq!((terms.len(), terms[TERMS_MAX - 1]), (TERMS_MAX, term(1_999)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_begins_a_snapshot_comes_back(begin in begin()) {
            prop_assert_eq!(decode_begin(&encode_begin(&begin)), Some(begin));
        }

        #[test]
        fn a_table_comes_back_and_none_that_is_changed(
            kept in prop::collection::vec((any::<Slot>(), any::<[u64; 3]>(), prop::option::of(0..9_u64), prop::collection::vec(any::<u64>(), 0..5)), 0..6),
            at: u64,
            flipped: prop::sample::Index,
        ) {
            let kept: Vec<(Slot, Kept)> = kept.into_iter().map(|(slot, [lsn, end, bytes], pin, places)| {
                let (end, pin) = (Position(end), pin.map(Position));
                (slot, Kept { lsn, end, pin, bytes, places: places.into() })
            }).collect();
            let mut bytes = encode_table(&kept, at);
            let read = |bytes: &[u8]| {
                let (table, ending) = bytes.split_last_chunk::<ENDING>()?;
                let ending = Ending::decode(ending)?;
                Some((ending.at, ending.bytes as usize == table.len(), ending.table(table)?))
            };
            prop_assert_eq!(read(&bytes), Some((at, true, kept)));
            let flipped = flipped.index(bytes.len());
            bytes[flipped] ^= 1;
            prop_assert_eq!(read(&bytes), None);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Head::decode(&FILE, &bytes);
            decode_begin(&bytes);
            if let Some((table, ending)) = bytes.split_last_chunk::<ENDING>() {
                Ending::decode(ending);
                Ending { at: 0, bytes: 0, count: 3, sum: crc32c::crc32c(table) }.table(table);
            }
        }
    }
}
