//! Brings framed records to the segments: one `pwrite` per batch, one `fdatasync` for all that was written since the
//! last one, a new segment when the current one is full.

use super::Error;
use super::chain::Chain;
use super::format::{self, BLOCK, Ident, Position};
use super::places::{Places, path};
use super::prepare::{OPENING, Pool, Prepared};
use crate::store::{self, Incarnation};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A batch ends soon after this many bytes, so that one torn place costs little.
const BATCH: usize = 1 << 20;
/// Buffers that a burst has made longer than this are given back.
pub const BUFFER_MAX: usize = 4 << 20;

/// What has been written since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub records: AtomicU64,
    pub batches: AtomicU64,
    /// Bytes of batches and openings. Zeros are not counted, nor marks, which the next batch mostly overwrites in memory.
    pub bytes: AtomicU64,
    pub syncs: AtomicU64,
    pub sync_us: AtomicU64,
    pub segments: AtomicU64,
}

pub struct Writer {
    folder: PathBuf,
    chain: Chain,
    ident: Ident,
    file: File,
    /// Where the next batch begins.
    at: u64,
    /// Size of the segment.
    bytes: u64,
    /// Whether the log says itself up to where it is synced.
    marked: bool,
    out: Vec<u8>,
    pool: Arc<Pool>,
    watch: Incarnation,
    counts: Arc<Counts>,
    places: Arc<Places>,
}

impl Writer {
    /// Begins a segment with these framed records in it. It gets its name when they are on the disk, so that there is
    /// no moment in which they are neither here nor where they came from.
    pub fn begin(
        folder: &Path,
        segment: u64,
        chain: Chain,
        frames: &[u8],
        pool: Arc<Pool>,
        watch: Incarnation,
        places: Arc<Places>,
    ) -> Result<Writer, Error> {
        let batches = frames.len().div_ceil(BATCH) + 1;
        // A list is never longer than a quarter of the records that it names.
        let lists = 2 * chain.overhead() + frames.len() / 2;
        let needed = chain.opening_length() + frames.len() + lists + (2 * batches + 2) * BLOCK;
        let needed = needed.next_multiple_of(BLOCK);
        let Prepared { file, bytes } = pool.first(needed as u64)?;
        let mut writer = Writer {
            folder: folder.to_path_buf(),
            ident: Ident { store: chain.store, segment, salt: rand::random(), begins: chain.number },
            chain,
            file,
            at: 0,
            bytes,
            marked: true,
            out: Vec::new(),
            pool,
            watch,
            counts: Arc::default(),
            places,
        };
        writer.open_segment()?;
        writer.pool.spend(frames.len());
        writer.write(frames)?;
        writer.sync()?;
        let (from, to) = (folder.join(OPENING), path(folder, segment));
        fs::rename(&from, to).map_err(Error::io("rename", &from))?;
        store::sync_folder(folder)?;
        Ok(writer)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn position(&self) -> Position {
        Position(self.chain.first)
    }

    #[cfg(test)]
    pub fn write_into(&mut self, file: File) {
        self.file = file;
    }

    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Writes framed records, whose room has been taken already.
    pub fn write(&mut self, mut frames: &[u8]) -> Result<(), Error> {
        while !frames.is_empty() {
            // The last block is the closing's.
            let room = (self.bytes - self.at) as usize;
            let end = format::run_within(frames, room.saturating_sub(self.chain.overhead() + BLOCK), BATCH);
            if end == 0 {
                self.roll(format::framed_length(frames))?;
                continue;
            }
            let first = self.chain.first;
            self.out.clear();
            let head = self.chain.batch(&self.ident, &frames[..end], &mut self.out);
            self.put()?;
            self.places.note(&head, self.at);
            self.advance();
            self.pool.spend(self.out.len() - end);
            self.marked = false;
            self.counts.batches.fetch_add(1, Ordering::Relaxed);
            self.counts.records.fetch_add(self.chain.first - first, Ordering::Relaxed);
            frames = &frames[end..];
        }
        self.out.shrink_to(BUFFER_MAX);
        Ok(())
    }

    /// After it everything that was written is on the disk.
    pub fn sync(&mut self) -> Result<(), Error> {
        let started = std::time::Instant::now();
        self.file.sync_data().map_err(Error::io("sync", &path(&self.folder, self.ident.segment)))?;
        self.chain.synced = self.chain.number - 1;
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.counts.sync_us.fetch_add(started.elapsed().as_micros() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Says where the next batch will begin that all before it is synced. Not synced itself: it costs one small
    /// write into memory, and the disk gets it when it has time.
    pub fn mark(&mut self) -> Result<(), Error> {
        let length = self.chain.overhead().next_multiple_of(BLOCK) as u64;
        if self.marked || self.at + length + BLOCK as u64 > self.bytes {
            return Ok(());
        }
        self.out.clear();
        self.chain.mark(&self.ident, &mut self.out);
        self.marked = true;
        self.put()
    }

    /// Goes on in a new segment, whose name is on the disk before the old one says that it is there.
    fn roll(&mut self, record: usize) -> Result<(), Error> {
        if !self.watch.still_ours().map_err(Error::io("read the incarnation in", &self.folder))? {
            return Err(Error::NotOurs { folder: self.folder.clone() });
        }
        let first = (self.chain.overhead() + record).next_multiple_of(BLOCK);
        let needed = self.chain.opening_length() + first + BLOCK;
        let segment = self.ident.segment + 1;
        let prepared = self.pool.take(needed as u64, &path(&self.folder, segment))?;
        self.out.clear();
        self.chain.closing(&self.ident, &mut self.out);
        self.put()?;
        self.sync()?;
        self.pool.spend((self.bytes - self.at) as usize);
        let begins = self.chain.number;
        self.ident = Ident { segment, salt: rand::random(), begins, ..self.ident };
        (self.file, self.bytes, self.at) = (prepared.file, prepared.bytes, 0);
        self.counts.segments.fetch_add(1, Ordering::Relaxed);
        self.open_segment()
    }

    fn open_segment(&mut self) -> Result<(), Error> {
        self.out.clear();
        self.chain.opening(&self.ident, &mut self.out);
        self.put()?;
        self.advance();
        self.pool.spend(self.out.len());
        Ok(())
    }

    fn advance(&mut self) {
        self.at += self.out.len() as u64;
        self.counts.bytes.fetch_add(self.out.len() as u64, Ordering::Relaxed);
    }

    fn put(&mut self) -> Result<(), Error> {
        let put = self.file.write_all_at(&self.out, self.at);
        put.map_err(Error::io("write to", &path(&self.folder, self.ident.segment)))
    }
}
