//! Takes snapshots, a turn at a time: asks shards for their slots, writes what they give, and lets go what is not needed
//! any more. What is next is decided in `decide`.
//!
//! *Guarantees.* Nothing goes before what makes it unneeded is on the disk. A round that fails, on a full disk mostly,
//! is given up and tried again; it changes nothing. *Assumptions.* Shards give all of a slot that they are asked for, or
//! an end without a beginning.

use super::decide::{self, Copied, Gone, Limits, Round, Seen};
use super::format::Header;
use super::index::Index;
use super::piece::{Asked, Given, Piece};
use super::reading::{Loaded, Opened, Stop};
use super::sink::Sink;
use super::writing::Writing;
use super::{Error, FOLDER, Fault, ROOM, path};
use crate::broken::{self, Broken};
use crate::clock;
use crate::disk;
use crate::log::{Log, Position};
use crate::random;
use proto::address::Slot;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How often it is looked whether a slot is due.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is looked whether the log is far enough on the disk, once all has come.
const DURABLE: Duration = Duration::from_millis(5);
/// When a round that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// No less room than this is kept back for a round.
const ROOM_LEAST: u64 = 1 << 20;

/// What has been done since the start, and how it stands.
#[derive(Debug, Default)]
pub struct Counts {
    pub snapshots: AtomicU64,
    pub files: AtomicU64,
    /// Given to the disk.
    pub bytes: AtomicU64,
    /// Rounds that were given up.
    pub failed: AtomicU64,
    /// Broken places that were found.
    pub faults: AtomicU64,
    /// The last round was given up.
    pub is_failing: AtomicBool,
    /// Bytes of all files that there are, and of one snapshot of everything.
    pub held_bytes: AtomicU64,
    pub whole_bytes: AtomicU64,
    /// When the last round was done, by the wall clock.
    pub done_ms: AtomicU64,
}

/// Gives a shard what it is asked.
pub type Ask = Box<dyn Fn(usize, Asked) + Send>;

/// What a taker is made of.
pub struct Parts {
    /// The data folder.
    pub data: PathBuf,
    pub store: u128,
    pub incarnation: u64,
    pub loaded: Loaded,
    pub log: Arc<Log>,
    pub sink: Sink,
    pub shards: usize,
    pub ask: Ask,
    pub limits: Limits,
    pub counts: Arc<Counts>,
}

pub struct Taker {
    data: PathBuf,
    store: u128,
    incarnation: u64,
    log: Arc<Log>,
    sink: Sink,
    shards: usize,
    ask: Ask,
    limits: Limits,
    counts: Arc<Counts>,
    index: Index,
    /// Files of which nothing can be read. They go with the next round.
    unread: Vec<u64>,
    /// The number of the next file.
    next: u64,
    round: u64,
    taking: Option<Taking>,
    /// Until then nothing is begun, after a round that failed.
    rests: Option<Instant>,
    /// The newest segment when nothing was due.
    looked_at: Option<u64>,
    /// The names of the files that a start has found are on the disk, too, and not only in the page cache.
    is_synced: bool,
}

/// A round that goes on.
struct Taking {
    writing: Writing,
    missing: BTreeSet<Slot>,
    copied: Vec<Copied>,
    /// Up to where the log has to be on the disk.
    end: Position,
}

/// A round can't go on.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Error(#[from] Error),
    #[error(transparent)]
    Log(#[from] crate::log::Error),
}

impl Taker {
    pub fn new(parts: Parts) -> Taker {
        let Parts { data, store, incarnation, loaded, log, sink, shards, ask, limits, counts } = parts;
        let Loaded { index, unread, faults, .. } = loaded;
        let last = index.files().keys().chain(&unread).max();
        counts.faults.fetch_add(faults.len() as u64, Relaxed);
        let next = last.map_or(1, |last| last + 1);
        let taker = Taker {
            data,
            store,
            incarnation,
            log,
            sink,
            shards,
            ask,
            limits,
            counts,
            index,
            unread,
            next,
            round: 0,
            taking: None,
            rests: None,
            looked_at: None,
            is_synced: false,
        };
        taker.count();
        taker
    }

    /// Takes turns until the sink is closed.
    pub fn run(mut self) {
        while !self.sink.is_closed() {
            let wait = match &self.taking {
                Some(taking) if taking.missing.is_empty() => DURABLE,
                _ => LOOK,
            };
            self.turn(wait);
        }
        if let Some(taking) = self.taking {
            taking.writing.give_up();
        }
    }

    /// Takes what has been given, and goes on as far as that goes. False: there was nothing to do.
    pub fn turn(&mut self, wait: Duration) -> bool {
        let (given, waited) = self.sink.take(wait);
        for shard in waited {
            (self.ask)(shard, Asked::Room);
        }
        match self.goes_on(given) {
            Ok(did) => did,
            Err(failed) => {
                self.give_up(&failed);
                true
            }
        }
    }

    fn goes_on(&mut self, given: Vec<Given>) -> Result<bool, Failed> {
        let Some(taking) = &mut self.taking else { return self.begin() };
        let any = !given.is_empty();
        for Given { slot, piece } in given {
            taking.put(slot, piece)?;
        }
        let is_durable = taking.end <= self.log.durable() || broken::is(Broken::EarlySnapshot);
        if !taking.missing.is_empty() || !is_durable {
            return Ok(any);
        }
        if let Some(taking) = self.taking.take() {
            self.finish(taking)?;
        }
        Ok(true)
    }

    /// Begins what is due. False: nothing is.
    fn begin(&mut self) -> Result<bool, Failed> {
        let log = self.log.held();
        let newest = log.back().map_or(0, |last| last.segment);
        let rests = self.rests.is_some_and(|until| clock::now() < until);
        if rests || self.looked_at == Some(newest) {
            return Ok(false);
        }
        self.rests = None;
        let seen = Seen { log: &log, index: &self.index, limits: self.limits };
        let Some(Round { take, copy }) = decide::round(&seen) else {
            self.drop_what_is_gone()?;
            self.looked_at = Some(newest);
            return Ok(false);
        };
        let header = Header {
            store: self.store,
            number: self.next,
            salt: random::draw(),
            incarnation: self.incarnation,
            time_ms: clock::wall_ms(),
        };
        crate::store::make_folder(&self.data.join(FOLDER))
            .map_err(|error| io::Error::other(error.to_string()))?;
        let writing = Writing::begin(&self.data, header)?;
        self.next += 1;
        self.round += 1;
        self.sink.begin(self.round);
        let missing = take.iter().copied().collect();
        let taking = self.taking.insert(Taking { writing, missing, copied: Vec::new(), end: Position(0) });
        for copied in copy {
            if let Err(fault) = taking.copy(&self.data.join(FOLDER), self.store, &self.index, copied)? {
                tracing::warn!(%fault, "a snapshot is broken; another one is taken");
                self.counts.faults.fetch_add(1, Relaxed);
                self.index.forget(copied.from, copied.slot);
            }
        }
        for shard in 0..self.shards {
            let of_shard = |slot: &Slot| usize::from(*slot) % self.shards == shard;
            let slots: Vec<Slot> = take.iter().copied().filter(of_shard).collect();
            if !slots.is_empty() {
                (self.ask)(shard, Asked::Take { round: self.round, slots });
            }
        }
        Ok(true)
    }

    fn finish(&mut self, taking: Taking) -> Result<(), Failed> {
        let Taking { writing, copied, .. } = taking;
        self.looked_at = None;
        if writing.done().is_empty() {
            writing.give_up();
            return Ok(());
        }
        let snapshots = writing.done().len() as u64;
        let (number, filed) = writing.finish()?;
        let bytes = filed.bytes;
        self.index.add(number, filed);
        for Copied { slot, from, moves } in copied {
            if moves {
                self.index.forget(from, slot);
            }
        }
        self.counts.snapshots.fetch_add(snapshots, Relaxed);
        self.counts.files.fetch_add(1, Relaxed);
        self.counts.bytes.fetch_add(bytes, Relaxed);
        self.counts.is_failing.store(false, Relaxed);
        self.counts.done_ms.store(clock::wall_ms(), Relaxed);
        self.drop_what_is_gone()?;
        self.keep_room(bytes);
        Ok(())
    }

    fn drop_what_is_gone(&mut self) -> Result<(), Failed> {
        let log = self.log.held();
        let seen = Seen { log: &log, index: &self.index, limits: self.limits };
        let (Gone { before, files }, bounds) = (decide::gone(&seen), decide::bounds(&seen));
        let folder = self.data.join(FOLDER);
        if !self.is_synced && disk::is_folder(&folder) {
            disk::sync_folder(&folder)?;
            self.is_synced = true;
        }
        self.log.drop_before(before, bounds.period / 2)?;
        let unread = std::mem::take(&mut self.unread);
        for file in files.into_iter().chain(unread) {
            let path = path(&folder, file);
            match disk::remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Failed::Error(Error::Io { what: "remove", path, error }));
                }
                _ => self.index.remove(file),
            }
        }
        self.count();
        Ok(())
    }

    /// Takes blocks for the next round, so that it finds some on a full disk. Without them it takes its chance.
    fn keep_room(&self, bytes: u64) {
        let room = self.data.join(FOLDER).join(ROOM);
        let bounds = decide::bounds(&Seen { log: &VecDeque::new(), index: &self.index, limits: self.limits });
        let bytes = (2 * bytes).clamp(ROOM_LEAST, bounds.round.max(ROOM_LEAST));
        let kept = disk::create(&room).and_then(|file| file.allocate(bytes));
        if kept.is_err() {
            let _ = disk::remove(&room);
        }
    }

    fn give_up(&mut self, failed: &Failed) {
        tracing::warn!(error = %failed, "snapshots can't be taken now; it is tried again");
        if let Some(taking) = self.taking.take() {
            taking.writing.give_up();
        }
        self.round += 1;
        self.sink.begin(self.round);
        for shard in 0..self.shards {
            (self.ask)(shard, Asked::Take { round: self.round, slots: Vec::new() });
        }
        self.counts.failed.fetch_add(1, Relaxed);
        self.counts.is_failing.store(true, Relaxed);
        self.rests = Some(clock::now() + RETRY);
        self.looked_at = None;
    }

    fn count(&self) {
        let held = self.index.files().values().map(|filed| filed.bytes).sum();
        self.counts.held_bytes.store(held, Relaxed);
        self.counts.whole_bytes.store(self.index.whole(), Relaxed);
    }
}

impl Taking {
    fn put(&mut self, slot: Slot, piece: Piece) -> io::Result<()> {
        if let Piece::Begin(begin) = &piece {
            self.end = self.end.max(begin.end);
        }
        let is_end = piece == Piece::End;
        // An end without a beginning: there is nothing of this slot.
        if !is_end || self.writing.has_begun(slot) {
            self.writing.put(slot, piece)?;
        }
        if is_end {
            self.missing.remove(&slot);
        }
        Ok(())
    }

    /// Writes a snapshot of another file again, as it is.
    fn copy(
        &mut self,
        folder: &Path,
        store: u128,
        index: &Index,
        copied: Copied,
    ) -> Result<Result<(), Fault>, Failed> {
        let Copied { slot, from, .. } = copied;
        let Some((_, kept)) = index.of(slot).find(|(file, _)| *file == from) else { return Ok(Ok(())) };
        let mut opened = match Opened::open(folder, from, store)? {
            Ok(opened) => opened,
            Err(bad) => return Ok(Err(Fault::new(from, bad, Some(slot)))),
        };
        let writing = &mut self.writing;
        let done =
            opened.pieces(slot, kept, &mut |kind, held| writing.raw(slot, kind, held).map_err(Stop::Io));
        match done {
            Ok(()) => {
                self.copied.push(copied);
                Ok(Ok(()))
            }
            Err(Stop::Bad(bad)) => {
                self.writing.forget(slot);
                Ok(Err(Fault::new(from, bad, Some(slot))))
            }
            Err(Stop::Io(error)) => Err(Failed::Io(error)),
            Err(Stop::Refused(why)) => Err(Failed::Io(io::Error::other(why))),
        }
    }
}
