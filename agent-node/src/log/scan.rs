//! What is in a segment, and what of it is broken: bytes in, places out. Whether a broken place matters is decided in
//! `judge`. Pure.

use super::format::{self, BLOCK, BatchHead, HEADER, Head, Ident, Kind, NotABatch, NotARecord};
use std::ops::Range;

/// What can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The bytes between a batch's records and the next multiple of 4 KiB.
    Filler,
    /// The slots and last LSNs of the batches before.
    List,
    /// A place where a batch should begin.
    Header,
    Record,
    /// A file.
    Segment,
}

/// What a segment holds, in order, as byte ranges of it.
pub enum Found<'a> {
    /// A sound header, where its batch begins, and its lists if they are whole.
    Batch { head: BatchHead, at: usize, lists: Option<(&'a [u8], &'a [u8])> },
    /// A whole record of the batch that was found last.
    Record { head: Head, body: &'a [u8], at: Range<usize> },
    /// A place of the batch that was found last, or, of a header, the one after it. A record is named if its head is
    /// whole.
    Broken { part: Part, at: Range<usize>, record: Option<Head> },
}

/// Why reading does not go on.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// This version can do nothing with the record.
    Refused {
        head: Head,
        why: String,
    },
    OtherFormat(u16),
}

pub type Each<'a> = dyn FnMut(Found) -> Result<(), Stop> + 'a;

/// The bytes of a segment's file.
pub struct Segment<'a> {
    pub store: u128,
    pub index: u64,
    pub bytes: &'a [u8],
    /// Batches of this number and above do not count here, since a later segment begins with it.
    pub until: Option<u64>,
}

impl Segment<'_> {
    /// Gives everything in it to `each`. False when no header in it is sound.
    pub fn read(&self, each: &mut Each) -> Result<bool, Stop> {
        let (mut at, mut salt, mut next, mut recycled) = (0, None, None, None);
        while let Some((found, head)) = self.find(at, salt)? {
            let past = head.kind == Kind::Records && self.until.is_some_and(|until| head.number >= until);
            // What lies after the last batch that counts, or in a segment of which none counts, is no loss.
            let ended = if next.is_some() { next == self.until } else { past };
            if at < found && !ended {
                each(Found::Broken { part: Part::Header, at: at..found, record: None })?;
            }
            if past {
                return Ok(true);
            }
            salt = Some(head.ident.salt);
            recycled = Some(head.ident).filter(|ident| ident.recycled);
            next = Some(head.number + u64::from(head.kind == Kind::Records));
            self.batch(found, head, each)?;
            at = found + head.length();
        }
        if next.is_none() || next != self.until {
            self.rest(at.min(self.bytes.len()), recycled, each)?;
        }
        Ok(salt.is_some())
    }

    /// The number with which the segment begins, out of its first sound header.
    pub fn begins(&self) -> Option<u64> {
        Some(self.find(0, None).ok()??.1.ident.begins)
    }

    /// The first sound header from there on.
    fn find(&self, at: usize, salt: Option<u64>) -> Result<Option<(usize, BatchHead)>, Stop> {
        let ours = |ident: &Ident| {
            ident.store == self.store
                && ident.segment == self.index
                && salt.is_none_or(|salt| salt == ident.salt)
        };
        for at in (at..self.bytes.len()).step_by(BLOCK) {
            match BatchHead::decode(&self.bytes[at..]) {
                Ok(head) if ours(&head.ident) => return Ok(Some((at, head))),
                Err(NotABatch::OtherFormat(format, ident)) if ours(&ident) => {
                    return Err(Stop::OtherFormat(format));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn batch(&self, at: usize, head: BatchHead, each: &mut Each) -> Result<(), Stop> {
        let lists = head.lists(&self.bytes[at..]);
        each(Found::Batch { head, at, lists })?;
        if lists.is_none() {
            let at = at + HEADER..self.bytes.len().min(at + head.body_at());
            each(Found::Broken { part: Part::List, at, record: None })?;
        }
        self.records(at, &head, each)?;
        let filler = self.bytes.len().min(at + head.end())..self.bytes.len().min(at + head.length());
        if let Some(at) = self.not_zero(filler) {
            each(Found::Broken { part: Part::Filler, at, record: None })?;
        }
        Ok(())
    }

    /// Behind a broken record the next whole one is looked for.
    fn records(&self, at: usize, head: &BatchHead, each: &mut Each) -> Result<(), Stop> {
        let seed = head.ident.seed(head.number);
        let (mut place, end) = (at + head.body_at(), at + head.end());
        while place < end {
            let rest = self.bytes.get(place..end.min(self.bytes.len())).unwrap_or_default();
            let (broken, length) = match format::record(rest, seed) {
                Ok((head, body, length)) => {
                    each(Found::Record { head, body, at: place..place + length })?;
                    place += length;
                    continue;
                }
                Err(NotARecord::OtherKind(head, kind)) => {
                    let why = format!("its kind is {kind}, which this version does not know");
                    return Err(Stop::Refused { head, why });
                }
                Err(NotARecord::BrokenBody(head, length)) => (Some(head), length),
                Err(NotARecord::BrokenHead | NotARecord::Short) => {
                    let whole = (1..rest.len()).find(|&at| format::record(&rest[at..], seed).is_ok());
                    (None, whole.unwrap_or(end - place))
                }
            };
            let at = place.min(self.bytes.len())..self.bytes.len().min(place + length);
            each(Found::Broken { part: Part::Record, at, record: broken })?;
            place += length;
        }
        Ok(())
    }

    /// What follows the last batch is zeros, or left of an older segment, or it was being written. Where there was an
    /// older segment, only a header that was ours tells the last two apart.
    fn rest(&self, at: usize, recycled: Option<Ident>, each: &mut Each) -> Result<(), Stop> {
        if let Some(ident) = recycled
            && !self.begins_as(at, &ident)
        {
            return Ok(());
        }
        let older = |at: &usize| match BatchHead::decode(&self.bytes[*at..]) {
            Ok(BatchHead { ident, .. }) | Err(NotABatch::OtherFormat(_, ident)) => {
                ident.store == self.store && ident.segment != self.index
            }
            Err(_) => false,
        };
        let end = (at..self.bytes.len()).step_by(BLOCK).find(older).unwrap_or(self.bytes.len());
        match self.not_zero(at..end) {
            Some(Range { end, .. }) => each(Found::Broken { part: Part::Header, at: at..end, record: None }),
            None => Ok(()),
        }
    }

    /// Whether what stands there was a header of this segment: a part of its identity is left.
    fn begins_as(&self, at: usize, ident: &Ident) -> bool {
        let Some(bytes) = self.bytes.get(at..) else { return false };
        let (Some(there), Err(NotABatch::Broken)) = (format::identity(bytes), BatchHead::decode(bytes))
        else {
            return false;
        };
        there.salt == ident.salt || (there.store, there.segment) == (ident.store, ident.segment)
    }

    /// Whether the file holds nothing but what an older segment has left.
    pub fn is_left(&self) -> bool {
        match BatchHead::decode(self.bytes) {
            Ok(BatchHead { ident, .. }) | Err(NotABatch::OtherFormat(_, ident)) => {
                ident.store == self.store && ident.segment != self.index
            }
            Err(_) => false,
        }
    }

    /// From the first byte that is not zero to the last one.
    fn not_zero(&self, range: Range<usize>) -> Option<Range<usize>> {
        const ZEROS: [u8; BLOCK] = [0; BLOCK];
        let bytes = &self.bytes[range.clone()];
        // The rest of a segment is long, and nearly always zeros.
        if bytes.chunks(BLOCK).all(|block| *block == ZEROS[..block.len()]) {
            return None;
        }
        let first = bytes.iter().position(|&byte| byte != 0)?;
        let last = bytes.iter().rposition(|&byte| byte != 0)?;
        Some(range.start + first..range.start + last + 1)
    }
}
