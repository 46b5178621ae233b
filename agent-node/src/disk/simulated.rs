//! A disk in memory that loses what was not synced, as a disk may: every 512-byte sector of every write by itself, and
//! names in their order. It fills up, fails, and stops a process in the middle of an operation, when it is told to.
//!
//! *Guarantees.* What a process reads is what was written, synced or not, until the power goes. After a power loss every
//! file holds what was synced last, and any of the sectors written since; a folder has the names that it had when it was
//! synced last, and some of the changes since, up to one of them. *Assumptions.* Files are read and written by one process
//! at a time; folders are made before the power can go.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Where all simulated disks are.
const ROOT: &str = "/simulated";
const SECTOR: usize = 512;
const BLOCK: u64 = 4096;
static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

static DISKS: Mutex<BTreeMap<u64, Weak>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

type Weak = std::sync::Weak<Mutex<State>>;

/// The disk that a path is on.
pub fn of(path: &Path) -> Option<Disk> {
    let number = path.strip_prefix(ROOT).ok()?.iter().next()?.to_str()?.parse().ok()?;
    let state = crate::lock::lock(&DISKS).get(&number).and_then(Weak::upgrade);
    Some(Disk { number, state: state.expect("a path on a disk that is there") })
}

/// Clones are the same disk. It goes with the last of them and of its open files.
#[derive(Clone, Debug)]
pub struct Disk {
    number: u64,
    state: Arc<Mutex<State>>,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is killed: what it has written is there.
    Killed,
    /// The machine is gone, and what was not synced may be.
    PowerLoss,
}

#[derive(Debug)]
struct State {
    random: SmallRng,
    /// The files that processes see, and their folders.
    names: BTreeMap<PathBuf, u64>,
    folders: BTreeSet<PathBuf>,
    /// What would be found after a power loss, and what would perhaps be found too.
    durable: BTreeMap<PathBuf, u64>,
    changes: Vec<Change>,
    files: BTreeMap<u64, Content>,
    next: u64,
    /// Rises when a process ends: what it had open is closed.
    process: u64,
    /// Operations that change something, since the beginning.
    operations: u64,
    /// The process ends in the middle of that one.
    ends_at: Option<u64>,
    ended: bool,
    /// The syncs after that operation fail.
    syncs_fail: bool,
    /// Bytes that all files may have together.
    capacity: u64,
}

/// What was done to a folder and is not known to be on the disk.
#[derive(Debug)]
struct Change {
    folder: PathBuf,
    /// Names, and the files that have them then.
    names: Vec<(PathBuf, Option<u64>)>,
}

#[derive(Debug, Default)]
struct Content {
    seen: Bytes,
    durable: Bytes,
    unsynced: Vec<Write>,
}

#[derive(Clone, Debug)]
enum Write {
    Bytes { at: u64, bytes: Vec<u8> },
    Length(u64),
}

/// The bytes of a file; blocks of zeros take no memory.
#[derive(Clone, Debug, Default)]
struct Bytes {
    blocks: BTreeMap<u64, Box<[u8; BLOCK as usize]>>,
    length: u64,
}

#[derive(Debug)]
pub struct File {
    disk: Disk,
    number: u64,
    process: u64,
}

impl Disk {
    pub fn new(seed: u64) -> Disk {
        let state = State {
            random: SmallRng::seed_from_u64(seed),
            names: BTreeMap::new(),
            folders: BTreeSet::new(),
            durable: BTreeMap::new(),
            changes: Vec::new(),
            files: BTreeMap::new(),
            next: 0,
            process: 0,
            operations: 0,
            ends_at: None,
            ended: false,
            syncs_fail: false,
            capacity: u64::MAX,
        };
        let state = Arc::new(Mutex::new(state));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        crate::lock::lock(&DISKS).insert(number, Arc::downgrade(&state));
        let disk = Disk { number, state };
        disk.lock().folders.insert(disk.root());
        disk
    }

    /// The folder that everything on it is in.
    pub fn root(&self) -> PathBuf {
        Path::new(ROOT).join(self.number.to_string())
    }

    /// The process that uses it is ended in the middle of an operation, so many from now.
    pub fn ends_in(&self, operations: u64) {
        let mut state = self.lock();
        state.ends_at = Some(state.operations + operations);
    }

    /// Whether the process was ended in the middle of an operation: all that it tries fails.
    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Nothing of what it was told to do wrong happens any more.
    pub fn heal(&self) {
        let mut state = self.lock();
        (state.ends_at, state.syncs_fail, state.capacity) = (None, false, u64::MAX);
    }

    /// Whether the process that uses it has a reason to end.
    pub fn has_failed(&self) -> bool {
        let state = self.lock();
        state.ended || state.syncs_fail
    }

    /// From now on no sync succeeds, until the process ends.
    pub fn fail_syncs(&self) {
        self.lock().syncs_fail = true;
    }

    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// The process that used it has ended.
    pub fn end(&self, end: End) {
        let mut state = self.lock();
        state.process += 1;
        (state.ends_at, state.ended, state.syncs_fail) = (None, false, false);
        if end == End::PowerLoss {
            state.lose_power();
        }
    }

    /// Changes a byte of a file that is on the disk.
    pub fn flip(&self, path: &Path, at: u64) {
        let mut state = self.lock();
        let file = state.names[path];
        let content = state.files.get_mut(&file).expect("a file that has a name");
        for bytes in [&mut content.seen, &mut content.durable] {
            let mut byte = [0];
            bytes.read(&mut byte, at);
            bytes.write(at, &[byte[0] ^ 0x10]);
        }
    }

    pub fn open(&self, path: &Path, create: bool) -> io::Result<File> {
        let mut state = self.lock();
        let file = match state.names.get(path) {
            Some(file) => *file,
            None if create => {
                state.begin_operation()?;
                let file = state.next;
                state.next += 1;
                state.files.insert(file, Content::default());
                state.change(vec![(path.to_owned(), Some(file))]);
                file
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(File { disk: self.clone(), number: file, process: state.process })
    }

    pub fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        if !state.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = state.names.keys().chain(&state.folders).filter(|path| path.parent() == Some(folder));
        Ok(all.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    pub fn is_folder(&self, path: &Path) -> bool {
        self.lock().folders.contains(path)
    }

    pub fn make_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.begin_operation()?;
        state
            .folders
            .extend(path.ancestors().take_while(|path| path.starts_with(self.root())).map(Path::to_owned));
        Ok(())
    }

    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.begin_operation()?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change(vec![(from.to_owned(), None), (to.to_owned(), Some(file))]);
        Ok(())
    }

    pub fn exchange(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.begin_operation()?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let other = state.names.get(to).copied();
        state.change(vec![(from.to_owned(), other), (to.to_owned(), Some(file))]);
        Ok(())
    }

    pub fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.begin_operation()?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(vec![(path.to_owned(), None)]);
        Ok(())
    }

    pub fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.begin_sync()?;
        let (synced, rest) =
            std::mem::take(&mut state.changes).into_iter().partition(|change| change.folder == folder);
        state.changes = rest;
        state.keep(synced);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        crate::lock::lock(&self.state)
    }
}

impl State {
    fn used(&self) -> u64 {
        self.files.values().map(|content| content.seen.length.next_multiple_of(BLOCK)).sum()
    }

    /// An error: the process ends here.
    fn begin_operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.ends_at.is_some_and(|at| self.operations >= at) {
            self.ended = true;
        }
        if self.ended { Err(io::Error::other("the process is killed")) } else { Ok(()) }
    }

    fn begin_sync(&mut self) -> io::Result<()> {
        self.begin_operation()?;
        if self.syncs_fail { Err(io::Error::other("the disk fails")) } else { Ok(()) }
    }

    /// Gives names to files, or takes them away, all at once.
    fn change(&mut self, names: Vec<(PathBuf, Option<u64>)>) {
        for (name, file) in &names {
            match file {
                Some(file) => self.names.insert(name.clone(), *file),
                None => self.names.remove(name),
            };
        }
        let folder = names[0].0.parent().expect("a file is in a folder").to_owned();
        self.changes.push(Change { folder, names });
        self.forget();
    }

    fn keep(&mut self, changes: Vec<Change>) {
        for (name, file) in changes.into_iter().flat_map(|change| change.names) {
            match file {
                Some(file) => self.durable.insert(name, file),
                None => self.durable.remove(&name),
            };
        }
        self.forget();
    }

    /// Forgets files that have no name and can't get one again.
    fn forget(&mut self) {
        let of_changes =
            self.changes.iter().flat_map(|change| &change.names).filter_map(|(_, file)| file.as_ref());
        let named: BTreeSet<u64> =
            self.names.values().chain(self.durable.values()).chain(of_changes).copied().collect();
        self.files.retain(|file, _| named.contains(file));
    }

    fn lose_power(&mut self) {
        let folders: BTreeSet<PathBuf> = self.changes.iter().map(|change| change.folder.clone()).collect();
        for folder in folders {
            let (mut of_folder, rest): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.changes).into_iter().partition(|change| change.folder == folder);
            self.changes = rest;
            of_folder.truncate(self.random.random_range(0..=of_folder.len()));
            self.keep(of_folder);
        }
        self.names = self.durable.clone();
        self.forget();
        // Mostly some of it is there: also all and nothing are worth a try.
        let survives = [0.0, 0.3, 0.7, 0.95, 1.0][self.random.random_range(0..5)];
        for content in self.files.values_mut() {
            for write in std::mem::take(&mut content.unsynced) {
                match write {
                    Write::Length(length) if self.random.random_bool(survives) => {
                        content.durable.set_length(length);
                    }
                    Write::Length(_) => {}
                    Write::Bytes { at, bytes } => {
                        let mut at = at;
                        for sector in sectors(at, &bytes) {
                            if self.random.random_bool(survives) {
                                content.durable.write(at, sector);
                            }
                            at += sector.len() as u64;
                        }
                    }
                }
            }
            content.seen = content.durable.clone();
        }
    }
}

/// What is written to each sector of the disk.
fn sectors(at: u64, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let first = (SECTOR - at as usize % SECTOR).min(bytes.len());
    let (first, rest) = bytes.split_at(first);
    std::iter::once(first).chain(rest.chunks(SECTOR)).filter(|sector| !sector.is_empty())
}

impl Content {
    fn write(&mut self, write: Write) {
        self.seen.apply(&write);
        self.unsynced.push(write);
    }
}

impl Bytes {
    fn apply(&mut self, write: &Write) {
        match write {
            Write::Bytes { at, bytes } => self.write(*at, bytes),
            Write::Length(length) => self.set_length(*length),
        }
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        self.length = self.length.max(at + bytes.len() as u64);
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let from = (at % BLOCK) as usize;
            let (piece, more) = rest.split_at((BLOCK as usize - from).min(rest.len()));
            if *piece != ZEROS[..piece.len()] || self.blocks.contains_key(&(at / BLOCK)) {
                let block = self.blocks.entry(at / BLOCK).or_insert_with(|| Box::new([0; BLOCK as usize]));
                block[from..from + piece.len()].copy_from_slice(piece);
            }
            (at, rest) = (at + piece.len() as u64, more);
        }
    }

    fn set_length(&mut self, length: u64) {
        if length < self.length {
            self.blocks.retain(|block, _| block * BLOCK < length);
            if let Some(block) = self.blocks.get_mut(&(length / BLOCK)) {
                block[(length % BLOCK) as usize..].fill(0);
            }
        }
        self.length = length;
    }

    fn read(&self, bytes: &mut [u8], at: u64) {
        bytes.fill(0);
        let end = at + bytes.len() as u64;
        for (number, block) in self.blocks.range(at / BLOCK..end.div_ceil(BLOCK)) {
            let (from, to) = ((number * BLOCK).max(at), ((number + 1) * BLOCK).min(end));
            let in_block = (from - number * BLOCK) as usize..(to - number * BLOCK) as usize;
            bytes[(from - at) as usize..(to - at) as usize].copy_from_slice(&block[in_block]);
        }
    }
}

impl File {
    pub fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let goes_on = !state.ended;
        if let Err(ended) = state.begin_operation() {
            let written = if goes_on { state.random.random_range(0..=bytes.len()) } else { 0 };
            self.content(&mut state).write(Write::Bytes { at, bytes: bytes[..written].to_vec() });
            return Err(ended);
        }
        self.has_room(&mut state, at + bytes.len() as u64)?;
        self.content(&mut state).write(Write::Bytes { at, bytes: bytes.to_vec() });
        Ok(())
    }

    pub fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let content = self.content(&mut state);
        if at + bytes.len() as u64 > content.seen.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        content.seen.read(bytes, at);
        Ok(())
    }

    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length()? as usize];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    pub fn length(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        Ok(self.content(&mut state).seen.length)
    }

    pub fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.state()?;
        if self.content(&mut state).seen.length == length {
            return Ok(());
        }
        state.begin_operation()?;
        self.content(&mut state).write(Write::Length(length));
        Ok(())
    }

    pub fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.begin_operation()?;
        self.has_room(&mut state, bytes)?;
        if self.content(&mut state).seen.length < bytes {
            self.content(&mut state).write(Write::Length(bytes));
        }
        Ok(())
    }

    pub fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let synced = state.begin_sync();
        let is_dead = state.ended;
        let content = self.content(&mut state);
        if synced.is_ok() {
            for write in std::mem::take(&mut content.unsynced) {
                content.durable.apply(&write);
            }
        } else if !is_dead {
            // What could not be written is not tried again: later syncs leave it out.
            content.unsynced.clear();
        }
        synced
    }

    fn has_room(&self, state: &mut State, length: u64) -> io::Result<()> {
        let has = self.content(state).seen.length.next_multiple_of(BLOCK);
        let more = length.next_multiple_of(BLOCK).saturating_sub(has);
        if more > 0 && state.capacity < u64::MAX && state.used() + more > state.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.process == self.process { Ok(state) } else { Err(io::Error::other("its process has ended")) }
    }

    fn content<'a>(&self, state: &'a mut State) -> &'a mut Content {
        state.files.entry(self.number).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;

    #[test]
    fn what_was_synced_is_there_after_a_power_loss_and_sectors_since_may_be() {
        let (mut old, mut new, mut both) = (0, 0, 0);
        for seed in 0..200 {
            let disk = Disk::new(seed);
            let path = disk.root().join("file");
            let file = disk::create(&path).unwrap();
            file.write_all_at(&[1; 3 * SECTOR], 0).unwrap();
            file.sync_all().unwrap();
            disk::sync_folder(&disk.root()).unwrap();
            file.write_all_at(&[2; SECTOR], SECTOR as u64 / 2).unwrap();
            disk.end(End::Killed);
            assert_eq!(disk::read(&path).unwrap()[SECTOR / 2], 2, "a killed process leaves what it wrote");
            assert!(file.sync_all().is_err(), "its files are closed");
            disk.end(End::PowerLoss);
            let bytes = disk::read(&path).unwrap();
            assert_eq!((bytes.len(), bytes[0], bytes[3 * SECTOR - 1]), (3 * SECTOR, 1, 1));
            let found = [bytes[SECTOR / 2], bytes[SECTOR]];
            old += u32::from(found == [1, 1]);
            new += u32::from(found == [2, 2]);
            both += u32::from(found[0] != found[1]);
        }
        assert!(old > 20 && new > 20 && both > 20, "{old} {new} {both}");
    }

    #[test]
    fn names_that_were_not_synced_may_be_lost_in_order() {
        let mut seen = BTreeSet::new();
        for seed in 0..100 {
            let disk = Disk::new(seed);
            let name = |name: &str| disk.root().join(name);
            disk::create(&name("a")).unwrap();
            disk::sync_folder(&disk.root()).unwrap();
            disk::create(&name("b")).unwrap();
            disk::exchange(&name("a"), &name("b")).unwrap();
            disk::rename(&name("b"), &name("c")).unwrap();
            disk::remove(&name("a")).unwrap();
            disk.end(End::PowerLoss);
            seen.insert(disk::list(&disk.root()).unwrap().join(" "));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "a b", "a c", "c"]);
    }

    #[test]
    fn it_fills_up_fails_and_ends_a_process_when_it_is_told_to() {
        let disk = Disk::new(1);
        let file = disk::create(&disk.root().join("file")).unwrap();
        disk.set_capacity(2 * BLOCK);
        assert_eq!(file.allocate(3 * BLOCK).unwrap_err().kind(), io::ErrorKind::StorageFull);
        file.write_all_at(&[1; 5000], 0).unwrap();
        assert_eq!(file.write_all_at(&[1], 2 * BLOCK).unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.fail_syncs();
        assert!(file.sync_data().is_err() && !disk.has_ended());
        disk.end(End::Killed);
        let file = disk::open_to_write(&disk.root().join("file")).unwrap();
        file.sync_all().unwrap();
        disk.ends_in(2);
        file.write_all_at(&[2; 10], 0).unwrap();
        assert!(file.write_all_at(&[3; 10], 0).is_err() && disk.has_ended());
        assert!(file.sync_all().is_err() && disk::create(&disk.root().join("other")).is_err());
        disk.end(End::PowerLoss);
    }
}
