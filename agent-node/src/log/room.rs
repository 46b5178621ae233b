//! The accounting of room: what is granted and what is there to write it into. Pure: sizes and times in, answers out.
//!
//! *Invariant.* Whatever was granted can be written, and what was written and is not known to be on the disk can be
//! written anew by the next start, both without a new block of the disk:
//!
//! 1. `waiting + taken <= capacity`: records that were granted, or appended and not written yet, fit into the segments
//!    that are there, with all that goes with them;
//! 2. `waiting <= renewable`: what the committer takes at once fits into the segment that is kept for a start.
//!
//! Whoever was answered [`Room::Later`] is remembered until asking again is worth it: as long as it is not, something is
//! due, or the committer is to take what others were granted.
//!
//! Commands leave a part of the capacity to the records that slots write about themselves. The law in the tests writes
//! what was granted through the real chain.

use super::format::{BLOCK, HEADER, LAST, RECORD};
use std::collections::VecDeque;
use std::time::Duration;

/// A batch ends soon after this many bytes, so that one torn place costs little.
pub const BATCH: usize = 1 << 20;
/// Commands leave this part of the smallest segment to control records.
const CONTROL: u64 = 4;
/// What is kept for a start grows up to this part of the largest segment, so that more can wait for the committer.
const KEPT: u64 = 4;
/// Segments are made for so much of the use that there was last: a new file costs the commits beside it some
/// milliseconds, so there are few.
const AHEAD: Duration = Duration::from_secs(4);
/// What each record costs besides its bytes: it stands in the lists of two batches, in the table of an opening, and in
/// lists for which the end of a segment has no room.
const LISTED: u64 = 7 * LAST as u64;
/// What each batch costs besides its records and lists.
const EACH_BATCH: u64 = (HEADER + BLOCK) as u64;
/// What a shard is told that asks for room. Nobody waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// So much may be appended.
    Granted,
    /// Room is being made. Whoever asked hears when asking again may help.
    Later,
    /// No segment can be made at present.
    Full(DiskFull),
}

/// No room is left. It comes back by itself when a segment can be made again.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct DiskFull(pub String);

/// How large segments are.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub smallest: u64,
    pub largest: u64,
}

/// Whose records they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Commands,
    /// What slots write about themselves. They find room for longer.
    Control,
}

/// So much of the log, whatever batches the records will come to lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub class: Class,
    pub bytes: u64,
}

impl Ask {
    /// For records with bodies of so many bytes together.
    pub fn new(class: Class, records: usize, bytes: usize) -> Ask {
        Ask { class, bytes: cost(records, bytes) }
    }
}

/// The most that records which are appended at once take of the log.
pub fn cost(records: usize, bytes: usize) -> u64 {
    let framed = records * RECORD + bytes;
    let batches = (framed / BATCH + 1) as u64;
    framed as u64 + records as u64 * LISTED + batches * EACH_BATCH
}

/// Where the writer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterState {
    /// Free bytes of the segment.
    pub left: u64,
    /// Bytes of the next batch without records.
    pub overhead: u64,
    /// Bytes of an opening.
    pub opening: u64,
}

/// What is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The segment that is kept for a start.
    Kept { bytes: u64 },
    /// One to go on in. With less than `least` it would not help.
    Segment { bytes: u64, least: u64 },
}

#[derive(Debug)]
pub struct Ledger {
    sizes: Sizes,
    writer: WriterState,
    /// Size of the segment that is being written, and since when that is.
    current: u64,
    since: Duration,
    /// Size of the next segment to be made, by use.
    next: u64,
    /// Sizes of the segments that are ready, in the order in which they will be written.
    ready: VecDeque<u64>,
    kept: Option<u64>,
    /// What was granted, and what was appended and not taken.
    waiting: u64,
    /// What was taken and is not written.
    taken: u64,
    /// The most that was ever granted at once. No record is longer.
    largest: u64,
    /// The most that there had to be room for at once.
    peak: u64,
    /// What was asked for and is not there: capacity, with records of that length, and size of what is kept.
    wanted: u64,
    wanted_largest: u64,
    wanted_kept: u64,
    /// Who was answered `Later` and was not told since to ask again.
    later: Vec<Asked>,
    failed: Option<DiskFull>,
    closed: bool,
}

/// What a shard that waits for room has asked for.
#[derive(Debug)]
struct Asked {
    who: u64,
    ask: Ask,
    held: u64,
}

/// What an ask meets.
struct Met {
    /// What others were granted, and is not taken.
    others: u64,
    needed: u64,
    largest: u64,
    fits: bool,
    is_renewable: bool,
}

impl Ledger {
    pub fn new(sizes: Sizes) -> Ledger {
        Ledger {
            sizes,
            writer: WriterState { left: 0, overhead: HEADER as u64, opening: EACH_BATCH },
            current: 0,
            since: Duration::ZERO,
            next: sizes.smallest,
            ready: VecDeque::new(),
            kept: None,
            waiting: 0,
            taken: 0,
            largest: 0,
            peak: 0,
            wanted: 0,
            wanted_largest: 0,
            wanted_kept: 0,
            later: Vec::new(),
            failed: None,
            closed: false,
        }
    }

    /// Whether so much may be appended, in place of what the asker still `held`. That stays granted otherwise.
    pub fn ask(&mut self, who: u64, ask: Ask, held: u64) -> Room {
        self.later.retain(|asked| asked.who != who);
        if self.closed {
            return Room::Full(DiskFull("the log is closed".into()));
        }
        let met = self.meet(ask, held);
        self.peak = self.peak.max(met.needed);
        if met.fits && met.is_renewable {
            self.waiting = met.others + ask.bytes;
            self.largest = met.largest;
            return Room::Granted;
        }
        self.want(ask, &met);
        if let Some(why) = self.failed.as_ref().filter(|_| !met.waits_for_the_committer()) {
            return Room::Full(why.clone());
        }
        self.later.push(Asked { who, ask, held });
        Room::Later
    }

    fn meet(&self, ask: Ask, held: u64) -> Met {
        let others = self.waiting - held;
        let needed = others + self.taken + ask.bytes + self.kept_for_others(ask.class);
        let largest = self.largest.max(ask.bytes);
        let fits = needed <= self.capacity(largest);
        let is_renewable = others + ask.bytes <= self.renewable();
        Met { others, needed, largest, fits, is_renewable }
    }

    /// Notes what an ask lacks. Both are made before it is worth asking again, so both are wanted at once.
    fn want(&mut self, ask: Ask, met: &Met) {
        if !met.fits {
            self.wanted = self.wanted.max(met.needed);
            self.wanted_largest = self.wanted_largest.max(met.largest);
        }
        // Where none can be made, what is kept is only tried to be made larger for who waits for nothing else.
        let is_left = self.failed.is_some() && met.waits_for_the_committer();
        if !met.is_renewable && !is_left {
            let most = (self.sizes.largest / KEPT).max(ask.bytes);
            self.wanted_kept = self.wanted_kept.max(most.min(met.others + ask.bytes));
        }
    }

    /// Those who were answered `Later` and for whom asking again is worth it, each once: they would be granted it now,
    /// or refused for good. What the others lack now is wanted.
    pub fn heard(&mut self) -> Vec<u64> {
        let mut heard = Vec::new();
        for asked in std::mem::take(&mut self.later) {
            let met = self.meet(asked.ask, asked.held);
            let is_full = self.failed.is_some() && !met.waits_for_the_committer();
            if self.closed || is_full || met.fits && met.is_renewable {
                heard.push(asked.who);
            } else {
                self.want(asked.ask, &met);
                self.later.push(asked);
            }
        }
        heard
    }

    /// So much of what was granted was used. More than that was not asked for; it counts all the same.
    pub fn appended(&mut self, who: u64, granted: u64, used: u64) {
        self.waiting = self.waiting - granted + used;
        for asked in self.later.iter_mut().filter(|asked| asked.who == who) {
            asked.held = 0;
        }
        self.largest = self.largest.max(used);
    }

    /// A shard asks no more, and gives back what it was granted.
    pub fn forget(&mut self, who: u64, granted: u64) {
        self.waiting -= granted;
        self.later.retain(|asked| asked.who != who);
    }

    /// The committer has taken what was appended.
    pub fn taken(&mut self, used: u64) {
        self.waiting -= used;
        self.taken += used;
    }

    /// What was taken is written.
    pub fn written(&mut self, used: u64, writer: WriterState) {
        self.taken -= used;
        self.writer = writer;
    }

    /// The writer goes on in a segment of this size, the first of those that were ready, if that is so.
    pub fn rolled(&mut self, bytes: u64, was_ready: bool, now: Duration) {
        if was_ready {
            self.ready.pop_front();
        }
        let took = now.saturating_sub(self.since).max(Duration::from_micros(1));
        let used_ahead = self.current as f64 * AHEAD.as_secs_f64() / took.as_secs_f64();
        let next = (used_ahead as u64).min(2 * self.current);
        self.next = next.clamp(self.sizes.smallest, self.sizes.largest).next_multiple_of(BLOCK as u64);
        (self.current, self.since) = (bytes, now);
        self.writer.left = bytes.saturating_sub(self.writer.opening);
    }

    /// A segment of this size has been made, and can be written next.
    pub fn add_ready(&mut self, bytes: u64) {
        self.ready.push_back(bytes);
        self.failed = None;
        if !self.lacks() {
            (self.wanted, self.wanted_largest) = (0, 0);
        }
    }

    /// The segment for the next start has this size now. `None`: it was used.
    pub fn set_kept(&mut self, bytes: Option<u64>) {
        self.kept = bytes;
        if bytes.is_some() {
            (self.failed, self.wanted_kept) = (None, 0);
        }
    }

    /// What was due can't be made. It stays due, but for a larger one to keep.
    pub fn failed(&mut self, why: DiskFull) {
        self.failed = Some(why);
        if self.kept.is_some() {
            self.wanted_kept = 0;
        }
    }

    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    pub fn why_full(&self) -> Option<&DiskFull> {
        self.failed.as_ref()
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether what was granted has room in the segments after this one.
    #[cfg(test)]
    pub fn may_roll(&self) -> bool {
        let promised = self.waiting + self.taken + self.kept_for_others(Class::Commands);
        promised <= self.capacity_with(0, self.largest)
    }

    /// Bytes that commands may still take.
    pub fn free(&self) -> u64 {
        let promised = self.waiting + self.taken + self.kept_for_others(Class::Commands);
        if self.kept.is_some() { self.capacity(self.largest).saturating_sub(promised) } else { 0 }
    }

    pub fn due(&self) -> Option<Due> {
        let kept = self.kept.unwrap_or(0);
        if kept == 0 || self.wanted_kept > self.renewable() {
            let wanted = if self.wanted_kept > 0 { self.wanted_kept * 5 / 4 + self.start() } else { 0 };
            return Some(Due::Kept { bytes: wanted.next_multiple_of(BLOCK as u64).max(self.sizes.smallest) });
        }
        if !self.ready.is_empty() && !self.lacks() {
            return None;
        }
        let needed = if self.lacks() { self.wanted + self.writer.opening + 5 * self.batch() } else { 0 };
        let least = needed.next_multiple_of(BLOCK as u64).max(self.sizes.smallest);
        // When it is begun, what is asked for at once has room in it, and more is used while the next one is filled.
        let asked = self.peak + self.writer.opening + self.sizes.smallest / 2;
        Some(Due::Segment { bytes: self.next.max(least).max(asked.next_multiple_of(BLOCK as u64)), least })
    }

    /// Whether a segment must be filled now and not in a quiet moment: somebody waits for room, or the filled part of it is
    /// smaller than the used part of this one, counted up to where grants need the next.
    pub fn lags(&self, due: Due, filled: u64) -> bool {
        let Due::Segment { bytes, .. } = due else { return true };
        if !self.later.is_empty() {
            return true;
        }
        let until = self.current.saturating_sub(self.peak + self.writer.opening);
        let used = self.current.saturating_sub(self.writer.left);
        u128::from(filled) * u128::from(until) < u128::from(used) * u128::from(bytes)
    }

    fn lacks(&self) -> bool {
        self.wanted > self.capacity(self.largest.max(self.wanted_largest))
    }

    /// What records of that class leave to those of others.
    fn kept_for_others(&self, class: Class) -> u64 {
        match class {
            Class::Commands => self.sizes.smallest / CONTROL,
            Class::Control => 0,
        }
    }

    /// What can be written without another segment, however it falls into batches. A segment before another one may
    /// stay unused at its end, where the next record has no room.
    fn capacity(&self, largest: u64) -> u64 {
        self.capacity_with(self.writer.left, largest)
    }

    /// The same, with so much left of this segment.
    fn capacity_with(&self, left: u64, largest: u64) -> u64 {
        let mut total = 0;
        let mut last = left;
        for ready in &self.ready {
            total += last.saturating_sub(self.at_end(largest));
            last = ready.saturating_sub(self.writer.opening + BLOCK as u64);
        }
        total + last.saturating_sub(3 * self.batch())
    }

    /// What may be left at the end of a segment: a record, a batch that is cut in two, a mark, the segment's closing.
    fn at_end(&self, largest: u64) -> u64 {
        largest + 4 * self.batch()
    }

    fn batch(&self) -> u64 {
        self.writer.overhead + EACH_BATCH
    }

    /// What a start can write into the segment that is kept, beside what it begins with.
    fn renewable(&self) -> u64 {
        self.kept.unwrap_or(0).saturating_sub(self.start())
    }

    /// Opening, lists of the first batch, mark and closing of a segment that a start begins. No list is longer than the
    /// opening, which has all slots.
    fn start(&self) -> u64 {
        5 * self.writer.opening + 4 * EACH_BATCH
    }
}

impl Met {
    /// There is room once the committer has taken what others were granted.
    fn waits_for_the_committer(&self) -> bool {
        self.fits && self.others > 0
    }
}

#[cfg(test)]
mod tests;
