//! Brings framed records to the segments: one `pwrite` per batch, one `fdatasync` for all that was written since the
//! last one, a new segment when the current one is full. All files that it needs were opened before.

use super::Error;
use super::chain::Chain;
use super::contents::Contents;
use super::counts::Counts;
use super::format::{self, BLOCK, Ident, Position};
use super::places::{Places, path};
use super::prepare::{Pool, Prepared};
use super::room::{self, BATCH, WriterState};
use crate::broken::{self, Broken};
use crate::clock;
use crate::disk::File;
use crate::lock::lock;
use crate::random;
use crate::store::Incarnation;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// Buffers that a burst has made longer than this are given back.
pub const BUFFER_MAX: usize = 4 << 20;

pub struct Writer {
    folder: PathBuf,
    chain: Chain,
    /// Identity of the segment that is being written. Before the first record of this start there is none.
    ident: Ident,
    segment: Option<Segment>,
    /// Whether the log says itself up to where it is synced.
    marked: bool,
    out: Vec<u8>,
    pool: Arc<Pool>,
    watch: Incarnation,
    counts: Arc<Counts>,
    places: Arc<Places>,
    contents: Arc<Mutex<Contents>>,
}

struct Segment {
    file: File,
    bytes: u64,
    /// Where the next batch begins.
    at: u64,
    /// It was synced since it was begun, or taken over.
    synced: bool,
}

impl Writer {
    /// Goes on after what the chain has. Nothing is written before there is a record.
    pub fn new(
        folder: &Path,
        chain: Chain,
        pool: Arc<Pool>,
        watch: Incarnation,
        counts: Arc<Counts>,
        places: Arc<Places>,
        contents: Arc<Mutex<Contents>>,
    ) -> Writer {
        let ident = Ident { store: chain.store, segment: 0, salt: 0, begins: 0, recycled: false };
        let mut writer = Writer {
            folder: folder.to_path_buf(),
            chain,
            ident,
            segment: None,
            marked: true,
            out: Vec::new(),
            pool,
            watch,
            counts,
            places,
            contents,
        };
        writer.stands(0);
        writer
    }

    /// A segment of an earlier start ends here: there is room for its closing and nothing else.
    pub fn goes_on_after(&mut self, ident: Ident, file: File, at: u64) {
        self.ident = ident;
        self.segment = Some(Segment { file, bytes: at + BLOCK as u64, at, synced: false });
        self.stands(0);
    }

    /// Begins a segment with these framed records in it, which may have come from memory only. It gets its name when
    /// they are on the disk, and the word that they are, so that there is no moment in which they are neither here nor
    /// where they came from, and none in which another start would have to write them anew.
    pub fn renew(&mut self, prepared: Prepared, frames: &[u8]) -> Result<(), Error> {
        let (segment, bytes) = (prepared.segment, prepared.bytes);
        self.open_segment(prepared)?;
        self.write_batches(frames)?;
        if !broken::is(Broken::UnsyncedStart) {
            self.sync()?;
            self.mark()?;
            self.sync()?;
        }
        self.pool.begun(segment, bytes)?;
        self.stands(0);
        Ok(())
    }

    /// Bytes of a segment that begins with these records and has room for a mark and its closing.
    pub fn needed_to_renew(&self, frames: &[u8]) -> u64 {
        let (mut records, mut at) = (0, 0);
        while at < frames.len() {
            at += format::framed_length(&frames[at..]);
            records += 1;
        }
        let around = self.chain.opening_length() + 2 * self.chain.overhead() + 3 * BLOCK;
        let cost = room::cost(records, frames.len() - records * format::RECORD);
        (cost + around as u64).next_multiple_of(BLOCK as u64)
    }

    pub fn position(&self) -> Position {
        Position(self.chain.first)
    }

    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    #[cfg(test)]
    pub fn write_into(&mut self, file: File) {
        self.segment = Some(Segment { file, bytes: 1 << 20, at: 0, synced: false });
    }

    /// Writes framed records, which so much room was granted for.
    pub fn write(&mut self, frames: &[u8], used: u64) -> Result<(), Error> {
        self.write_batches(frames)?;
        self.out.shrink_to(BUFFER_MAX);
        self.stands(used);
        Ok(())
    }

    fn write_batches(&mut self, mut frames: &[u8]) -> Result<(), Error> {
        while !frames.is_empty() {
            let end = format::run_within(frames, self.chain.room_in(self.left()), BATCH);
            if end == 0 {
                self.roll(format::framed_length(frames))?;
                continue;
            }
            let first = self.chain.first;
            self.out.clear();
            if broken::is(Broken::EarlyMark) {
                self.chain.synced = self.chain.number;
            }
            let head = self.chain.batch(&self.ident, &frames[..end], &mut self.out);
            let at = self.put()?;
            self.places.note(&head, at);
            self.advance();
            self.marked = false;
            self.counts.batches.fetch_add(1, Ordering::Relaxed);
            self.counts.records.fetch_add(self.chain.first - first, Ordering::Relaxed);
            frames = &frames[end..];
        }
        Ok(())
    }

    /// After it everything that was written is on the disk.
    pub fn sync(&mut self) -> Result<(), Error> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let started = clock::now();
        if broken::is(Broken::SkippedSync) {
            return Ok(());
        }
        segment.file.sync_data().map_err(Error::io("sync", &path(&self.folder, self.ident.segment)))?;
        if !std::mem::replace(&mut segment.synced, true) {
            lock(&self.contents).synced();
        }
        self.chain.synced = self.chain.number - 1;
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.counts.sync_us.fetch_add((clock::now() - started).as_micros() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Says where the next batch will begin that all before it is synced. Not synced itself: it costs one small
    /// write into memory, and the disk gets it when it has time.
    pub fn mark(&mut self) -> Result<(), Error> {
        let length = self.chain.overhead().next_multiple_of(BLOCK);
        if self.marked || length + BLOCK > self.left() {
            return Ok(());
        }
        self.out.clear();
        self.chain.mark(&self.ident, &mut self.out);
        self.marked = true;
        self.put()?;
        Ok(())
    }

    /// What happens by itself when a segment is full.
    #[cfg(test)]
    pub fn roll_early(&mut self) -> Result<(), Error> {
        self.roll(0)?;
        self.stands(0);
        Ok(())
    }

    /// Goes on in a new segment, whose name is on the disk before the old one says that it is there.
    fn roll(&mut self, record: usize) -> Result<(), Error> {
        if !self.watch.still_ours().map_err(Error::io("read", self.watch.path()))? {
            return Err(Error::NotOurs { folder: self.folder.clone() });
        }
        let needed = self.chain.opening_length() + self.chain.needed_for(record + format::LAST);
        let prepared = self.pool.roll(needed as u64)?;
        if self.segment.is_some() {
            self.out.clear();
            self.chain.closing(&self.ident, &mut self.out);
            self.put()?;
            self.sync()?;
        }
        self.counts.segments.fetch_add(1, Ordering::Relaxed);
        self.open_segment(prepared)
    }

    fn open_segment(&mut self, prepared: Prepared) -> Result<(), Error> {
        let Prepared { segment, file, bytes, recycled } = prepared;
        let begins = self.chain.number;
        self.ident = Ident { segment, salt: random::draw(), begins, recycled, ..self.ident };
        self.segment = Some(Segment { file, bytes, at: 0, synced: false });
        self.out.clear();
        self.chain.opening(&self.ident, &mut self.out);
        self.put()?;
        self.advance();
        let mut contents = lock(&self.contents);
        contents.ended(self.chain.reached());
        contents.begun(segment, bytes, Position(self.chain.first));
        Ok(())
    }

    fn left(&self) -> usize {
        self.segment.as_ref().map_or(0, |segment| (segment.bytes - segment.at) as usize)
    }

    /// Tells the accounting of room that so much of what was granted is written, and how much there is left.
    fn stands(&mut self, used: u64) {
        let state = WriterState {
            left: self.left() as u64,
            overhead: self.chain.overhead() as u64,
            opening: self.chain.opening_length() as u64,
        };
        self.pool.written(used, state);
    }

    fn advance(&mut self) {
        if let Some(segment) = &mut self.segment {
            segment.at += self.out.len() as u64;
        }
        self.counts.bytes.fetch_add(self.out.len() as u64, Ordering::Relaxed);
    }

    /// Writes what is in `out` where the next batch begins, and says where that is.
    fn put(&mut self) -> Result<u64, Error> {
        let Some(segment) = &self.segment else { unreachable!("nothing is put before a segment is open") };
        let put = segment.file.write_all_at(&self.out, segment.at);
        put.map_err(Error::io("write to", &path(&self.folder, self.ident.segment)))?;
        Ok(segment.at)
    }
}
