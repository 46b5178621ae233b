//! The write-ahead log of a node: all records of all its slots in one file after the other, so that one `fdatasync`
//! serves them all. `docs/log.md` describes the files, and how to get out of each error.
//!
//! *Guarantees.* `on_durable(p)` comes after every record before `p` is on the disk, in order. What `open` gives out
//! is on the disk. A torn tail is cut; damage before the last mark is never skipped. A write or sync that fails ends
//! the process. *Assumptions.* `Appender::reserve` is asked before a command runs. The store's folder is locked.

mod chain;
mod committer;
mod contents;
mod counts;
mod covered;
mod format;
#[doc(hidden)]
pub mod fuzzed;
mod judge;
mod look;
mod places;
mod prepare;
mod room;
mod scan;
mod segments;
#[cfg(test)]
mod tests;
mod writer;

use crate::disk::{self, File};
use crate::lock::lock;
use crate::store::{self, Store};
use chain::Chain;
use committer::{Committer, Intake};
use contents::Contents;
use judge::End;
use places::Places;
use prepare::Pool;
use room::{Ask, Class};
use segments::{Scanned, Segments, Unbegun};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use writer::Writer;

#[cfg(test)]
pub use contents::Contents as Segmented;
pub use contents::{Held, Run};
pub use counts::Counts;
pub use covered::Covered;
pub use format::{BODY_MAX, BatchHead, Head, Kind, Position, RECORD as RECORD_HEAD};
pub use judge::{Broken, Damage, Lost, Seen};
pub use look::{Look, look, read};
pub use places::Reader;
pub use room::{DiskFull, Room, Sizes};
pub use scan::Part;

const FOLDER: &str = store::LOG;
/// Segments begin small, so that a fresh node starts at once, and follow use.
pub const SIZES: Sizes = Sizes { smallest: 4 << 20, largest: 64 << 20 };

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("cannot {what} {}: {error}", path.display())]
    /// The text has it all: as a source it would be said twice.
    Io { what: &'static str, path: PathBuf, error: io::Error },
    #[error(
        "the log in {} is damaged and has lost records that were already acknowledged: {}; {}",
        folder.display(),
        damage,
        store::LOST
    )]
    Damaged { folder: PathBuf, damage: Damage },
    #[error(
        "segment {segment} of the log in {} has format {format}, and this version reads only format {}; \
         run the version that wrote it, or begin with an empty folder",
        folder.display(),
        format::VERSION
    )]
    OtherFormat { folder: PathBuf, segment: u64, format: u16 },
    #[error("segment {segment} of the log: record {} of slot {} can't be replayed: {why}", head.lsn, head.slot)]
    Refused { segment: u64, head: Head, why: String },
    #[error(
        "record {position} of the log in {}, which has been on the disk, can't be read again: {why}; \
         see what the kernel's log says of the disk",
        folder.display()
    )]
    Lost { folder: PathBuf, position: u64, why: &'static str },
    #[error(
        "{} {what}: everything that this node has acknowledged is missing; {}",
        folder.display(),
        store::LOST
    )]
    Gone { folder: PathBuf, what: &'static str },
    #[error("another process has opened {} since", folder.display())]
    NotOurs { folder: PathBuf },
}

impl Error {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |error| Error::Io { what, path, error }
    }
}

/// How far the reading of a log at its start has come, in bytes of its segments.
#[derive(Debug, Default)]
pub struct Progress {
    read: AtomicU64,
    of: AtomicU64,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: &AtomicU64| bytes.load(Relaxed) >> 20;
        write!(f, "it reads its log: {} of {} MiB", megabytes(&self.read), megabytes(&self.of))
    }
}

/// How often a start that takes long says how far it is.
const SAY: Duration = Duration::from_secs(5);

/// What `open` found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    pub records: u64,
    pub segments: u64,
    /// Length of a tail that was being written when the last process ended, and is cut.
    pub torn_bytes: u64,
    /// Records past the last mark, which were written anew.
    pub renewed: u64,
    /// After the last record.
    pub position: Position,
}

/// Takes a record that was read back, or says why not.
pub type Each<'a> = dyn FnMut(Position, Head, &[u8]) -> Result<(), String> + 'a;
/// Hears up to where the log is on the disk. Called by the log's own thread, which waits for it.
pub type OnDurable = Box<dyn Fn(Position) + Send>;

/// What a log's threads run.
pub struct Loops {
    committer: Committer,
    pool: Arc<Pool>,
}

#[cfg(test)]
impl Loops {
    /// Writes and syncs what has gathered. False: nothing had.
    pub fn commit(&mut self) -> Result<bool, Error> {
        Ok(self.committer.turn(false)? == committer::Turn::Wrote)
    }

    /// Goes on in the next segment before this one is full, if that takes no room from anybody. False: it does not.
    pub fn roll(&mut self) -> Result<bool, Error> {
        self.committer.roll()
    }

    /// Makes a segment that is due. False: none was made.
    pub fn prepare(&self) -> bool {
        self.pool.turn()
    }
}

pub struct Log {
    intake: Arc<Intake>,
    pool: Arc<Pool>,
    counts: Arc<Counts>,
    folder: PathBuf,
    places: Arc<Places>,
    contents: Arc<Mutex<Contents>>,
    durable: Arc<AtomicU64>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: Arc<File>,
}

impl Log {
    /// Gives every record to `each` that is not covered, in the order in which they were written, and goes on after them.
    pub fn open(
        store: &Store,
        sizes: Sizes,
        covered: &Covered,
        each: &mut Each,
        progress: &Progress,
        on_durable: OnDurable,
    ) -> Result<(Log, Opened), Error> {
        let (log, loops, opened) = Log::load(store, sizes, covered, each, progress, on_durable)?;
        log.start(loops)?;
        Ok((log, opened))
    }

    /// The same, and whoever calls runs the loops, or lets them run by `start`.
    pub fn load(
        store: &Store,
        sizes: Sizes,
        covered: &Covered,
        each: &mut Each,
        progress: &Progress,
        on_durable: OnDurable,
    ) -> Result<(Log, Loops, Opened), Error> {
        let folder = store.folder().join(FOLDER);
        let places = Arc::new(Places::default());
        let mut take = |seen: Seen| match seen {
            Seen::Record(_, head, _) if head.lsn <= covered.lsn(head.slot) => Ok(()),
            Seen::Record(position, head, body) => each(position, head, body),
            Seen::Batch(head, at) => {
                places.note(head, at as u64);
                Ok(())
            }
        };
        let (segments, mut scanned) = look::find(&folder, store.id(), covered, progress, &mut take)?;
        if let Some(refusal) = look::refusal(&folder, store.had_ring(), &mut scanned) {
            return Err(refusal);
        }
        let Scanned { end, unbegun, begun, contents } = scanned;
        for place in &end.warnings {
            tracing::warn!(
                %place,
                folder = %folder.display(),
                "a part of the log that was on the disk has changed; no record is lost, but check the disk"
            );
        }
        let frames = segments.unsynced(&end)?;
        let counts = Arc::new(Counts::default());
        let (broken, unbegun): (Vec<Unbegun>, Vec<Unbegun>) =
            unbegun.into_iter().partition(|unbegun| !unbegun.is_ready() || unbegun.index < begun);
        let ready = unbegun.into_iter().map(|made| (made.index, made.path, !made.is_zero)).collect();
        let pool = Arc::new(Pool::open(&folder, sizes, counts.clone(), ready, segments.after())?);
        let chain = Chain::new(store.id(), store.incarnation(), end.until.clone());
        places.cut(Position(end.until.records));
        let (watch, known) = (store.watch(), places.clone());
        let contents = Arc::new(Mutex::new(contents));
        let mut writer = Writer::new(&folder, chain, pool.clone(), watch, counts, known, contents.clone());
        let found = Found { segments: &segments, end: &end, broken: &broken, begun, frames: &frames };
        go_on(&found, &pool, &mut writer, store.incarnation())?;
        if let Ok(bytes) = disk::length(&places::path(&folder, begun)) {
            lock(&contents).measured(begun, bytes);
        }
        let opened = Opened {
            records: end.records,
            segments: segments.files.len() as u64,
            torn_bytes: end.torn_bytes,
            renewed: end.position.0 - end.until.records,
            position: writer.position(),
        };
        let (intake, counts) = (Arc::new(Intake::new(writer.position())), writer.counts());
        let durable = Arc::new(AtomicU64::new(writer.position().0));
        let (position, told) = (durable.clone(), on_durable);
        let on_durable: OnDurable = Box::new(move |to: Position| {
            position.store(to.0, Relaxed);
            told(to);
        });
        let committer = Committer::new(writer, intake.clone(), pool.clone(), on_durable);
        let loops = Loops { committer, pool: pool.clone() };
        let (threads, lock) = (Mutex::default(), store.lock());
        let log = Log { intake, pool, counts, folder, places, contents, durable, threads, _lock: lock };
        Ok((log, loops, opened))
    }

    /// A shard's way to append. `on_room` is called when asking again after `Room::Later` may help, by threads of the
    /// log and of other shards, which wait for it.
    pub fn appender(&self, on_room: impl Fn() + Send + Sync + 'static) -> Appender {
        let (intake, pool) = (self.intake.clone(), self.pool.clone());
        Appender { who: pool.asker(Arc::new(on_room)), intake, pool, granted: 0 }
    }

    /// Reads what is on the disk again.
    pub fn reader(&self) -> Reader {
        Reader::new(&self.folder, self.places.clone())
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Up to where it is on the disk.
    pub fn durable(&self) -> Position {
        Position(self.durable.load(Relaxed))
    }

    /// What the segments hold, in order.
    pub fn held(&self) -> VecDeque<Held> {
        lock(&self.contents).held().clone()
    }

    /// Lets the segments before this one go, but none that is being written, nor the one before while that is not on the
    /// disk yet. Their files are used again for those to
    /// come, as long as they have no more than `spare` bytes together, or there are two. Nobody may read them any more.
    pub fn drop_before(&self, segment: u64, spare: u64) -> Result<(), Error> {
        loop {
            let first = lock(&self.contents).first();
            let Some(first) = first.filter(|first| *first < segment) else { return Ok(()) };
            self.places.dropped(first + 1);
            // One after the other, so that none is ever missing between two.
            self.pool.let_go(first, spare)?;
            lock(&self.contents).dropped();
        }
    }

    /// Bytes of all files of the log.
    pub fn bytes(&self) -> u64 {
        self.held().iter().map(|held| held.bytes).sum::<u64>() + self.pool.ahead_bytes()
    }

    /// Bytes that commands may still take, and why there won't be more, if that is so.
    pub fn free(&self) -> (u64, Option<DiskFull>) {
        (self.pool.free(), self.pool.full())
    }

    /// What is free of the disk for this process, and the size of the disk.
    pub fn disk(&self) -> io::Result<(u64, u64)> {
        disk::space(&self.folder)
    }

    /// Brings everything to the disk and ends the threads. No `append` may follow.
    pub fn close(&self) {
        self.intake.close();
        self.pool.stop();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// Runs the loops on threads of their own, until `close`.
    pub fn start(&self, loops: Loops) -> Result<(), Error> {
        let Loops { committer, pool } = loops;
        let committing = named("log", move || committer.run())?;
        lock(&self.threads).push(committing);
        let preparing = named("log-prepare", move || pool.run())?;
        lock(&self.threads).push(preparing);
        Ok(())
    }
}

/// What a start has found.
struct Found<'a> {
    segments: &'a Segments,
    end: &'a End,
    /// Files in which nothing is sound.
    broken: &'a [Unbegun],
    begun: u64,
    /// Records past the mark.
    frames: &'a [u8],
}

/// Makes the writer fit to go on after what was found, and the files too.
fn go_on(found: &Found, pool: &Pool, writer: &mut Writer, incarnation: u64) -> Result<(), Error> {
    let Found { segments, end, broken, begun, frames } = found;
    let is_whole = *begun > 0 && frames.is_empty() && end.torn_bytes == 0 && broken.is_empty();
    if is_whole && let Some((ident, file, at)) = segments.last(end)? {
        // It is left as it is: a start needs no block of a disk that is full.
        writer.goes_on_after(ident, file, at);
    } else {
        segments.shorten(end)?;
        match pool.begin(writer.needed_to_renew(frames)) {
            Ok(prepared) => {
                writer.renew(prepared, frames)?;
                segments.cut(end, broken, incarnation)?;
            }
            // Nothing has to be written yet, and what is broken can stay.
            Err(error) if *begun > 0 && frames.is_empty() => {
                tracing::warn!(
                    %error,
                    "no segment of the log can be created now; commands wait or are refused until one can be"
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

/// What one shard has been granted, and its way to append. Nothing here waits.
pub struct Appender {
    intake: Arc<Intake>,
    pool: Arc<Pool>,
    /// Its number among those who ask for room.
    who: u64,
    /// What of the log's room is this shard's.
    granted: u64,
}

/// So much more than is asked for is granted where it is there, so that not each command asks the whole log.
const MORE: u64 = 64 << 10;

impl Appender {
    /// Whether so many records, with bodies of so many bytes together, may be appended at once. Ask before commands run,
    /// for all that has gathered since the last `append` and what the next one may add. A grant holds until the next
    /// `append` or `release`, and a larger one takes its place; after `Later` and `Full` it holds all the same.
    pub fn reserve(&mut self, records: usize, bytes: usize) -> Room {
        let ask = Ask::new(Class::Commands, records, bytes);
        if ask.bytes <= self.granted {
            return Room::Granted;
        }
        match self.ask(Ask { bytes: ask.bytes + MORE, ..ask }) {
            Room::Granted => Room::Granted,
            Room::Later | Room::Full(_) => self.ask(ask),
        }
    }

    /// The same for records that a slot writes about itself. They find room for longer than those of commands.
    pub fn reserve_control(&mut self, records: usize, bytes: usize) -> Room {
        let ask = Ask::new(Class::Control, records, bytes);
        if ask.bytes <= self.granted { Room::Granted } else { self.ask(ask) }
    }

    fn ask(&mut self, ask: Ask) -> Room {
        let room = self.pool.ask(self.who, ask, self.granted);
        if room == Room::Granted {
            self.granted = ask.bytes;
        }
        room
    }

    /// Adds records, whose bodies are ranges of `buffer`, and returns the place after them.
    pub fn append(&mut self, records: &[(Head, Range<usize>)], buffer: &[u8]) -> Position {
        let used = room::cost(records.len(), records.iter().map(|(_, body)| body.len()).sum());
        self.pool.append(self.who, std::mem::take(&mut self.granted), used);
        self.intake.append(records, buffer, used)
    }

    /// Gives back what was granted and is not used. Call it before a sleep.
    pub fn release(&mut self) {
        if self.granted > 0 {
            self.pool.append(self.who, std::mem::take(&mut self.granted), 0);
        }
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.pool.leave(self.who, self.granted);
    }
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let span = tracing::Span::current();
    thread::Builder::new()
        .name(name.into())
        .spawn(move || span.in_scope(run))
        .map_err(Error::io("start the thread", Path::new(name)))
}
