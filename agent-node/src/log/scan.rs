//! What is read back at start: bytes of segments in, records out, and the judgement where the log ends. Pure.
//!
//! A bad place past the last mark is a torn tail: nobody was told that it is durable, so it is cut. A bad place that a
//! later header calls synced is damage: something acknowledged is lost, and the lists in the headers name the slots.

use super::format::{self, BLOCK, BatchHead, Head, Kind, NotABatch, Position};
use std::fmt;
use std::ops::Range;

/// What a scan comes upon, in order.
pub enum Seen<'a> {
    /// It begins at this byte of its segment.
    Batch(&'a BatchHead, usize),
    Record(Position, Head, &'a [u8]),
}

/// Records of one slot that are not there any more: `after` is the last one that is, `to` the last one known of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub slot: u16,
    pub after: u64,
    pub to: u64,
}

/// A broken place before the last mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub segment: u64,
    pub at: u64,
    pub why: &'static str,
    /// The batches that are broken or gone; none when only an opening is.
    pub batches: Range<u64>,
    pub lost: Vec<Lost>,
    /// More than one batch in a row is gone, so that slots may have lost records that nothing names.
    pub more: bool,
    /// Nothing is lost: what is broken held no record.
    pub harmless: bool,
}

/// Slots are named up to so many.
const NAMED_MAX: usize = 8;

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} at byte {}: {}", self.segment, self.at, self.why)?;
        for Lost { slot, after, to } in self.lost.iter().take(NAMED_MAX) {
            write!(f, "; slot {slot} lost LSN {} to {to}", after + 1)?;
        }
        if self.lost.len() > NAMED_MAX {
            write!(f, "; so did {} more slots", self.lost.len() - NAMED_MAX)?;
        }
        match (self.lost.is_empty(), self.more) {
            (_, true) => f.write_str("; other slots may have lost records too"),
            (true, false) => f.write_str("; no record is lost"),
            (false, false) => Ok(()),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// Whoever takes the records does not take this one.
    Refused {
        head: Head,
        why: String,
    },
    Newer {
        segment: u64,
        format: u16,
    },
}

/// A bad place of which it is not known yet whether it is a torn tail or damage.
struct Bad {
    segment: u64,
    at: usize,
    /// Bytes from the place to the last one that is not zero.
    bytes: usize,
    why: &'static str,
    batches: Range<u64>,
    /// Records after it were not given out.
    withheld: bool,
}

/// Reads segments in order.
pub struct Scan {
    store: u128,
    number: u64,
    first: u64,
    synced: u64,
    /// The list of batch `synced`.
    list: Vec<u8>,
    /// Records of batches past `synced`, by their place in the segment that was read last.
    unsynced: Vec<Range<usize>>,
    unsynced_records: u64,
    /// Where the batch after `synced` begins, or an opening before which nothing else is.
    cut: Option<(u64, usize)>,
    /// Where the last sound record or mark ends.
    content: Option<(u64, usize)>,
    bad: Option<Bad>,
    damage: Vec<Damage>,
    /// Last LSN given out, per slot.
    lsns: Vec<u64>,
    records: u64,
}

/// How the log ends.
#[derive(Debug)]
pub struct End {
    pub records: u64,
    /// How many records lie before batch `synced + 1`.
    pub first: u64,
    pub synced: u64,
    pub list: Vec<u8>,
    /// Records past the last mark: segment, and their places in it.
    pub unsynced: Vec<Range<usize>>,
    /// The segment and byte from which on nothing is known to be synced; none in an empty log.
    pub cut: Option<(u64, usize)>,
    /// Where what is read ends: behind it are zeros, or a torn tail.
    pub content: Option<(u64, usize)>,
    pub torn_bytes: u64,
    pub damage: Vec<Damage>,
}

impl Scan {
    pub fn new(store: u128) -> Scan {
        Scan {
            store,
            number: 1,
            first: 0,
            synced: 0,
            list: Vec::new(),
            unsynced: Vec::new(),
            unsynced_records: 0,
            cut: None,
            content: None,
            bad: None,
            damage: Vec::new(),
            lsns: vec![0; 1 << 16],
            records: 0,
        }
    }

    /// Reads the next segment. `until` is the number in the opening of the one after it, if that is sound: batches
    /// from it on do not count here. False when nothing in the segment is a batch: it was made and never begun.
    pub fn segment(
        &mut self,
        index: u64,
        bytes: &[u8],
        until: Option<u64>,
        each: &mut dyn FnMut(Seen) -> Result<(), String>,
    ) -> Result<bool, Stop> {
        let mut at = 0;
        let mut salt = None;
        let mut begun = false;
        loop {
            let wanted = Wanted { store: self.store, segment: index, salt, until, opening: !begun };
            let (found, head) = match wanted.at(bytes, at) {
                Ok(Some(head)) if head.number == self.number || !begun => (at, head),
                Err(format) => return Err(Stop::Newer { segment: index, format }),
                _ => match wanted.after(bytes, at, if begun { self.number + 1 } else { self.number }) {
                    Some(found) => found,
                    None => break,
                },
            };
            if !begun && head.kind != Kind::Opening {
                let why = "the opening of the segment is broken";
                self.suspect(index, 0, &bytes[..found], why, self.number..self.number + 1);
            } else if found != at {
                let why = "the header of a batch is broken";
                self.suspect(index, at, &bytes[at..found], why, self.number..head.number);
            }
            begun = true;
            salt = Some(head.ident.salt);
            let batch = &bytes[found..];
            self.heading(index, found, &head, batch);
            each(Seen::Batch(&head, found)).map_err(|why| Stop::Refused { head: Head::default(), why })?;
            if head.kind == Kind::Records {
                self.records(index, found, &head, batch, each)?;
            } else {
                self.content = Some((index, found + head.end()));
                self.padding(index, found, &head, batch);
            }
            at = (found + head.length()).min(bytes.len());
            if head.kind == Kind::Mark || until == Some(self.number) {
                break;
            }
        }
        if begun && until != Some(self.number) {
            self.rest(index, at, &bytes[at..]);
        }
        Ok(begun)
    }

    /// The judgement, after the last segment.
    pub fn end(self) -> End {
        End {
            records: self.records,
            first: self.records - self.unsynced_records,
            synced: self.synced,
            list: self.list,
            unsynced: self.unsynced,
            cut: self.cut,
            content: self.content,
            torn_bytes: self.bad.map_or(0, |bad| bad.bytes as u64),
            damage: self.damage,
        }
    }

    /// A sound header: what it says of the batches before it.
    fn heading(&mut self, index: u64, at: usize, head: &BatchHead, batch: &[u8]) {
        if head.number != self.number || head.first != self.first {
            let why = "batches before this one are not there";
            self.suspect(index, at, &[], why, self.number..head.number.max(self.number + 1));
        }
        let list = head.list(batch);
        let torn_at = self.bad.as_ref().map(|bad| (bad.segment, bad.at));
        self.judge(head, list);
        if self.cut.is_none() || head.synced > self.synced || head.kind == Kind::Opening {
            self.synced = head.synced;
            self.unsynced.clear();
            self.unsynced_records = 0;
            self.list.clear();
            self.cut = torn_at;
            if head.number == head.synced + 1 {
                self.list.extend_from_slice(list.unwrap_or_default());
                self.cut = Some((index, at));
            }
        }
        (self.number, self.first) = (head.number, head.first);
        if list.is_none() {
            self.suspect(
                index,
                at,
                batch,
                "the list in a batch's header is broken",
                head.number..head.number + 1,
            );
        }
    }

    /// A bad place that this header calls synced is damage.
    fn judge(&mut self, head: &BatchHead, list: Option<&[u8]>) {
        let Some(bad) = self.bad.take_if(|bad| bad.batches.start <= head.synced) else { return };
        let lsns = &mut self.lsns;
        let mut lost = Vec::new();
        for (slot, to) in format::lasts(list.unwrap_or_default()) {
            let after = std::mem::replace(&mut lsns[usize::from(slot)], to);
            if after < to {
                lost.push(Lost { slot, after, to });
            }
        }
        let more = bad.batches.end > bad.batches.start + 1 || list.is_none();
        let Bad { segment, at, why, batches, withheld, .. } = bad;
        let harmless = lost.is_empty() && !more && !withheld;
        self.damage.push(Damage { segment, at: at as u64, why, batches, lost, more, harmless });
    }

    /// Nothing that was acknowledged is lost, as far as has been read.
    fn is_sound(&self) -> bool {
        self.damage.iter().all(|damage| damage.harmless)
    }

    fn records(
        &mut self,
        index: u64,
        at: usize,
        head: &BatchHead,
        batch: &[u8],
        each: &mut dyn FnMut(Seen) -> Result<(), String>,
    ) -> Result<(), Stop> {
        let body = &batch[head.body_at().min(batch.len())..head.end().min(batch.len())];
        let seed = head.ident.seed(head.number);
        let (mut end, mut count) = (0, 0);
        if let Some(bad) = &mut self.bad {
            bad.withheld = true;
        }
        while count < head.records && self.bad.is_none() {
            let Ok((record, bytes, length)) = format::record(&body[end..], seed) else {
                let torn = &batch[..head.length().min(batch.len())];
                let why = "a record is broken";
                self.suspect(index, at, torn, why, head.number..head.number + 1);
                break;
            };
            if self.is_sound() {
                let at = Position(head.first + u64::from(count));
                each(Seen::Record(at, record, bytes)).map_err(|why| Stop::Refused { head: record, why })?;
                self.records += 1;
                self.unsynced_records += 1;
                self.lsns[usize::from(record.slot)] = record.lsn;
            }
            end += length;
            count += 1;
        }
        if self.is_sound() && count > 0 {
            self.content = Some((index, at + head.body_at() + end));
        }
        if end > 0 && self.is_sound() {
            self.unsynced.push(at + head.body_at()..at + head.body_at() + end);
        }
        if self.bad.is_none() {
            self.padding(index, at, head, batch);
        }
        self.number = head.number + 1;
        self.first = head.first + u64::from(head.records);
        Ok(())
    }

    fn padding(&mut self, index: u64, at: usize, head: &BatchHead, batch: &[u8]) {
        let padding = &batch[head.end().min(batch.len())..head.length().min(batch.len())];
        if let Some(last) = padding.iter().rposition(|&byte| byte != 0) {
            let why = "what follows the records is not zero";
            self.suspect(index, at + head.end(), &padding[..=last], why, head.number..head.number + 1);
        }
    }

    /// What follows the last batch of a segment is zeros, or was being written.
    fn rest(&mut self, index: u64, at: usize, bytes: &[u8]) {
        if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
            let why = "the header of a batch is broken";
            self.suspect(index, at, &bytes[..=last], why, self.number..self.number + 1);
        }
    }

    fn suspect(&mut self, segment: u64, at: usize, bytes: &[u8], why: &'static str, batches: Range<u64>) {
        match &mut self.bad {
            Some(bad) => {
                bad.batches.end = bad.batches.end.max(batches.end);
                bad.bytes += bytes.len();
            }
            None => {
                self.bad = Some(Bad { segment, at, bytes: bytes.len(), why, batches, withheld: false });
            }
        }
    }
}

/// Which headers count at the place that is read.
struct Wanted {
    store: u128,
    segment: u64,
    salt: Option<u64>,
    until: Option<u64>,
    opening: bool,
}

impl Wanted {
    fn at(&self, bytes: &[u8], at: usize) -> Result<Option<BatchHead>, u16> {
        match BatchHead::decode(bytes.get(at..).unwrap_or_default()) {
            Ok(head) if self.takes(&head) => Ok(Some(head)),
            Err(NotABatch::Newer(format)) => Err(format),
            _ => Ok(None),
        }
    }

    /// The next sound header past `at` with at least this number.
    fn after(&self, bytes: &[u8], at: usize, number: u64) -> Option<(usize, BatchHead)> {
        let from = (at + 1).next_multiple_of(BLOCK);
        (from..bytes.len()).step_by(BLOCK).find_map(|at| {
            let head = self.at(bytes, at).ok().flatten()?;
            (head.number >= number).then_some((at, head))
        })
    }

    fn takes(&self, head: &BatchHead) -> bool {
        let ident = &head.ident;
        let past = head.kind == Kind::Records && self.until.is_some_and(|until| head.number >= until);
        ident.store == self.store
            && ident.segment == self.segment
            && self.salt.is_none_or(|salt| salt == ident.salt)
            && (head.kind != Kind::Opening || self.opening)
            && !past
    }
}

#[cfg(test)]
mod tests;
