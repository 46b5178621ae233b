//! The judgement over what was found in the segments: where the log ends, what of it is torn, what is damaged. Pure.
//!
//! The mark is the highest `synced` of any sound header. A batch past it is torn when it is broken: nobody was told
//! that it is durable, so it is cut. One up to the mark is damaged: something acknowledged is lost, and the lists of
//! later batches, the tables of later openings and the LSNs of records read name the slots. Filler, lists, and headers
//! without records cost nothing.
//!
//! A log whose first segments have gone begins with an opening that says what was in them: that is no damage where
//! snapshots have all of it.

use super::chain::{Lasts, Until};
use super::covered::Covered;
use super::format::{self, BatchHead, Head, Ident, Kind, Position};
use super::scan::{Found, Part, Segment, Stop};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Range;

/// What a reader of the log comes upon, in order.
pub enum Seen<'a> {
    /// It begins at this byte of its segment.
    Batch(&'a BatchHead, usize),
    Record(Position, Head, &'a [u8]),
}

pub type Each<'a> = dyn FnMut(Seen) -> Result<(), String> + 'a;

/// A broken place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub segment: u64,
    pub at: u64,
    pub part: Part,
    pub why: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Part::Segment => write!(f, "segment {}: {}", self.segment, self.why),
            _ => write!(f, "segment {} at byte {}: {}", self.segment, self.at, self.why),
        }
    }
}

/// Records of one slot that are not there any more: those after `after` and up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    pub slot: u16,
    pub after: u64,
    pub to: u64,
}

/// Records that were acknowledged are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub broken: Vec<Broken>,
    pub lost: Vec<Lost>,
    /// What names the slots of some batch is gone with it, so that others may have lost records too.
    pub unnamed: bool,
}

/// So many places and slots are named.
const NAMED_MAX: usize = 8;

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for broken in self.broken.iter().take(NAMED_MAX) {
            write!(f, "{between}{broken}")?;
            between = "; ";
        }
        if self.broken.len() > NAMED_MAX {
            write!(f, "; and {} more places", self.broken.len() - NAMED_MAX)?;
        }
        for Lost { slot, after, to } in self.lost.iter().take(NAMED_MAX) {
            write!(f, "; slot {slot} lost LSN {} to {to}", after + 1)?;
        }
        if self.lost.len() > NAMED_MAX {
            write!(f, "; and {} more losses", self.lost.len() - NAMED_MAX)?;
        }
        if self.unnamed {
            f.write_str("; other slots may have lost records too")?;
        }
        Ok(())
    }
}

/// How the log ends.
#[derive(Debug)]
pub struct End {
    /// How many records are there, and how many were ever written.
    pub records: u64,
    pub position: Position,
    /// Where the log goes on: after the mark.
    pub until: Until,
    /// Records past the mark: their places in the segment that is cut.
    pub unsynced: Vec<Range<usize>>,
    /// Where batches past the mark begin; none in an empty log.
    pub cut: Option<Cut>,
    /// Segment and byte where what is read ends: behind it are zeros, or a torn tail.
    pub content: Option<(u64, usize)>,
    pub torn_bytes: u64,
    pub damage: Option<Damage>,
    /// Broken places that cost nothing.
    pub warnings: Vec<Broken>,
}

/// A place in a segment. Nothing of the segment lies before it if it is at byte 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub ident: Ident,
    pub at: usize,
}

/// A broken place, and the batches of which it is known that they are not whole.
struct Fault {
    place: Broken,
    bytes: usize,
    batches: Range<u64>,
}

/// A loss in one batch.
struct Loss {
    lost: Lost,
    batch: u64,
}

/// A batch past the mark.
struct Unsynced {
    number: u64,
    cut: Cut,
    records: Vec<Range<usize>>,
    /// Slot and LSN of each record, and the LSN before it.
    lsns: Vec<(u16, u64, u64)>,
}

/// Takes what is found in the segments, in order.
pub struct Judge {
    store: u128,
    /// Number of the batch to come, and how many records lie before it.
    next: u64,
    first: u64,
    mark: u64,
    /// The identity of the segment that is read.
    ident: Option<Ident>,
    /// The batch that was found last, and how many of its records have been given out.
    batch: u64,
    batch_first: u64,
    given: u64,
    /// A place where no header was found, until it is known what comes after it.
    pending: Option<Fault>,
    /// Those that lose records, and those that do not.
    faults: Vec<Fault>,
    harmless: Vec<Fault>,
    losses: Vec<Loss>,
    /// Batches that lost records which nothing has named yet.
    unnamed: Vec<Range<u64>>,
    /// The last LSN of each slot that was given out.
    reached: Vec<u64>,
    /// From the first fault on: up to where it is known of each slot what became of its records.
    accounted: Vec<u64>,
    unsynced: VecDeque<Unsynced>,
    /// The lists of batch `mark` and of the one before.
    lists: [Vec<u8>; 2],
    lasts: Lasts,
    content: Option<(u64, usize)>,
    /// The last header found said that a later segment is there.
    closed: Option<u64>,
    /// How many were given out, and how many have gone before them.
    records: u64,
    base: u64,
    covered: Covered,
    head: Beginning,
}

/// Whether what was before the first record that is there is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// Nothing was, or an opening has said what.
    Known,
    /// Segments have gone, and none of those that are there was read yet.
    Gone,
    /// Segments have gone, and the opening after them is broken: only snapshots say what was in them.
    Unsaid,
}

impl Judge {
    /// `first` is the first segment that there is, `covered` what snapshots have.
    pub fn new(store: u128, first: u64, covered: &Covered) -> Judge {
        let Until { lists, reached, .. } = Until::nothing();
        Judge {
            covered: covered.clone(),
            head: if first > 1 { Beginning::Gone } else { Beginning::Known },
            store,
            next: 1,
            first: 0,
            mark: 0,
            ident: None,
            batch: 0,
            batch_first: 0,
            given: 0,
            pending: None,
            faults: Vec::new(),
            harmless: Vec::new(),
            losses: Vec::new(),
            unnamed: Vec::new(),
            reached,
            accounted: Vec::new(),
            unsynced: VecDeque::new(),
            lists,
            lasts: Lasts::default(),
            content: None,
            closed: None,
            records: 0,
            base: 0,
        }
    }

    /// Reads the next segment, and gives what is whole and follows what was whole to `each`. `until` is the number
    /// with which the next segment begins that says so. False when nothing in the segment is a batch: it was made
    /// and never begun, or all of it is broken.
    pub fn segment(
        &mut self,
        index: u64,
        bytes: &[u8],
        until: Option<u64>,
        each: &mut Each,
    ) -> Result<bool, Stop> {
        self.ident = None;
        let read = Segment { store: self.store, index, bytes, until }.read(&mut |found| match found {
            Found::Batch { head, at, lists } => {
                self.header(&head, at, lists);
                let given = each(Seen::Batch(&head, at));
                given.map_err(|why| Stop::Refused { head: Head::default(), why })
            }
            Found::Record { head, body, at } => self.record(index, head, body, at, each),
            Found::Broken { part, at, record } => {
                self.broken(index, part, at, record);
                Ok(())
            }
        });
        // A header may promise more than the file has, and a start never makes a file longer by that.
        if let Some((_, at)) = self.content.as_mut().filter(|(segment, _)| *segment == index) {
            *at = bytes.len().min(*at);
        }
        read
    }

    fn header(&mut self, head: &BatchHead, at: usize, lists: Option<(&[u8], &[u8])>) {
        let segment = head.ident.segment;
        let pending = self.pending.take();
        self.begin(head, lists);
        let begins_at = pending.as_ref().filter(|fault| fault.place.segment == segment);
        let begins_at = begins_at.map_or(at, |fault| fault.place.at as usize);
        if let Some((why, batches)) = self.does_not_follow(head) {
            let part = if head.kind == Kind::Opening { Part::Segment } else { Part::Header };
            let place = Broken { segment, at: at as u64, part, why };
            let fault = pending.unwrap_or(Fault { place, bytes: 0, batches: 0..0 });
            self.loses(Fault { batches: batches.clone(), ..fault });
            self.unnamed.push(batches);
        } else if let Some(fault) = pending {
            self.harmless.push(Fault { batches: head.number..head.number + 1, ..fault });
        }
        self.mark = self.mark.max(head.synced);
        self.name(head, lists);
        self.settle();
        self.unsynced.retain(|batch| batch.number < head.number || batch.cut.ident.segment == segment);
        if self.unsynced.back().is_none_or(|batch| batch.number != head.number) && head.number > self.mark {
            let cut = Cut { ident: head.ident, at: begins_at };
            self.unsynced.push_back(Unsynced {
                number: head.number,
                cut,
                records: Vec::new(),
                lsns: Vec::new(),
            });
        }
        self.ident = Some(head.ident);
        (self.batch, self.batch_first, self.given) = (head.number, head.first, 0);
        self.next = head.number + u64::from(head.kind == Kind::Records);
        self.first = head.first + u64::from(head.records);
        self.closed = (head.kind == Kind::Closing).then_some(segment);
        if head.kind != Kind::Records && self.faults.is_empty() {
            self.content = Some((segment, at + head.end()));
        }
    }

    /// Takes over from the segments that have gone what the first opening says of them, or else what snapshots say.
    fn begin(&mut self, head: &BatchHead, lists: Option<(&[u8], &[u8])>) {
        let table = lists.filter(|_| head.kind == Kind::Opening).map(|(table, _)| table);
        if self.head == Beginning::Gone {
            (self.next, self.first, self.base) = (head.number, head.first, head.first);
        }
        match (self.head, table) {
            (Beginning::Known, _) | (Beginning::Unsaid, None) => {}
            (Beginning::Gone, None) => {
                for (slot, lsn) in self.covered.slots() {
                    self.reached[usize::from(slot)] = lsn;
                }
                self.head = Beginning::Unsaid;
            }
            (Beginning::Gone | Beginning::Unsaid, Some(table)) => {
                let mut lost = Vec::new();
                for (slot, to) in format::lasts(table) {
                    let accounted = self.accounted.get(usize::from(slot)).copied().unwrap_or(0);
                    let reached = &mut self.reached[usize::from(slot)];
                    let after = self.covered.lsn(slot).max(*reached).max(accounted);
                    *reached = to.max(*reached);
                    lost.extend((after < to).then_some(Lost { slot, after, to }));
                }
                for lost in lost {
                    self.is_gone(lost, head.ident.segment, head.number);
                }
                self.head = Beginning::Known;
            }
        }
    }

    /// Records before this batch, in segments that have gone, are in no snapshot.
    fn is_gone(&mut self, lost: Lost, segment: u64, number: u64) {
        let why = "the segments before it are gone, and no snapshot has all that was in them";
        let place = Broken { segment, at: 0, part: Part::Segment, why };
        if !self.faults.iter().any(|fault| fault.place == place) {
            self.loses(Fault { place, bytes: 0, batches: 1..number.max(2) });
        }
        self.losses.push(Loss { lost, batch: 0 });
        let accounted = &mut self.accounted[usize::from(lost.slot)];
        *accounted = lost.to.max(*accounted);
    }

    /// Why batches before this one are not whole, and which.
    fn does_not_follow(&self, head: &BatchHead) -> Option<(&'static str, Range<u64>)> {
        if head.number > self.next {
            Some(("batches before this one are missing", self.next..head.number))
        } else if head.number < self.next {
            Some(("an earlier batch has the same number", head.number..self.next))
        } else if head.first != self.first {
            let before = head.number.saturating_sub(1);
            Some((
                "the number of records before this batch is not the one in its header",
                before..head.number,
            ))
        } else {
            None
        }
    }

    /// Names what was lost before this header, out of its lists.
    fn name(&mut self, head: &BatchHead, lists: Option<(&[u8], &[u8])>) {
        let Some((last, earlier)) = lists.filter(|_| !self.faults.is_empty()) else { return };
        let before = head.number.saturating_sub(1);
        match head.kind {
            Kind::Closing => {}
            Kind::Opening => {
                self.claim(last, before);
                self.named(0..head.number);
            }
            Kind::Records | Kind::Mark => {
                self.claim(earlier, before.saturating_sub(1));
                self.claim(last, before);
                self.named(before.saturating_sub(1)..head.number);
            }
        }
    }

    /// A list says how far slots had come with this batch.
    fn claim(&mut self, list: &[u8], batch: u64) {
        for (slot, to) in format::lasts(list) {
            self.lost_up_to(slot, to, batch);
        }
    }

    fn lost_up_to(&mut self, slot: u16, to: u64, batch: u64) {
        let accounted = &mut self.accounted[usize::from(slot)];
        if *accounted < to {
            self.losses.push(Loss { lost: Lost { slot, after: *accounted, to }, batch });
            *accounted = to;
        }
    }

    /// From here on records are accounted for, and no more are given out.
    fn loses(&mut self, fault: Fault) {
        if self.faults.is_empty() {
            self.accounted.clone_from(&self.reached);
        }
        self.faults.push(fault);
    }

    fn named(&mut self, batches: Range<u64>) {
        let before = |range: &Range<u64>| range.start..range.end.min(batches.start);
        let after = |range: &Range<u64>| range.start.max(batches.end)..range.end;
        let left = self.unnamed.iter().flat_map(|range| [before(range), after(range)]);
        self.unnamed = left.filter(|range| !range.is_empty()).collect();
    }

    /// Batches up to the mark are on the disk.
    fn settle(&mut self) {
        while let Some(batch) = self.unsynced.pop_front_if(|batch| batch.number <= self.mark) {
            if batch.lsns.is_empty() {
                continue;
            }
            for (slot, lsn, _) in batch.lsns {
                self.lasts.note(slot, lsn);
            }
            self.lists.swap(0, 1);
            self.lists[0].clear();
            for (slot, lsn) in self.lasts.drain() {
                format::push_last(slot, lsn, &mut self.lists[0]);
            }
        }
    }

    fn record(
        &mut self,
        segment: u64,
        head: Head,
        body: &[u8],
        at: Range<usize>,
        each: &mut Each,
    ) -> Result<(), Stop> {
        let Head { slot, lsn, .. } = head;
        let reached = self.reached[usize::from(slot)];
        if self.head == Beginning::Unsaid && self.faults.is_empty() && lsn > reached + 1 {
            self.is_gone(Lost { slot, after: reached, to: lsn - 1 }, segment, self.batch);
        }
        if !self.faults.is_empty() {
            self.missing_before(slot, lsn);
            let accounted = &mut self.accounted[usize::from(slot)];
            *accounted = lsn.max(*accounted);
            return Ok(());
        }
        let position = Position(self.batch_first + self.given);
        each(Seen::Record(position, head, body)).map_err(|why| Stop::Refused { head, why })?;
        self.given += 1;
        self.records += 1;
        self.content = Some((segment, at.end));
        self.reached[usize::from(slot)] = if self.head == Beginning::Unsaid { reached.max(lsn) } else { lsn };
        if let Some(batch) = self.unsynced.back_mut().filter(|batch| batch.number == self.batch) {
            batch.records.push(at);
            batch.lsns.push((slot, lsn, reached));
        }
        Ok(())
    }

    /// Records of a slot that should have come before this one were lost, in a batch that is not named yet.
    fn missing_before(&mut self, slot: u16, lsn: u64) {
        if let Some(batch) = self.unnamed.first().map(|batches| batches.start) {
            self.lost_up_to(slot, lsn.saturating_sub(1), batch);
        }
    }

    fn broken(&mut self, segment: u64, part: Part, at: Range<usize>, record: Option<Head>) {
        let why = match part {
            Part::Filler => "what follows a batch's records is not zero",
            Part::List => "the list in a batch's header is broken",
            Part::Header if at.start == 0 => "the opening of the segment is broken",
            Part::Header => "the header of a batch is broken",
            Part::Record => "a record is broken",
            Part::Segment => "the file is not there",
        };
        let place = Broken { segment, at: at.start as u64, part, why };
        let batch = self.batch;
        let fault = Fault { place, bytes: at.len(), batches: batch..batch + 1 };
        match part {
            Part::Filler | Part::List => self.harmless.push(fault),
            Part::Header | Part::Segment => match &mut self.pending {
                Some(pending) => pending.bytes += fault.bytes,
                pending => *pending = Some(fault),
            },
            Part::Record => {
                self.loses(fault);
                if let Some(Head { slot, lsn, .. }) = record {
                    self.missing_before(slot, lsn);
                    let lost = Lost { slot, after: lsn.saturating_sub(1), to: lsn };
                    self.losses.push(Loss { lost, batch });
                    self.accounted[usize::from(slot)] = lsn;
                } else {
                    self.unnamed.push(batch..batch + 1);
                }
            }
        }
    }

    /// The last LSN of each slot, as far as it is read.
    pub fn reached(&self) -> &[u64] {
        &self.reached
    }

    /// After the last record that was given out.
    pub fn position(&self) -> Position {
        Position(self.base + self.records)
    }

    /// The judgement, after the last segment. `newest` is the last one that has a file.
    pub fn end(mut self, newest: u64) -> End {
        self.settle();
        if let Some(fault) = self.pending.take() {
            self.faults.push(Fault { batches: self.next..self.next + 1, ..fault });
        }
        let mark = self.mark;
        let (damaged, torn): (Vec<Fault>, Vec<Fault>) =
            self.faults.into_iter().partition(|fault| fault.batches.start <= mark);
        let (warnings, past): (Vec<Fault>, Vec<Fault>) =
            self.harmless.into_iter().partition(|fault| fault.batches.start <= mark);
        // What a later segment begins after was cut by an earlier start.
        let last = self.content.map_or(0, |(segment, _)| segment);
        let past = past.iter().filter(|fault| fault.place.segment >= last);
        let mut broken: Vec<Broken> = damaged.into_iter().map(|fault| fault.place).collect();
        let mut unnamed = self.unnamed.iter().any(|batches| batches.start <= mark);
        if let Some(segment) = self.closed.filter(|segment| newest <= *segment) {
            let why = "the file of the segment after it is not there";
            broken.push(Broken { segment, at: 0, part: Part::Segment, why });
            unnamed = true;
        }
        let position = self.base + self.records;
        if broken.is_empty() && position < self.covered.until().0 {
            let why = "the log ends before records that were on the disk when snapshots were made";
            broken.push(Broken { segment: last, at: 0, part: Part::Segment, why });
            unnamed = true;
        }
        let lost = self.losses.iter().filter(|loss| loss.batch <= mark).map(|loss| loss.lost);
        let damage = (!broken.is_empty()).then(|| Damage { broken, lost: joined(lost), unnamed });
        let mut reached = self.reached;
        for &(slot, _, before) in self.unsynced.iter().flat_map(|batch| &batch.lsns).rev() {
            reached[usize::from(slot)] = before;
        }
        let unsynced: Vec<_> = self.unsynced.iter().flat_map(|batch| batch.records.clone()).collect();
        let records = position - unsynced.len() as u64;
        End {
            records: self.records,
            position: Position(position),
            until: Until { synced: mark, records, lists: self.lists, reached },
            unsynced,
            cut: self.unsynced.front().map(|batch| batch.cut),
            content: self.content,
            torn_bytes: torn.iter().chain(past).map(|fault| fault.bytes as u64).sum(),
            damage,
            warnings: warnings.into_iter().map(|fault| fault.place).collect(),
        }
    }
}

/// Losses by slot, those that follow each other as one.
fn joined(losses: impl Iterator<Item = Lost>) -> Vec<Lost> {
    let mut slots: BTreeMap<u16, Vec<Lost>> = BTreeMap::new();
    for lost in losses {
        let of_slot = slots.entry(lost.slot).or_default();
        match of_slot.last_mut() {
            Some(last) if last.to == lost.after => last.to = lost.to,
            _ => of_slot.push(lost),
        }
    }
    slots.into_values().flatten().collect()
}

#[cfg(test)]
mod tests;
