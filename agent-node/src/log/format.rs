//! What the log's bytes mean. A segment is a chain of batches, each of which begins at a multiple of 4 KiB: a header,
//! the slots and last LSNs of the two batches before, the records, filler up to the next multiple. Pure: bytes in,
//! bytes out.
//!
//! Header, list and each record's head and body have a crc32c of their own, so that a broken place names what it
//! held. Nothing in a segment can be mistaken for a batch of another: store, segment and its random salt are part of
//! each header, and the records' sums begin with salt and number of their batch. So a segment may be written over
//! an older one: what is left of that behind the last batch has another segment in its headers.

use crate::little_endian::{u16_at, u32_at, u64_at};

/// Batches begin at multiples of this.
pub const BLOCK: usize = 4096;
/// The format that this version writes and reads; all others are refused.
pub const VERSION: u16 = 2;
/// Bytes of a batch's header.
pub const HEADER: usize = 128;
/// Bytes of a header of format 1, whose sum and first fields lay where they lie now.
const HEADER_1: usize = 96;
/// Bytes of a record before its body.
pub const RECORD: usize = 40;
/// No record's body is longer.
pub const BODY_MAX: usize = 3 << 20;
/// Bytes of one slot in a list.
pub const LAST: usize = 10;
/// Numbers of batches and records stay below that power of two.
const NUMBER_BITS: u32 = 62;
/// And LSNs, of which a version holds no more bits.
const LSN_BITS: u32 = 40;
const MAGIC: u32 = u32::from_le_bytes(*b"SHLB");
/// The kind of a record that holds the effects of a command, the only one that is written yet. 1 to 9 are kept for
/// the control records Adopt, Joining, Promise, Sealed, Cut, Installed, Dropped, History, Damaged.
const EFFECTS: u16 = 0;

/// A place in the log: the number of records before it. It rises for as long as the store lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// What the log knows of a record: whose it is, who wrote it, its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub slot: u16,
    pub epoch: u64,
    pub incarnation: u64,
    pub lsn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Records,
    /// Holds nothing but the word up to where the log is synced; the next batch takes its place.
    Mark,
    /// The first of a segment, and never overwritten. It has the last LSN of every slot that has records before it.
    Opening,
    /// The last of a segment: the file of a later one is there.
    Closing,
}

/// Which segment of which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ident {
    pub store: u128,
    pub segment: u64,
    pub salt: u64,
    /// Number of the batch with which the segment begins: batches of this number and above in older segments do not
    /// count, since they were cut, or written anew in this one.
    pub begins: u64,
    /// The file held another segment before, which is still there behind the last batch.
    pub recycled: bool,
}

impl Ident {
    /// What the sums of a batch's records begin with.
    pub fn seed(&self, number: u64) -> u32 {
        (self.salt ^ number.rotate_left(17)) as u32
    }
}

/// A batch's header. All but those with records have the number of the batch that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHead {
    pub kind: Kind,
    pub ident: Ident,
    pub number: u64,
    /// How many records were written before this batch.
    pub first: u64,
    /// Batches up to this one were on the disk when this was written.
    pub synced: u64,
    pub incarnation: u64,
    /// How many slots the list of the batch before has; in an opening, that of all slots.
    pub lasts: u32,
    /// How many slots the list of the batch before that one has.
    pub earlier: u32,
    pub records: u32,
    /// Length of the records.
    pub bytes: u32,
    pub list_crc: u32,
}

impl BatchHead {
    /// Whether the record at that position is in this batch.
    pub fn has(&self, position: Position) -> bool {
        (self.first..self.first + u64::from(self.records)).contains(&position.0)
    }

    /// Where the records begin.
    pub fn body_at(&self) -> usize {
        HEADER + (self.lasts as usize + self.earlier as usize) * LAST
    }

    /// Where the records end.
    pub fn end(&self) -> usize {
        self.body_at() + self.bytes as usize
    }

    /// Where the next batch begins.
    pub fn length(&self) -> usize {
        self.end().next_multiple_of(BLOCK)
    }

    /// Writes the header, with the sum of the list that follows it.
    pub fn encode(&self, list: &[u8], out: &mut [u8]) {
        let kind: u16 = match self.kind {
            Kind::Records => 0,
            Kind::Mark => 1,
            Kind::Opening => 2,
            Kind::Closing => 3,
        };
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[10..12].copy_from_slice(&kind.to_le_bytes());
        out[12..16].copy_from_slice(&crc32c::crc32c(list).to_le_bytes());
        out[16..32].copy_from_slice(&self.ident.store.to_le_bytes());
        out[32..40].copy_from_slice(&self.ident.salt.to_le_bytes());
        out[40..48].copy_from_slice(&self.ident.segment.to_le_bytes());
        out[48..56].copy_from_slice(&self.number.to_le_bytes());
        out[56..64].copy_from_slice(&self.first.to_le_bytes());
        out[64..72].copy_from_slice(&self.synced.to_le_bytes());
        out[72..80].copy_from_slice(&self.incarnation.to_le_bytes());
        out[80..88].copy_from_slice(&self.ident.begins.to_le_bytes());
        out[88..92].copy_from_slice(&self.lasts.to_le_bytes());
        out[92..96].copy_from_slice(&self.earlier.to_le_bytes());
        out[96..100].copy_from_slice(&self.records.to_le_bytes());
        out[100..104].copy_from_slice(&self.bytes.to_le_bytes());
        out[104..HEADER].fill(0);
        out[104] = self.ident.recycled.into();
        let crc = crc32c::crc32c(&out[8..HEADER]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// The header at the beginning of these bytes, if there is a sound one.
    pub fn decode(bytes: &[u8]) -> Result<BatchHead, NotABatch> {
        let Some(bytes) = bytes.get(..HEADER) else { return Err(NotABatch::Short) };
        if u32_at(bytes, 0) != MAGIC {
            return Err(NotABatch::Broken);
        }
        let version = u16_at(bytes, 8);
        let summed = if version == 1 { &bytes[8..HEADER_1] } else { &bytes[8..] };
        if u32_at(bytes, 4) != crc32c::crc32c(summed) {
            return Err(NotABatch::Broken);
        }
        let ident = identity(bytes).ok_or(NotABatch::Short)?;
        if version != VERSION {
            return Err(NotABatch::OtherFormat(version, ident));
        }
        let kind = match u16_at(bytes, 10) {
            0 => Kind::Records,
            1 => Kind::Mark,
            2 => Kind::Opening,
            3 => Kind::Closing,
            _ => return Err(NotABatch::Broken),
        };
        let head = BatchHead {
            kind,
            ident,
            number: u64_at(bytes, 48),
            first: u64_at(bytes, 56),
            synced: u64_at(bytes, 64),
            incarnation: u64_at(bytes, 72),
            lasts: u32_at(bytes, 88),
            earlier: u32_at(bytes, 92),
            records: u32_at(bytes, 96),
            bytes: u32_at(bytes, 100),
            list_crc: u32_at(bytes, 12),
        };
        let numbers = [head.number, head.first, head.synced, head.ident.begins];
        // No log counts so far, whatever the sum says, and what reads adds to them.
        if numbers.iter().any(|number| number >> NUMBER_BITS != 0) {
            return Err(NotABatch::Broken);
        }
        Ok(head)
    }

    /// The lists of the batch before and of the one before that, if they are whole.
    pub fn lists<'a>(&self, batch: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let list = batch.get(HEADER..self.body_at())?;
        (crc32c::crc32c(list) == self.list_crc).then(|| list.split_at(self.lasts as usize * LAST))
    }
}

/// What stands where a header has its store, salt and segment, sound or not.
pub fn identity(bytes: &[u8]) -> Option<Ident> {
    let bytes = bytes.get(..HEADER)?;
    let store = u128::from(u64_at(bytes, 24)) << 64 | u128::from(u64_at(bytes, 16));
    let (salt, segment, begins) = (u64_at(bytes, 32), u64_at(bytes, 40), u64_at(bytes, 80));
    Some(Ident { store, segment, salt, begins, recycled: bytes[104] != 0 })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotABatch {
    Short,
    Broken,
    /// A whole header of another format. Store, salt and segment lie at the same place in all of them.
    OtherFormat(u16, Ident),
}

/// Why there is no sound record at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotARecord {
    Short,
    BrokenHead,
    /// The head is sound, so it is known which record is lost, and where the next one begins.
    BrokenBody(Head, usize),
    /// It is whole, and this version does not know what it is.
    OtherKind(Head, u16),
}

/// Puts a record at the end of `out`. Its sums are left open for `seal`, which runs on another thread.
pub fn frame(head: &Head, body: &[u8], out: &mut Vec<u8>) {
    assert!(body.len() <= BODY_MAX, "a record of {} bytes is over the limit of {BODY_MAX}", body.len());
    let mut fixed = [0; RECORD];
    fixed[8..12].copy_from_slice(&(body.len() as u32).to_le_bytes());
    fixed[12..14].copy_from_slice(&head.slot.to_le_bytes());
    fixed[14..16].copy_from_slice(&EFFECTS.to_le_bytes());
    fixed[16..24].copy_from_slice(&head.epoch.to_le_bytes());
    fixed[24..32].copy_from_slice(&head.incarnation.to_le_bytes());
    fixed[32..40].copy_from_slice(&head.lsn.to_le_bytes());
    out.extend_from_slice(&fixed);
    out.extend_from_slice(body);
}

/// Fills in the sums of framed records, names each to `each`, and says how many they are.
pub fn seal(frames: &mut [u8], seed: u32, mut each: impl FnMut(u16, u64)) -> u32 {
    let (mut at, mut count) = (0, 0);
    while at < frames.len() {
        let end = at + framed_length(&frames[at..]);
        let (fixed, body) = frames[at..end].split_at_mut(RECORD);
        fixed[4..8].copy_from_slice(&crc32c::crc32c_append(seed, body).to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &fixed[4..]);
        fixed[..4].copy_from_slice(&crc.to_le_bytes());
        each(u16_at(fixed, 12), u64_at(fixed, 32));
        count += 1;
        at = end;
    }
    count
}

/// The longest run of whole records within `room` bytes, with what they add to the list of the next batch, ending soon
/// after `enough`: where it ends.
pub fn run_within(frames: &[u8], room: usize, enough: usize) -> usize {
    let (mut end, mut listed) = (0, 0);
    while end < frames.len() && end < enough {
        let next = end + framed_length(&frames[end..]);
        listed += LAST;
        if next + listed > room {
            break;
        }
        end = next;
    }
    end
}

/// Length of the framed record at the beginning of `frames`.
pub fn framed_length(frames: &[u8]) -> usize {
    RECORD + u32_at(frames, 8) as usize
}

/// The record at the beginning of these bytes: its head, its body, its length.
pub fn record(bytes: &[u8], seed: u32) -> Result<(Head, &[u8], usize), NotARecord> {
    let Some(fixed) = bytes.get(..RECORD) else { return Err(NotARecord::Short) };
    let checks = !crate::broken::is(crate::broken::Broken::UncheckedSums);
    if checks && u32_at(fixed, 0) != crc32c::crc32c_append(seed, &fixed[4..]) {
        return Err(NotARecord::BrokenHead);
    }
    let head = Head {
        slot: u16_at(fixed, 12),
        epoch: u64_at(fixed, 16),
        incarnation: u64_at(fixed, 24),
        lsn: u64_at(fixed, 32),
    };
    if head.lsn >> LSN_BITS != 0 {
        return Err(NotARecord::BrokenHead);
    }
    let length = framed_length(fixed);
    let Some(body) = bytes.get(RECORD..length) else { return Err(NotARecord::BrokenBody(head, length)) };
    if checks && u32_at(fixed, 4) != crc32c::crc32c_append(seed, body) {
        return Err(NotARecord::BrokenBody(head, length));
    }
    let kind = u16_at(fixed, 14);
    if kind != EFFECTS {
        return Err(NotARecord::OtherKind(head, kind));
    }
    Ok((head, body, length))
}

pub fn push_last(slot: u16, lsn: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&slot.to_le_bytes());
    out.extend_from_slice(&lsn.to_le_bytes());
}

/// The slots and last LSNs of a list.
pub fn lasts(list: &[u8]) -> impl Iterator<Item = (u16, u64)> + '_ {
    let all = list.chunks_exact(LAST).map(|last| (u16_at(last, 0), u64_at(last, 2)));
    all.filter(|(_, lsn)| lsn >> LSN_BITS == 0)
}

pub fn lasts_length(list: &[u8]) -> u32 {
    (list.len() / LAST) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENT: Ident = Ident {
        store: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
        segment: 3,
        salt: 77,
        begins: 9,
        recycled: true,
    };

    fn head() -> BatchHead {
        BatchHead {
            kind: Kind::Records,
            ident: IDENT,
            number: 12,
            first: 100,
            synced: 11,
            incarnation: 5,
            lasts: 0,
            earlier: 0,
            records: 0,
            bytes: 0,
            list_crc: 0,
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was_and_any_flipped_bit_is_seen() {
        let mut bytes = vec![0; HEADER];
        head().encode(&[], &mut bytes);
        assert_eq!(BatchHead::decode(&bytes), Ok(head()));
        for bit in 0..HEADER * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BatchHead::decode(&bytes), Err(NotABatch::Broken), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(BatchHead::decode(&bytes[..HEADER - 1]), Err(NotABatch::Short));
    }

    #[test]
    fn numbers_that_no_log_reaches_are_broken_whatever_their_sums_say() {
        let changes: [fn(&mut BatchHead); 4] = [
            |head| head.number = u64::MAX,
            |head| head.first = 1 << 62,
            |head| head.synced = u64::MAX - 1,
            |head| head.ident.begins = 1 << 63,
        ];
        for change in changes {
            let (mut bytes, mut head) = (vec![0; HEADER], head());
            change(&mut head);
            head.encode(&[], &mut bytes);
            assert_eq!(BatchHead::decode(&bytes), Err(NotABatch::Broken));
        }
        let (mut bytes, mut list) = (Vec::new(), Vec::new());
        frame(&Head { lsn: 1 << 40, ..Head::default() }, b"body", &mut bytes);
        seal(&mut bytes, 6, |_, _| ());
        assert_eq!(record(&bytes, 6), Err(NotARecord::BrokenHead));
        push_last(1, 1 << 40, &mut list);
        push_last(2, (1 << 40) - 1, &mut list);
        assert_eq!(lasts(&list).collect::<Vec<_>>(), [(2, (1 << 40) - 1)]);
    }

    #[test]
    fn another_format_is_told_apart_from_a_broken_header() {
        for (version, summed) in [(1, HEADER_1), (VERSION + 1, HEADER), (0, HEADER)] {
            let mut bytes = vec![0; HEADER];
            head().encode(&[], &mut bytes);
            bytes[8..10].copy_from_slice(&version.to_le_bytes());
            let crc = crc32c::crc32c(&bytes[8..summed]);
            bytes[4..8].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(BatchHead::decode(&bytes), Err(NotABatch::OtherFormat(version, IDENT)));
            bytes[20] ^= 1;
            assert_eq!(BatchHead::decode(&bytes), Err(NotABatch::Broken));
        }
    }

    #[test]
    fn a_record_of_a_kind_that_is_not_known_is_told_apart_from_a_broken_one() {
        let record_head = Head { slot: 9, epoch: 4, incarnation: 2, lsn: 31 };
        let mut bytes = Vec::new();
        frame(&record_head, b"body", &mut bytes);
        bytes[14] = 4;
        seal(&mut bytes, 6, |_, _| ());
        assert_eq!(record(&bytes, 6), Err(NotARecord::OtherKind(record_head, 4)));
    }

    #[test]
    fn a_record_comes_back_as_it_was_and_any_flipped_bit_is_seen() {
        let record_head = Head { slot: 9, epoch: 4, incarnation: 2, lsn: 31 };
        let mut bytes = Vec::new();
        frame(&record_head, b"body", &mut bytes);
        assert_eq!(seal(&mut bytes, 6, |slot, lsn| assert_eq!((slot, lsn), (9, 31))), 1);
        assert_eq!(record(&bytes, 6), Ok((record_head, &b"body"[..], RECORD + 4)));
        assert_eq!(record(&bytes, 7), Err(NotARecord::BrokenHead));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(record(&bytes, 6).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_run_ends_at_a_whole_record() {
        let mut frames = Vec::new();
        for lsn in 0..3 {
            frame(&Head { lsn, ..Head::default() }, &[7; 60], &mut frames);
        }
        for (room, enough, end) in [
            (0, 999, 0),
            (99 + LAST, 999, 0),
            (100 + LAST, 999, 100),
            (299 + 3 * LAST, 999, 200),
            (300 + 3 * LAST, 999, 300),
            (999, 1, 100),
            (999, 150, 200),
        ] {
            assert_eq!(run_within(&frames, room, enough), end, "{room} {enough}");
        }
    }
}
