//! Where records lie, and how one is read again while the log goes on.
//!
//! *Guarantees.* A record that is on the disk is found by its position, and its sums are checked. Memory grows by one
//! entry for each [`SPARSE`] bytes of the log. *Assumptions.* Only positions are asked for that `on_durable` has
//! passed; no segment goes that has one that is still asked for.

use super::Error;
use super::format::{self, BatchHead, HEADER, Head, Kind, Position};
use crate::disk::{self, File};
use crate::lock::lock;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// Between two entries of a segment. From an entry on, batches are gone through by their headers.
const SPARSE: u64 = 128 << 10;

/// A segment's file.
pub fn path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("segment-{segment:08}"))
}

/// Where some of the batches begin.
#[derive(Debug, Default)]
pub struct Places {
    table: Mutex<Vec<Place>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The position of the batch's first record.
    first: Position,
    segment: u64,
    at: u64,
}

impl Places {
    /// A batch begins here.
    pub fn note(&self, head: &BatchHead, at: u64) {
        if head.kind != Kind::Records {
            return;
        }
        let (first, segment) = (Position(head.first), head.ident.segment);
        let mut table = self.table();
        let near = |last: &Place| last.segment == segment && at < last.at + SPARSE;
        if !table.last().is_some_and(near) {
            table.push(Place { first, segment, at });
        }
    }

    /// What was noted from there on does not count: it is written anew in another segment.
    pub fn cut(&self, from: Position) {
        self.table().retain(|place| place.first < from);
    }

    /// The segments before this one are not there any more.
    pub fn dropped(&self, segment: u64) {
        self.table().retain(|place| place.segment >= segment);
    }

    /// The last place known of at or before that record.
    fn before(&self, position: Position) -> Option<Place> {
        let table = self.table();
        let after = table.partition_point(|place| place.first <= position);
        Some(table[after.checked_sub(1)?])
    }

    fn table(&self) -> MutexGuard<'_, Vec<Place>> {
        lock(&self.table)
    }
}

/// Reads records again. Fastest in their order.
pub struct Reader {
    folder: PathBuf,
    places: Arc<Places>,
    file: Option<(u64, File)>,
    /// The batch that was read last.
    batch: Option<Batch>,
}

struct Batch {
    head: BatchHead,
    records: Vec<u8>,
    /// The next record, and where it begins.
    next: (u64, usize),
}

impl Reader {
    pub fn new(folder: &Path, places: Arc<Places>) -> Reader {
        Reader { folder: folder.to_path_buf(), places, file: None, batch: None }
    }

    pub fn record(&mut self, position: Position) -> Result<(Head, &[u8]), Error> {
        let batch = match self.batch.take() {
            Some(batch) if batch.head.has(position) => batch,
            _ => self.find(position)?,
        };
        let found = self.batch.insert(batch).record(position);
        found.map_err(|why| Error::Lost { folder: self.folder.clone(), position: position.0, why })
    }

    /// The batch that has this record.
    fn find(&mut self, position: Position) -> Result<Batch, Error> {
        let folder = self.folder.clone();
        let lost = |why| Error::Lost { folder: folder.clone(), position: position.0, why };
        let Place { segment, mut at, .. } =
            self.places.before(position).ok_or_else(|| lost("no batch is known before it"))?;
        let path = path(&folder, segment);
        let file = match self.file.take() {
            Some((opened, file)) if opened == segment => file,
            _ => disk::open(&path).map_err(Error::io("open", &path))?,
        };
        let (_, file) = &*self.file.insert((segment, file));
        loop {
            let mut bytes = [0; HEADER];
            file.read_exact_at(&mut bytes, at).map_err(Error::io("read", &path))?;
            let head = BatchHead::decode(&bytes).map_err(|_| lost("the header of a batch is broken"))?;
            if head.ident.segment != segment || head.first > position.0 {
                return Err(lost("no batch of its segment has it"));
            }
            if head.has(position) {
                let mut records = vec![0; head.bytes as usize];
                let from = at + head.body_at() as u64;
                file.read_exact_at(&mut records, from).map_err(Error::io("read", &path))?;
                return Ok(Batch { head, records, next: (head.first, 0) });
            }
            at += head.length() as u64;
        }
    }
}

impl Batch {
    fn record(&mut self, position: Position) -> Result<(Head, &[u8]), &'static str> {
        if position.0 < self.next.0 {
            self.next = (self.head.first, 0);
        }
        while self.next.0 < position.0 {
            let fixed = self.records.get(self.next.1..).filter(|rest| rest.len() >= format::RECORD);
            let length = format::framed_length(fixed.ok_or("a record is broken")?);
            self.next = (self.next.0 + 1, self.next.1 + length);
        }
        let from = self.records.get(self.next.1..).ok_or("a record is broken")?;
        let seed = self.head.ident.seed(self.head.number);
        let (head, body, length) = format::record(from, seed).map_err(|_| "the record is broken")?;
        self.next = (self.next.0 + 1, self.next.1 + length);
        Ok((head, body))
    }
}
