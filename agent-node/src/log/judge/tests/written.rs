//! A log in memory, written as the writer does it.

use super::super::super::chain::{Chain, Until};
use super::super::super::format::{BatchHead, Head, Ident, RECORD, frame, framed_length, record};
use super::super::super::scan::Segment;
use super::super::{Covered, End, Judge, Seen};
use std::ops::Range;

pub const STORE: u128 = 0xabc;
pub const SECTOR: usize = 512;

pub type Records = Vec<(Head, Vec<u8>)>;

/// A segment's bytes, and what each sector of it held before it was written last.
#[derive(Clone, Default)]
pub struct File {
    pub bytes: Vec<u8>,
    pub before: Vec<u8>,
    /// Where the next batch goes.
    end: usize,
}

impl File {
    fn put(&mut self, bytes: &[u8]) {
        let length = self.bytes.len().max(self.end + bytes.len());
        self.bytes.resize(length, 0);
        self.before.resize(length, 0);
        let at = self.end..self.end + bytes.len();
        self.before[at.clone()].copy_from_slice(&self.bytes[at.clone()]);
        self.bytes[at].copy_from_slice(bytes);
    }
}

/// A batch, mark, opening or closing as it was written.
pub struct Item {
    pub segment: usize,
    pub at: usize,
    pub head: BatchHead,
    pub bytes: Vec<u8>,
    /// The next batch took its place.
    pub overwritten: bool,
    /// Places in `bytes`.
    pub records: Vec<(Range<usize>, Head)>,
}

pub struct Written {
    pub segments: Vec<File>,
    pub records: Records,
    pub chain: Chain,
    pub ident: Ident,
    pub lsns: Vec<u64>,
    pub items: Vec<Item>,
    /// What the next segment's file holds before it is begun.
    pub recycled: Vec<u8>,
}

impl Written {
    pub fn new() -> Written {
        let mut written = Written {
            segments: Vec::new(),
            records: Vec::new(),
            chain: Chain::new(STORE, 1, Until::nothing()),
            ident: Ident { store: STORE, segment: 0, salt: 1, begins: 1, recycled: false },
            lsns: vec![0; 1 << 16],
            items: Vec::new(),
            recycled: Vec::new(),
        };
        written.open();
        written
    }

    /// Goes on in a new segment.
    pub fn roll(&mut self) {
        self.closing();
        self.sync();
        self.open();
    }

    fn open(&mut self) {
        self.ident.segment += 1;
        self.ident.salt += 99;
        self.ident.begins = self.chain.number;
        let recycled = std::mem::take(&mut self.recycled);
        self.ident.recycled = !recycled.is_empty();
        self.add_file(recycled);
        let mut opening = Vec::new();
        self.chain.opening(&self.ident, &mut opening);
        self.put(opening, true);
    }

    /// The file of a segment that is not begun.
    pub fn add_file(&mut self, bytes: Vec<u8>) {
        self.segments.push(File { before: bytes.clone(), bytes, end: 0 });
    }

    fn put(&mut self, bytes: Vec<u8>, stays: bool) {
        let segment = self.segments.len() - 1;
        let file = &mut self.segments[segment];
        let at = file.end;
        file.put(&bytes);
        if stays {
            file.end += bytes.len();
        }
        for item in self.items.iter_mut().filter(|item| (item.segment, item.at) == (segment, at)) {
            item.overwritten = true;
        }
        let head = BatchHead::decode(&bytes).unwrap();
        let (mut records, mut place) = (Vec::new(), head.body_at());
        while place < head.end() {
            let end = place + framed_length(&bytes[place..]);
            records.push((place..end, record(&bytes[place..], head.ident.seed(head.number)).unwrap().0));
            place = end;
        }
        self.items.push(Item { segment, at, head, bytes, overwritten: false, records });
    }

    pub fn batch(&mut self, records: &[(u16, usize)]) {
        let mut frames = Vec::new();
        for &(slot, length) in records {
            let lsn = &mut self.lsns[usize::from(slot)];
            *lsn += 1;
            let head = Head { slot, epoch: 1, incarnation: 1, lsn: *lsn };
            let bytes = (0..length).map(|n| (n * 31 + self.records.len()) as u8).collect::<Vec<_>>();
            frame(&head, &bytes, &mut frames);
            self.records.push((head, bytes));
        }
        self.frames(&frames);
    }

    fn frames(&mut self, frames: &[u8]) {
        let mut batch = Vec::new();
        self.chain.batch(&self.ident, frames, &mut batch);
        self.put(batch, true);
    }

    pub fn sync(&mut self) {
        self.chain.synced = self.chain.number - 1;
    }

    pub fn mark(&mut self) {
        let mut mark = Vec::new();
        self.chain.mark(&self.ident, &mut mark);
        self.put(mark, false);
    }

    pub fn closing(&mut self) {
        let mut closing = Vec::new();
        self.chain.closing(&self.ident, &mut closing);
        self.put(closing, false);
    }

    /// What a start does with a log that ends so: the tail is written anew. Nothing is cut, as if the process had
    /// ended before that.
    pub fn restart(&mut self, end: End) {
        let segment = end.cut.unwrap().ident.segment as usize - 1;
        let bytes = &self.segments[segment].bytes;
        let frames: Vec<u8> = end.unsynced.iter().flat_map(|range| bytes[range.clone()].to_vec()).collect();
        self.records.truncate(end.records as usize);
        self.lsns.fill(0);
        for (head, _) in &self.records {
            self.lsns[usize::from(head.slot)] = head.lsn;
        }
        self.chain = Chain::new(STORE, 2, end.until);
        self.open();
        if !frames.is_empty() {
            self.frames(&frames);
        }
        self.sync();
    }

    /// Segment and place of the n-th record that was written.
    pub fn record_at(&self, n: usize) -> (usize, usize) {
        let places = self
            .items
            .iter()
            .flat_map(|item| item.records.iter().map(|(record, _)| (item.segment, item.at + record.start)));
        places.into_iter().nth(n).unwrap()
    }

    /// Flips a bit in the body of the n-th record.
    pub fn break_body(&mut self, n: usize) {
        let (segment, at) = self.record_at(n);
        self.segments[segment].bytes[at + RECORD] ^= 1;
    }

    /// What comes back.
    pub fn read(&self) -> (Records, End) {
        read(&self.segments)
    }
}

/// Reads as the log does when it is opened.
pub fn read(segments: &[File]) -> (Records, End) {
    read_from(segments, 1, &Covered::default())
}

/// The same, where the segments before `first` have gone. Those that are lost otherwise have no bytes.
pub fn read_from(segments: &[File], first: u64, covered: &Covered) -> (Records, End) {
    let files = segments.iter().enumerate().map(|(n, file)| (n as u64 + 1, &file.bytes[..]));
    let files: Vec<(u64, &[u8])> =
        files.filter(|(index, bytes)| !bytes.is_empty() && *index >= first).collect();
    let mut next = None;
    let begins =
        |&(index, bytes): &(u64, &[u8])| Segment { store: STORE, index, bytes, until: None }.begins();
    let begins: Vec<Option<u64>> = files.iter().map(begins).collect();
    let (mut records, mut judge) = (Vec::new(), Judge::new(STORE, first, covered));
    for (place, (index, bytes)) in files.iter().enumerate() {
        let until = begins[place + 1..].iter().find_map(|begins| *begins);
        let mut each = |seen: Seen| {
            if let Seen::Record(position, head, body) = seen {
                assert!(
                    next.is_none_or(|next| position.0 == next)
                        && (first > 1 || next.is_some() || position.0 == 0)
                );
                next = Some(position.0 + 1);
                records.push((head, body.to_vec()));
            }
            Ok(())
        };
        judge.segment(*index, bytes, until, &mut each).unwrap();
    }
    let end = judge.end(files.last().map_or(0, |(index, _)| *index));
    assert_eq!(end.records, records.len() as u64);
    (records, end)
}
