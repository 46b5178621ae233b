//! Segments made ahead of need: files of written zeros, so that no `fdatasync` ever waits for a file to grow, and so
//! that what was granted has its blocks. They have their names and are open before a commit needs them.
//!
//! *Guarantees.* A segment that is ready, and the one that is kept, is whole and on the disk, and so is its name. It is
//! zero, or an older segment has left something in it.
//! [`Ledger`] holds what was granted against them. No lock is held while a file is touched. *Assumptions.* One thread
//! runs `run`, and one writes.

mod fill;
mod recycling;

use super::Error;
use super::counts::Counts;
use super::format::BLOCK;
use super::places::path;
use super::room::{Ask, DiskFull, Due, Ledger, Room, Sizes, WriterState};
use crate::broken::{self, Broken};
use crate::clock;
use crate::disk::{self, File};
use crate::lock::lock;
use crate::store;
use fill::Filling;
use recycling::Spare;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const KEPT: &str = "kept";
/// Names of files that are not whole, or hold what they should not yet.
const PREPARING: &str = "preparing";
const URGENT: &str = "urgent";
const OPENING: &str = "opening";
/// What was ready had this name once.
const NEXT: &str = "next";
const RETRY: Duration = Duration::from_millis(500);
/// Without a commit for so long, the disk is free to be filled.
const QUIET: Duration = Duration::from_millis(5);

/// Tells a shard that was answered `Later` to ask again. Called by the log's threads and by other shards', which wait
/// for it.
pub type OnRoom = Arc<dyn Fn() + Send + Sync>;

/// A segment's file: zero from end to end, or with what an older segment has left.
#[derive(Debug)]
pub struct Prepared {
    pub segment: u64,
    pub file: File,
    pub bytes: u64,
    pub recycled: bool,
}

pub struct Pool {
    folder: PathBuf,
    began: Instant,
    counts: Arc<Counts>,
    state: Mutex<PoolState>,
    /// Wakes the thread that makes segments.
    changed: Condvar,
}

struct PoolState {
    ledger: Ledger,
    ready: VecDeque<Prepared>,
    kept: Option<Prepared>,
    /// Files of segments that have gone, the first one to be used first.
    spares: VecDeque<Spare>,
    /// The index of the next segment to get a name.
    index: u64,
    /// The last one that the writer was given.
    rolled: u64,
    /// Those who ask, by their numbers, and the next number.
    askers: BTreeMap<u64, OnRoom>,
    next_asker: u64,
    /// The committer has something to write or to sync.
    busy: bool,
    /// How often it has taken something.
    takes: u64,
    waits: Waits,
    stopping: bool,
}

/// What the thread that makes segments waits for.
#[derive(Clone, Copy)]
enum Waits {
    No,
    ForSomethingDue,
    /// Until the disk is free, or filling lags behind.
    ForATurn {
        due: Due,
        filled: u64,
    },
}

impl Pool {
    /// Takes over what an earlier process has prepared, `ready` among it, and removes what it left half done.
    /// `index` is that of the next segment.
    pub fn open(
        folder: &Path,
        sizes: Sizes,
        counts: Arc<Counts>,
        ready: Vec<(u64, PathBuf, bool)>,
        index: u64,
    ) -> Result<Pool, Error> {
        for name in [PREPARING, URGENT, NEXT] {
            remove(&folder.join(name))?;
        }
        let mut kept = found(&folder.join(KEPT), 0, false)?;
        let opening = folder.join(OPENING);
        if kept.is_some() {
            remove(&opening)?;
        } else if let Some(again) = found(&opening, 0, false)? {
            // A start has ended in the middle: its blocks are the next one's.
            fill::clear(&again.file, again.bytes, &counts).map_err(Error::io("write to", &opening))?;
            rename(&opening, &folder.join(KEPT))?;
            kept = Some(again);
        }
        let mut ledger = Ledger::new(sizes);
        ledger.set_kept(kept.as_ref().map(|kept| kept.bytes));
        let mut segments = VecDeque::new();
        for (segment, path, recycled) in ready {
            if let Some(prepared) = found(&path, segment, recycled)? {
                ledger.add_ready(prepared.bytes);
                segments.push_back(prepared);
            }
        }
        let state = PoolState {
            ledger,
            ready: segments,
            kept,
            spares: recycling::found(folder)?,
            index,
            rolled: 0,
            askers: BTreeMap::new(),
            next_asker: 0,
            busy: false,
            takes: 0,
            waits: Waits::No,
            stopping: false,
        };
        let (folder, began) = (folder.to_path_buf(), clock::now());
        Ok(Pool { folder, began, counts, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// The number of one who will ask. `on_room` is called once when asking again after `Later` may help.
    pub fn asker(&self, on_room: OnRoom) -> u64 {
        let mut state = self.lock();
        let who = state.next_asker;
        state.next_asker += 1;
        state.askers.insert(who, on_room);
        who
    }

    /// It asks no more, and gives back what it was granted.
    pub fn leave(&self, who: u64, granted: u64) {
        let mut state = self.lock();
        state.askers.remove(&who);
        state.ledger.forget(who, granted);
        self.settle(state);
    }

    /// Whether so much may be appended, in place of what was `held`.
    pub fn ask(&self, who: u64, ask: Ask, held: u64) -> Room {
        let mut state = self.lock();
        let room = state.ledger.ask(who, ask, held);
        if room == Room::Later {
            self.settle(state);
        }
        room
    }

    /// So much of what was granted is appended; the rest is given back.
    pub fn append(&self, who: u64, granted: u64, used: u64) {
        let mut state = self.lock();
        state.ledger.appended(who, granted, used);
        self.settle(state);
    }

    /// The committer has taken what was appended, and writes it now.
    pub fn begin_commit(&self, used: u64) {
        let mut state = self.lock();
        state.ledger.taken(used);
        (state.busy, state.takes) = (true, state.takes + 1);
        self.settle(state);
    }

    pub fn written(&self, used: u64, writer: WriterState) {
        let mut state = self.lock();
        state.ledger.written(used, writer);
        self.settle(state);
    }

    /// The committer has nothing to do.
    pub fn idle(&self) {
        self.lock().busy = false;
    }

    /// The next segment, of whose bytes `needed` are needed at least if none is ready.
    pub fn roll(&self, needed: u64) -> Result<Prepared, Error> {
        let mut state = self.lock();
        if let Some(prepared) = state.ready.pop_front() {
            state.rolled = prepared.segment;
            state.ledger.rolled(prepared.bytes, true, clock::now() - self.began);
            self.settle(state);
            return Ok(prepared);
        }
        // Nobody has asked for what is written now. What is kept is better used than the process ended.
        tracing::warn!("records were written for which no room had been granted");
        let kept = state.take_kept(needed);
        let (segment, smallest) = (state.next_index(), state.ledger.sizes().smallest);
        state.rolled = segment;
        drop(state);
        let (from, prepared) = if let Some(kept) = kept {
            (KEPT, kept)
        } else {
            let made = self.make(URGENT, smallest.max(needed), &mut || true);
            (URGENT, made.map_err(Error::io("make", &self.folder.join(URGENT)))?)
        };
        rename(&self.folder.join(from), &path(&self.folder, segment))?;
        store::sync_folder(&self.folder)?;
        let prepared = Prepared { segment, ..prepared };
        let mut state = self.lock();
        state.ledger.rolled(prepared.bytes, false, clock::now() - self.began);
        self.settle(state);
        Ok(prepared)
    }

    /// A file of so many bytes for what a start writes anew, which gets its name by `begun`. What is kept is for that.
    pub fn begin(&self, needed: u64) -> Result<Prepared, Error> {
        let mut state = self.lock();
        let segment = state.next_index();
        let kept = state.take_kept(needed);
        let sizes = *state.ledger.sizes();
        drop(state);
        let path = self.folder.join(OPENING);
        let prepared = if let Some(kept) = kept {
            rename(&self.folder.join(KEPT), &path)?;
            kept
        } else {
            let made = self.make_or_less(OPENING, sizes.smallest.max(needed), needed, &mut || true);
            made.map_err(Error::io("make a segment of the log as", &path))?
        };
        store::sync_folder(&self.folder)?;
        Ok(Prepared { segment, ..prepared })
    }

    /// What `begin` gave holds what it should. Those that are ready come after it from now on.
    pub fn begun(&self, segment: u64, bytes: u64) -> Result<(), Error> {
        rename(&self.folder.join(OPENING), &path(&self.folder, segment))?;
        store::sync_folder(&self.folder)?;
        let ready = std::mem::take(&mut self.lock().ready);
        let mut moved = VecDeque::new();
        for mut next in ready {
            let segment = self.lock().next_index();
            rename(&path(&self.folder, next.segment), &path(&self.folder, segment))?;
            next.segment = segment;
            moved.push_back(next);
        }
        store::sync_folder(&self.folder)?;
        let mut state = self.lock();
        state.ready = moved;
        state.ledger.rolled(bytes, false, clock::now() - self.began);
        Ok(())
    }

    /// Whether nobody would miss what is left of this segment.
    #[cfg(test)]
    pub fn may_roll(&self) -> bool {
        let state = self.lock();
        !state.ready.is_empty() && state.ledger.may_roll()
    }

    /// Bytes that commands may still take.
    pub fn free(&self) -> u64 {
        self.lock().ledger.free()
    }

    /// Why no segment can be made, while that is so.
    pub fn full(&self) -> Option<DiskFull> {
        self.lock().ledger.why_full().cloned()
    }

    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        state.ledger.close();
        self.changed.notify_all();
        self.settle(state);
    }

    /// Makes what is due, until `stop`.
    pub fn run(&self) {
        while let Some(due) = self.next_due() {
            let mut filled = 0;
            let mut turn = || {
                let goes_on = self.wait_for_a_turn(due, filled);
                filled += fill::PIECE as u64;
                goes_on
            };
            if let Err(error) = self.make_due(due, &mut turn) {
                if self.lock().stopping {
                    return;
                }
                self.failed(&error);
                let state = self.lock();
                let until = |state: &mut PoolState| !state.stopping;
                drop(self.changed.wait_timeout_while(state, RETRY, until));
            }
        }
    }

    /// Makes what is due now, without waiting for anything. False: nothing was made.
    #[cfg(test)]
    pub fn turn(&self) -> bool {
        let Some(due) = self.lock().ledger.due() else { return false };
        self.make_due(due, &mut || true).map_err(|error| self.failed(&error)).is_ok()
    }

    fn failed(&self, error: &io::Error) {
        let mut state = self.lock();
        state.ledger.failed(DiskFull(why(error)));
        self.settle(state);
    }

    fn next_due(&self) -> Option<Due> {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return None;
            }
            if let Some(due) = state.ledger.due() {
                return Some(due);
            }
            state.waits = Waits::ForSomethingDue;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waits = Waits::No;
        }
    }

    /// A piece at each `turn`.
    fn make_due(&self, due: Due, turn: &mut dyn FnMut() -> bool) -> io::Result<()> {
        if let Due::Segment { bytes, least } = due
            && let Some((spare, path)) = self.spare(bytes, least)?
        {
            return self.make_ready(spare, path);
        }
        let (bytes, least) = match due {
            Due::Kept { bytes } => (bytes, bytes),
            Due::Segment { bytes, least } => (bytes, least),
        };
        let prepared = self.make_or_less(PREPARING, bytes, least, turn)?;
        match due {
            Due::Kept { .. } => self.keep(prepared),
            Due::Segment { .. } => self.make_ready(prepared, self.folder.join(PREPARING)),
        }
    }

    fn keep(&self, prepared: Prepared) -> io::Result<()> {
        disk::rename(&self.folder.join(PREPARING), &self.folder.join(KEPT))?;
        disk::sync_folder(&self.folder)?;
        let mut state = self.lock();
        state.ledger.set_kept(Some(prepared.bytes));
        let replaced = state.kept.replace(prepared);
        self.settle(state);
        drop(replaced);
        Ok(())
    }

    /// Gives it the name of a segment, after all that are being written or ready.
    fn make_ready(&self, mut prepared: Prepared, mut from: PathBuf) -> io::Result<()> {
        let mut segment = self.lock().next_index();
        loop {
            let to = path(&self.folder, segment);
            disk::rename(&from, &to)?;
            if !broken::is(Broken::UnsyncedNames) {
                disk::sync_folder(&self.folder)?;
            }
            let mut state = self.lock();
            if segment > state.rolled {
                prepared.segment = segment;
                state.ledger.add_ready(prepared.bytes);
                state.ready.push_back(prepared);
                self.settle(state);
                return Ok(());
            }
            (from, segment) = (to, state.next_index());
        }
    }

    /// Lets commits go first, unless filling lags behind what they use. False: the log closes.
    fn wait_for_a_turn(&self, due: Due, filled: u64) -> bool {
        let mut state = self.lock();
        let mut takes = None;
        loop {
            let is_quiet = !state.busy && takes == Some(state.takes);
            if state.stopping || is_quiet || state.ledger.lags(due, filled) {
                return !state.stopping;
            }
            takes = Some(state.takes);
            state.waits = Waits::ForATurn { due, filled };
            let waited = self.changed.wait_timeout(state, QUIET).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            state.waits = Waits::No;
        }
    }

    /// A smaller one is better than none.
    fn make_or_less(
        &self,
        name: &str,
        mut bytes: u64,
        least: u64,
        turn: &mut dyn FnMut() -> bool,
    ) -> io::Result<Prepared> {
        loop {
            match self.make(name, bytes, turn) {
                Err(error) if is_full(&error) && bytes > least => {
                    bytes = (bytes / 2).next_multiple_of(BLOCK as u64).max(least);
                }
                made => return made,
            }
        }
    }

    fn make(&self, name: &str, bytes: u64, turn: &mut dyn FnMut() -> bool) -> io::Result<Prepared> {
        let path = self.folder.join(name);
        let filled = Filling::begin(&path, bytes).and_then(|filling| filling.run(&self.counts, turn));
        if filled.is_err() {
            let _ = disk::remove(&path);
        }
        Ok(Prepared { segment: 0, file: filled?, bytes, recycled: false })
    }

    /// Wakes those for whom something has changed.
    fn settle(&self, mut state: MutexGuard<PoolState>) {
        let heard = state.ledger.heard();
        let heard: Vec<OnRoom> = heard.iter().filter_map(|who| state.askers.get(who).cloned()).collect();
        let wakes = match state.waits {
            Waits::No => false,
            Waits::ForSomethingDue => state.ledger.due().is_some(),
            Waits::ForATurn { due, filled } => state.ledger.lags(due, filled),
        };
        drop(state);
        if wakes {
            self.changed.notify_one();
        }
        for on_room in heard {
            on_room();
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        lock(&self.state)
    }
}

impl PoolState {
    fn next_index(&mut self) -> u64 {
        self.index += 1;
        self.index - 1
    }

    fn take_kept(&mut self, needed: u64) -> Option<Prepared> {
        let taken = self.kept.take_if(|kept| kept.bytes >= needed);
        self.ledger.set_kept(self.kept.as_ref().map(|kept| kept.bytes));
        taken
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn why(error: &io::Error) -> String {
    if is_full(error) {
        return format!("the disk is full: no segment of the log can be made: {error}");
    }
    format!("no segment of the log can be made: {error}; it is tried again")
}

fn found(path: &Path, segment: u64, recycled: bool) -> Result<Option<Prepared>, Error> {
    match disk::open_to_write(path) {
        Ok(file) => {
            let bytes = file.length().map_err(Error::io("read", path))?;
            Ok(Some(Prepared { segment, file, bytes: bytes - bytes % BLOCK as u64, recycled }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Io { what: "open", path: path.to_path_buf(), error }),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match disk::remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::Io { what: "remove", path: path.to_path_buf(), error })
        }
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    disk::rename(from, to).map_err(Error::io("rename", from))
}
