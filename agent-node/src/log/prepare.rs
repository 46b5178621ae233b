//! Segments made ahead of need: files of written zeros, so that no `fdatasync` ever waits for a file to grow, and room
//! that is known before a command runs. One is next, and one is kept back for the time when the disk is full.
//!
//! *Guarantees.* A file named `next` or `kept` is whole, zero and on the disk. What `reserve` has granted can be
//! written. *Assumptions.* Between a grant and the next one a thread appends no more than it asked for; what several
//! threads have been granted at once fits into the segment that is kept back.

use super::Error;
use super::format::BLOCK;
use crate::lock::lock;
use crate::store;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const NEXT: &str = "next";
const KEPT: &str = "kept";
/// Names of files that are not whole.
const PREPARING: &str = "preparing";
const URGENT: &str = "urgent";
pub const OPENING: &str = "opening";
const CHUNK: usize = 1 << 20;
const CHUNKS_PER_SYNC: usize = 8;
const RETRY: Duration = Duration::from_millis(500);

/// What a shard is told that asks for room. Nobody waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// So much may be appended.
    Granted,
    /// A segment is being made. Whoever asked hears when asking again may help.
    Later,
    /// No segment can be made at present.
    Full(DiskFull),
}

/// Tells a shard that was answered `Later` to ask again. Called by the log's threads, which wait for it.
pub type OnRoom = Box<dyn Fn() + Send + Sync>;

/// No room is left for commands. It comes back by itself when the disk has space again.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the disk is full: no segment of the log can be made: {0}")]
pub struct DiskFull(pub String);

#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub smallest: u64,
    pub largest: u64,
}

/// A segment's file, zero from end to end.
pub struct Prepared {
    pub file: File,
    pub bytes: u64,
}

pub struct Pool {
    folder: PathBuf,
    sizes: Sizes,
    /// Free bytes of the current segment and the next one, less what waits to be written.
    room: AtomicI64,
    has_kept: AtomicBool,
    stopping: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    next: Option<Prepared>,
    kept: Option<Prepared>,
    /// Size of the segment that is being written.
    current: u64,
    /// The next one must have at least this.
    wanted: u64,
    /// Why the last try to make one failed.
    full: Option<String>,
    /// Those who were answered `Later`.
    later: Vec<Arc<OnRoom>>,
}

enum Due {
    Kept(u64),
    Next(u64),
}

impl Pool {
    /// Takes over what an earlier process has prepared, and removes what it left half done.
    pub fn open(folder: &Path, sizes: Sizes) -> Result<Pool, Error> {
        for name in [PREPARING, URGENT, OPENING] {
            remove(&folder.join(name))?;
        }
        let state = State {
            next: found(&folder.join(NEXT))?,
            kept: found(&folder.join(KEPT))?,
            current: 0,
            wanted: 0,
            full: None,
            later: Vec::new(),
        };
        Ok(Pool {
            folder: folder.to_path_buf(),
            sizes,
            room: AtomicI64::new(0),
            has_kept: AtomicBool::new(state.kept.is_some()),
            stopping: AtomicBool::new(false),
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// The segment to begin with, under the name `opening`.
    pub fn first(&self, needed: u64) -> Result<Prepared, Error> {
        let path = self.folder.join(OPENING);
        let mut state = self.lock();
        let fits = |prepared: &mut Prepared| prepared.bytes >= needed;
        let failed = Error::io("make a segment of the log as", &path);
        let (name, prepared) = if let Some(next) = state.next.take_if(fits) {
            (NEXT, next)
        } else {
            match self.make_or_smaller(&path, self.sizes.smallest.max(needed), self.sizes.smallest) {
                Ok(prepared) => (OPENING, prepared),
                Err(_) => match state.kept.take_if(fits) {
                    Some(kept) => (KEPT, kept),
                    None => {
                        (OPENING, self.make_or_smaller(&path, self.sizes.smallest, needed).map_err(failed)?)
                    }
                },
            }
        };
        if name != OPENING {
            rename(&self.folder.join(name), &path)?;
        }
        store::sync_folder(&self.folder)?;
        self.has_kept.store(state.kept.is_some(), Ordering::Release);
        state.current = prepared.bytes;
        let next = state.next.as_ref().map_or(0, |next| next.bytes);
        self.room.store((prepared.bytes + next) as i64, Ordering::Release);
        Ok(prepared)
    }

    /// A segment with at least this much room, under this name, its name durable.
    pub fn take(&self, needed: u64, path: &Path) -> Result<Prepared, Error> {
        let prepared = self.take_prepared(needed, path)?;
        let prepared = match prepared {
            Some(prepared) => prepared,
            None => self.make_now(needed, path)?,
        };
        store::sync_folder(&self.folder)?;
        Ok(prepared)
    }

    /// Whether so much may be appended. `on_room` is called once when that may have changed after `Later`.
    pub fn reserve(&self, bytes: usize, on_room: &Arc<OnRoom>) -> Room {
        if self.has(bytes) {
            return Room::Granted;
        }
        let mut state = self.lock();
        if self.has(bytes) {
            return Room::Granted;
        }
        if self.stopping.load(Ordering::Acquire) {
            return Room::Full(DiskFull("the log is closed".into()));
        }
        if let Some(why) = &state.full {
            return Room::Full(DiskFull(why.clone()));
        }
        state.wanted = state.wanted.max((bytes + 2 * BLOCK).next_multiple_of(BLOCK) as u64);
        if !state.later.iter().any(|known| Arc::ptr_eq(known, on_room)) {
            state.later.push(on_room.clone());
        }
        self.changed.notify_all();
        Room::Later
    }

    /// Takes room for what is about to be written, or has turned out to be needed besides.
    pub fn spend(&self, bytes: usize) {
        self.room.fetch_sub(bytes as i64, Ordering::AcqRel);
    }

    /// Free bytes that commands may still take.
    pub fn free(&self) -> u64 {
        let free = if self.has_kept.load(Ordering::Acquire) { self.room.load(Ordering::Acquire) } else { 0 };
        free.max(0) as u64
    }

    /// Why no segment can be made, while that is so.
    pub fn full(&self) -> Option<DiskFull> {
        self.lock().full.clone().map(DiskFull)
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let later = std::mem::take(&mut self.lock().later);
        self.changed.notify_all();
        wake(&later);
    }

    /// Makes what is due, until `stop`.
    pub fn run(&self) {
        let mut state = self.lock();
        while !self.stopping.load(Ordering::Acquire) {
            let Some(due) = state.due(&self.sizes) else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let made = self.make_ahead(&due);
            state = self.lock();
            let kept = made.and_then(|prepared| self.keep(&mut state, &due, prepared));
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            if let Err(error) = &kept {
                state.full = Some(error.to_string());
            }
            let later = std::mem::take(&mut state.later);
            drop(state);
            wake(&later);
            state = self.lock();
            if kept.is_err() {
                state = self.changed.wait_timeout(state, RETRY).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn has(&self, bytes: usize) -> bool {
        self.has_kept.load(Ordering::Acquire) && self.room.load(Ordering::Acquire) >= (bytes + BLOCK) as i64
    }

    fn take_prepared(&self, needed: u64, path: &Path) -> Result<Option<Prepared>, Error> {
        let mut state = self.lock();
        let fits = |prepared: &mut Prepared| prepared.bytes >= needed;
        let prepared = if let Some(next) = state.next.take_if(fits) {
            rename(&self.folder.join(NEXT), path)?;
            next
        } else if let Some(kept) = state.kept.take_if(fits) {
            self.has_kept.store(false, Ordering::Release);
            rename(&self.folder.join(KEPT), path)?;
            self.room.fetch_add(kept.bytes as i64, Ordering::AcqRel);
            kept
        } else {
            return Ok(None);
        };
        state.current = prepared.bytes;
        self.changed.notify_all();
        Ok(Some(prepared))
    }

    /// Only for a record that is longer than what is prepared.
    fn make_now(&self, needed: u64, path: &Path) -> Result<Prepared, Error> {
        let urgent = self.folder.join(URGENT);
        let bytes = self.sizes.smallest.max(needed);
        let prepared = make(&urgent, bytes, &AtomicBool::new(false)).map_err(Error::io("make", &urgent))?;
        rename(&urgent, path)?;
        self.room.fetch_add(prepared.bytes as i64, Ordering::AcqRel);
        Ok(prepared)
    }

    fn make_ahead(&self, due: &Due) -> io::Result<Prepared> {
        let path = self.folder.join(PREPARING);
        match *due {
            Due::Kept(bytes) => make(&path, bytes, &self.stopping),
            Due::Next(bytes) => self.make_or_smaller(&path, bytes, self.sizes.smallest),
        }
    }

    /// A smaller one is better than none.
    fn make_or_smaller(&self, path: &Path, mut bytes: u64, least: u64) -> io::Result<Prepared> {
        loop {
            match make(path, bytes, &self.stopping) {
                Err(_) if bytes / 2 >= least && !self.stopping.load(Ordering::Acquire) => {
                    bytes = (bytes / 2).next_multiple_of(BLOCK as u64);
                }
                made => return made,
            }
        }
    }

    fn keep(&self, state: &mut State, due: &Due, prepared: Prepared) -> io::Result<()> {
        let name = if matches!(due, Due::Kept(_)) { KEPT } else { NEXT };
        fs::rename(self.folder.join(PREPARING), self.folder.join(name))?;
        if matches!(due, Due::Kept(_)) {
            state.kept = Some(prepared);
            self.has_kept.store(true, Ordering::Release);
        } else {
            let old = state.next.as_ref().map_or(0, |next| next.bytes);
            self.room.fetch_add(prepared.bytes as i64 - old as i64, Ordering::AcqRel);
            state.next = Some(prepared);
            state.wanted = 0;
        }
        state.full = None;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn wake(later: &[Arc<OnRoom>]) {
    for on_room in later {
        on_room();
    }
}

impl State {
    fn due(&self, sizes: &Sizes) -> Option<Due> {
        if self.kept.is_none() {
            return Some(Due::Kept(sizes.smallest));
        }
        let bytes = (2 * self.current).clamp(sizes.smallest, sizes.largest).max(self.wanted);
        match &self.next {
            Some(next) if next.bytes >= self.wanted => None,
            _ => Some(Due::Next(bytes)),
        }
    }
}

/// Writes a file of zeros and brings it to the disk, with pauses in which commits get their turn.
fn make(path: &Path, bytes: u64, stop: &AtomicBool) -> io::Result<Prepared> {
    let filled = fill(path, bytes, stop);
    if filled.is_err() {
        let _ = fs::remove_file(path);
    }
    filled
}

fn fill(path: &Path, bytes: u64, stop: &AtomicBool) -> io::Result<Prepared> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    // Says that the disk is full before it is filled up. Not every file system can.
    let allocated = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes);
    if let Err(full @ rustix::io::Errno::NOSPC) = allocated {
        return Err(full.into());
    }
    let zeros = vec![0; CHUNK.min(bytes as usize)];
    let mut at = 0;
    while at < bytes {
        if stop.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the log is closing"));
        }
        let length = zeros.len().min((bytes - at) as usize);
        file.write_all_at(&zeros[..length], at)?;
        at += length as u64;
        if at % (CHUNK * CHUNKS_PER_SYNC) as u64 == 0 {
            file.sync_data()?;
        }
    }
    file.sync_all()?;
    Ok(Prepared { file, bytes })
}

fn found(path: &Path) -> Result<Option<Prepared>, Error> {
    match File::options().read(true).write(true).open(path) {
        Ok(file) => {
            let bytes = file.metadata().map_err(Error::io("read", path))?.len();
            Ok(Some(Prepared { file, bytes: bytes - bytes % BLOCK as u64 }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Io { what: "open", path: path.to_path_buf(), error }),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::Io { what: "remove", path: path.to_path_buf(), error })
        }
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(Error::io("rename", from))
}
