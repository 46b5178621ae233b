//! The data folder: whose it is, that only one process has it, and the small files in it.
//!
//! *Guarantees.* A folder that another plan, another ordinal, a newer version or anything else has filled is refused
//! and left as it is. Each open has a higher incarnation than all before, and it is on the disk before `open` returns.
//! Small files are whole: the one before, or the new one. A file that the node needs and that is gone, empty or
//! changed is refused with what to do. The incarnation, and a configuration that is not twice as long as those before,
//! need no space that the folder does not have already. *Assumptions.* The file system renames atomically; where its
//! locks do not reach other machines, `Incarnation::still_ours` finds a second process at each new segment of the log.

mod look;

use crate::broken::{self, Broken};
use crate::disk::{self, File};
use crate::random;
use std::fmt::Write as _;
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use look::in_use;
pub use look::{Look, Owner, look};

/// The format of the folder that this version writes and reads; all others are refused.
pub const FORMAT: u32 = 3;

/// The folder of the log, which is there before the folder counts as one of a store.
pub const LOG: &str = "log";
/// The folder of snapshots, which is there from the first one on.
pub const SNAPSHOTS: &str = "snapshots";

const STORE: &str = "store";
const LOCK: &str = "lock";
const INCARNATION: &str = "incarnation";
const CONFIGURATION: &str = "configuration";
const HAD_RING: &str = "had-ring";
const ROLLED_BACK: &str = "rolled-back";
/// Ends the names of files that are being written.
const NEW: &str = ".new";

#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub plan_uid: String,
    pub ordinal: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {what} {}: {error}", path.display())]
    /// The text has it all: as a source it would be said twice.
    Io { what: &'static str, path: PathBuf, error: io::Error },
    #[error(
        "{} is not a data folder of a node: it holds {found}; name an empty folder, or the one that this node had",
        folder.display()
    )]
    Foreign { folder: PathBuf, found: String },
    #[error(
        "{} belongs to the plan with uid {has}, and this node to {wants}; \
         name an empty folder, or go back to the plan that wrote it",
        folder.display()
    )]
    OtherPlan { folder: PathBuf, has: String, wants: String },
    #[error(
        "{} belongs to node {has} of the plan, and this is node {wants}; mount the volume of node {wants}",
        folder.display()
    )]
    OtherOrdinal { folder: PathBuf, has: u16, wants: u16 },
    #[error(
        "{} has format {has}, and this version reads only format {FORMAT}; run the version that wrote it, or name an \
         empty folder",
        folder.display()
    )]
    OtherFormat { folder: PathBuf, has: u32 },
    #[error("{} is in use by another process{holder}; end that one first, or name another folder", folder.display())]
    InUse { folder: PathBuf, holder: String },
    #[error(
        "{} was restored to an earlier state: {why}. Restore the newest state of the folder. Or, to continue with the \
         older state and lose all later changes, write a number higher than the highest incarnation named above into \
         the file `{INCARNATION}`, and delete the file `{ROLLED_BACK}`",
        folder.display()
    )]
    RolledBack { folder: PathBuf, why: String },
    #[error("{} is damaged: {why}; {remedy}", path.display())]
    Damaged { path: PathBuf, why: &'static str, remedy: String },
}

/// An open data folder. Held by this process until the last clone of its lock goes.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    id: u128,
    incarnation: Incarnation,
    lock: Arc<File>,
}

/// This start of the store, as its file says it.
#[derive(Clone, Debug)]
pub struct Incarnation {
    path: PathBuf,
    number: u64,
    content: Vec<u8>,
}

impl Incarnation {
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// False when another process has opened the folder since, on a machine that our lock does not reach.
    /// Where this process can open no more files, it is taken for ours until the next look.
    pub fn still_ours(&self) -> io::Result<bool> {
        match disk::read(&self.path) {
            Err(error) if is_out_of_files(&error) => Ok(true),
            content => Ok(content? == self.content),
        }
    }
}

impl Store {
    /// Opens the folder of this node, and formats an empty one.
    pub fn open(folder: impl AsRef<Path>, options: &StoreOptions) -> Result<Store, Error> {
        let folder = folder.as_ref().to_path_buf();
        make_folder(&folder)?;
        refuse_foreign(&folder)?;
        let lock = lock(&folder)?;
        if !disk::exists(&folder.join(STORE)) {
            format(&folder, options)?;
        }
        let identity = read_identity(&folder)?;
        identity.belongs(&folder, options)?;
        refuse_rolled_back(&folder)?;
        let incarnation = count_up(&folder)?;
        Ok(Store { folder, id: identity.id, incarnation, lock: Arc::new(lock) })
    }

    /// The random id that formatting drew.
    pub fn id(&self) -> u128 {
        self.id
    }

    pub fn incarnation(&self) -> u64 {
        self.incarnation.number
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// For those who have to see whether the folder is still ours.
    pub fn watch(&self) -> Incarnation {
        self.incarnation.clone()
    }

    /// Keeps the folder locked for as long as it is held.
    pub fn lock(&self) -> Arc<File> {
        self.lock.clone()
    }

    /// Replaces the configuration, durably. Once one was saved, `had_ring` says so for ever.
    pub fn save_configuration(&self, bytes: &[u8]) -> Result<(), Error> {
        if !disk::exists(&self.folder.join(HAD_RING)) {
            replace(&self.folder, HAD_RING, b"")?;
        }
        let mut content = vec![0; CONFIGURATION_HEAD];
        content[4..].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        content.extend_from_slice(bytes);
        let sum = crc32c::crc32c(&content[4..]);
        content[..4].copy_from_slice(&sum.to_le_bytes());
        let room = (2 * content.len()).next_multiple_of(ROOM);
        exchange(&self.folder, CONFIGURATION, &content, room)?;
        // On a full disk there is none, and a configuration that needs more room has to wait.
        let spare = self.folder.join(format!("{CONFIGURATION}{NEW}"));
        let _ = open_with_room(&spare, room).and_then(|file| file.sync_all());
        Ok(())
    }

    /// The configuration that was saved last.
    pub fn load_configuration(&self) -> Result<Option<Vec<u8>>, Error> {
        saved_configuration(&self.folder)
    }

    /// Another node has seen a later start of this store than this one. Unless a process has the folder by now that is
    /// that later start, the folder is older than it was, and is not opened again.
    pub fn has_later_start(&self, why: &str) -> Result<(), Error> {
        let path = self.folder.join(INCARNATION);
        if self.incarnation.still_ours().map_err(io_error("read", &path))? {
            replace(&self.folder, ROLLED_BACK, format!("{why}\n").as_bytes())?;
        }
        Ok(())
    }

    /// Whether this store has ever been part of a ring, so that none may be begun anew over it.
    pub fn had_ring(&self) -> bool {
        had_ring(&self.folder)
    }
}

fn refuse_rolled_back(folder: &Path) -> Result<(), Error> {
    match disk::read_to_string(&folder.join(ROLLED_BACK)) {
        Ok(why) => Err(Error::RolledBack { folder: folder.to_path_buf(), why: why.trim().to_owned() }),
        Err(_) => Ok(()),
    }
}

fn had_ring(folder: &Path) -> bool {
    [HAD_RING, CONFIGURATION].iter().any(|name| disk::exists(&folder.join(name)))
}

/// The configuration that was saved last in a folder.
pub fn saved_configuration(folder: &Path) -> Result<Option<Vec<u8>>, Error> {
    let path = folder.join(CONFIGURATION);
    match disk::read(&path) {
        Ok(content) => match decode_configuration(&content) {
            Some(bytes) => Ok(Some(bytes.to_vec())),
            None => Err(damaged_configuration(path)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Io { what: "read", path, error }),
    }
}

/// Sum and length before a configuration's bytes.
const CONFIGURATION_HEAD: usize = 8;
/// Files that keep room have a multiple of this.
const ROOM: usize = 16 << 10;

/// What is saved in a file that keeps room behind it, if it is whole.
pub(crate) fn decode_configuration(content: &[u8]) -> Option<&[u8]> {
    let (sum, rest) = content.split_first_chunk()?;
    let (length, bytes) = rest.split_first_chunk()?;
    let bytes = bytes.get(..u32::from_le_bytes(*length) as usize)?;
    let summed = &rest[..CONFIGURATION_HEAD - 4 + bytes.len()];
    (u32::from_le_bytes(*sum) == crc32c::crc32c(summed)).then_some(bytes)
}

fn damaged_configuration(path: PathBuf) -> Error {
    let remedy =
        "remove this one file: the operator, or `dev`, gives the node its plan and ring again".to_owned();
    Error::Damaged { path, why: "its sum is wrong", remedy }
}

/// The configuration in a folder that no process has open, for those who only read. None where there is no whole one.
pub fn configuration_in(folder: &Path) -> Option<Vec<u8>> {
    let content = disk::read(&folder.join(CONFIGURATION)).ok()?;
    decode_configuration(&content).map(<[u8]>::to_vec)
}

pub(crate) struct Identity {
    format: u32,
    id: u128,
    plan_uid: String,
    ordinal: u16,
}

impl Identity {
    pub(crate) fn encode(&self) -> String {
        let Identity { format, id, plan_uid, ordinal } = self;
        let mut text =
            format!("shoal store\nformat {format}\nid {id:032x}\nordinal {ordinal}\nplan {plan_uid}\n");
        let sum = crc32c::crc32c(text.as_bytes());
        let _ = writeln!(text, "sum {sum:08x}");
        text
    }

    /// The format is read before the sum, since a newer one may sum otherwise.
    pub(crate) fn parse(text: &str) -> Result<Identity, &'static str> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .ok_or("a line is missing")
        };
        let format = field("format")?.parse().map_err(|_| "its format is not a number")?;
        let identity = Identity {
            format,
            id: u128::from_str_radix(field("id")?, 16).map_err(|_| "its id is not one")?,
            plan_uid: field("plan")?.to_owned(),
            ordinal: field("ordinal")?.parse().map_err(|_| "its ordinal is not a number")?,
        };
        if format <= FORMAT && identity.encode() != text {
            return Err("its sum is wrong");
        }
        Ok(identity)
    }

    pub(crate) fn is_of_this_version(&self) -> bool {
        self.format == FORMAT
    }

    fn is_readable(&self, folder: &Path) -> Result<(), Error> {
        if self.is_of_this_version() {
            return Ok(());
        }
        Err(Error::OtherFormat { folder: folder.to_path_buf(), has: self.format })
    }

    fn belongs(&self, folder: &Path, options: &StoreOptions) -> Result<(), Error> {
        self.is_readable(folder)?;
        let folder = folder.to_path_buf();
        if self.plan_uid != options.plan_uid {
            let (has, wants) = (self.plan_uid.clone(), options.plan_uid.clone());
            return Err(Error::OtherPlan { folder, has, wants });
        }
        if self.ordinal != options.ordinal {
            return Err(Error::OtherOrdinal { folder, has: self.ordinal, wants: options.ordinal });
        }
        Ok(())
    }
}

/// The id of the store in this folder, for those who only read.
pub fn id_in(folder: &Path) -> Result<u128, Error> {
    Ok(read_identity(folder)?.id)
}

fn read_identity(folder: &Path) -> Result<Identity, Error> {
    let path = folder.join(STORE);
    let bytes = disk::read(&path).map_err(io_error("read", &path))?;
    let identity =
        String::from_utf8(bytes).map_err(|_| "it is no text").and_then(|text| Identity::parse(&text));
    identity.map_err(|why| Error::Damaged { path, why, remedy: LOST.to_owned() })
}

/// The way out where nothing but the file itself helps.
pub(crate) const LOST: &str = "restore it from a backup. Without one, the data of this node is lost: \
                               agent-node/docs/not-starting.md says how to begin anew";

pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    if disk::is_folder(folder) {
        return Ok(());
    }
    disk::make_folders(folder).map_err(io_error("make", folder))?;
    let parent = folder.canonicalize().ok().and_then(|path| path.parent().map(Path::to_path_buf));
    parent.map_or(Ok(()), |parent| sync_folder(&parent))
}

/// A folder without a store may hold what a new file system has by itself, and what an interrupted format left. Whatever
/// only a store has says that its file is gone.
fn refuse_foreign(folder: &Path) -> Result<(), Error> {
    let mut names = disk::list(folder).map_err(io_error("list", folder))?;
    names.sort();
    if names.iter().any(|name| name == STORE) {
        return Ok(());
    }
    if names.iter().any(|name| [HAD_RING, CONFIGURATION, ROLLED_BACK].contains(&name.as_str()))
        || [LOG, SNAPSHOTS].iter().any(|name| holds_files(&folder.join(name)))
    {
        let path = folder.join(STORE);
        return Err(Error::Damaged {
            path,
            why: "it is gone, and the folder holds what a node has written",
            remedy: LOST.to_owned(),
        });
    }
    let ours = |name: &String| {
        [LOCK, INCARNATION, LOG, SNAPSHOTS, "lost+found"].contains(&name.as_str())
            || name.strip_suffix(NEW).is_some_and(|name| [STORE, INCARNATION].contains(&name))
    };
    names.retain(|name| !ours(name));
    if names.is_empty() {
        return Ok(());
    }
    let mut found = names.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > 3 {
        let _ = write!(found, " and {} more", names.len() - 3);
    }
    Err(Error::Foreign { folder: folder.to_path_buf(), found })
}

fn holds_files(folder: &Path) -> bool {
    disk::list(folder).is_ok_and(|names| !names.is_empty())
}

pub(crate) fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK);
    let file = disk::open_or_create(&path).map_err(io_error("open", &path))?;
    locked(folder, file.try_lock())?;
    // Who holds it is for people to read: that the line can't be written, on a full disk, changes nothing.
    let holder = format!("process {}\n", std::process::id());
    let _ = file.set_length(0).and_then(|()| file.write_all_at(holder.as_bytes(), 0));
    Ok(file)
}

fn locked(folder: &Path, tried: Result<(), TryLockError>) -> Result<(), Error> {
    let path = folder.join(LOCK);
    match tried {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let pid = disk::read_to_string(&path).unwrap_or_default();
            let holder = if pid.is_empty() { String::new() } else { format!(" ({})", pid.trim()) };
            Err(Error::InUse { folder: folder.to_path_buf(), holder })
        }
        Err(TryLockError::Error(error)) => Err(Error::Io { what: "lock", path, error }),
    }
}

fn format(folder: &Path, options: &StoreOptions) -> Result<(), Error> {
    let log = folder.join(LOG);
    disk::make_folders(&log).map_err(io_error("make", &log))?;
    replace(folder, INCARNATION, incarnation_text(0).as_bytes())?;
    let StoreOptions { plan_uid, ordinal } = options.clone();
    let identity = Identity { format: FORMAT, id: random::draw(), plan_uid, ordinal };
    replace(folder, STORE, identity.encode().as_bytes())
}

fn next_incarnation(folder: &Path) -> Result<u64, Error> {
    let path = folder.join(INCARNATION);
    let text = match disk::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(io_error("read", &path))?,
    };
    let Some(last) = text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()) else {
        let spare = disk::read_to_string(&folder.join(format!("{INCARNATION}{NEW}"))).ok();
        let before = spare.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        let number = before.map_or(
            "a number higher than every incarnation that this store has had (the node logs it at each start)"
                .to_owned(),
            |before| format!("the number {} (the one after that in `{INCARNATION}{NEW}`)", before + 1),
        );
        let remedy = format!("write {number} into this file");
        return Err(Error::Damaged {
            path,
            why: "the file is missing or does not begin with a number",
            remedy,
        });
    };
    let Some(number) = last.checked_add(1) else {
        let remedy = "put back the file as it was before somebody wrote into it".to_owned();
        return Err(Error::Damaged { path, why: "no number follows the one in it", remedy });
    };
    Ok(if broken::is(Broken::SameIncarnation) { last.max(1) } else { number })
}

fn count_up(folder: &Path) -> Result<Incarnation, Error> {
    let (path, number) = (folder.join(INCARNATION), next_incarnation(folder)?);
    let content = incarnation_text(number);
    exchange(folder, INCARNATION, content.as_bytes(), content.len())?;
    Ok(Incarnation { path, number, content: content.into_bytes() })
}

/// The random part tells two starts apart that counted up from the same number.
fn incarnation_text(number: u64) -> String {
    format!("{number:020} {:016x}\n", random::draw::<u64>())
}

/// As `replace`, and the file that was replaced stays for the next time, with so much room: so that a node whose disk
/// is full can start, and can take a ring.
fn exchange(folder: &Path, name: &str, content: &[u8], room: usize) -> Result<(), Error> {
    let path = folder.join(name);
    let new = folder.join(format!("{name}{NEW}"));
    let write = || {
        // What does not fit into the room that there is fails here.
        let file = open_with_room(&new, room).or_else(|_| open_with_room(&new, 0))?;
        file.write_all_at(content, 0)?;
        if file.length()? > room as u64 {
            file.set_length(room as u64)?;
        }
        file.sync_all()?;
        disk::exchange(&new, &path)
    };
    write().map_err(io_error("write", &path))?;
    sync_folder(folder)
}

/// A file whose blocks are there up to this length: what it lacks is written, as zeros.
fn open_with_room(path: &Path, room: usize) -> io::Result<File> {
    let file = disk::open_or_create(path)?;
    let has = file.length()?;
    if let Some(lacks) = (room as u64).checked_sub(has).filter(|lacks| *lacks > 0) {
        file.write_all_at(&vec![0; lacks as usize], has)?;
    }
    Ok(file)
}

/// Puts a whole file in place of what has the name, durably.
pub(crate) fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
    let path = folder.join(name);
    let new = folder.join(format!("{name}{NEW}"));
    let write = || {
        let file = disk::create(&new)?;
        file.write_all_at(content, 0)?;
        file.sync_all()?;
        disk::rename(&new, &path)
    };
    write().map_err(io_error("write", &path))?;
    sync_folder(folder)
}

/// Makes new names and renames in a folder durable.
pub fn sync_folder(folder: &Path) -> Result<(), Error> {
    disk::sync_folder(folder).map_err(io_error("sync", folder))
}

fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |error| Error::Io { what, path, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn options() -> StoreOptions {
        StoreOptions { plan_uid: "uid-1".into(), ordinal: 3 }
    }

    fn refusal(folder: &Path, options: &StoreOptions) -> String {
        Store::open(folder, options).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_folder_is_formatted_and_each_open_counts_up() {
        let temp = TempDir::new().unwrap();
        let folder = temp.path().join("new/data");
        let first = Store::open(&folder, &options()).unwrap();
        let (id, incarnation) = (first.id(), first.incarnation());
        assert_eq!(incarnation, 1);
        drop(first);
        let second = Store::open(&folder, &options()).unwrap();
        assert_eq!((second.id(), second.incarnation()), (id, 2));
        assert_eq!(id_in(&folder).unwrap(), id);
    }

    #[test]
    fn lost_and_found_and_an_interrupted_format_count_as_empty() {
        let temp = TempDir::new().unwrap();
        fs::create_dir(temp.path().join("lost+found")).unwrap();
        fs::create_dir(temp.path().join(LOG)).unwrap();
        for name in ["lock", "incarnation", "store.new"] {
            fs::write(temp.path().join(name), "1").unwrap();
        }
        assert_eq!(Store::open(temp.path(), &options()).unwrap().incarnation(), 1);
    }

    #[test]
    fn foreign_folders_are_refused_by_name_and_left_as_they_are() {
        let temp = TempDir::new().unwrap();
        for name in ["a", "b", "c", "d"] {
            fs::write(temp.path().join(name), "").unwrap();
        }
        let text = refusal(temp.path(), &options());
        assert!(text.contains(&temp.path().display().to_string()), "{text}");
        assert!(text.contains("`a`, `b`, `c` and 1 more"), "{text}");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 4);
    }

    #[test]
    fn a_folder_of_another_plan_ordinal_or_format_is_refused() {
        let temp = TempDir::new().unwrap();
        drop(Store::open(temp.path(), &options()).unwrap());
        let other = StoreOptions { plan_uid: "uid-2".into(), ..options() };
        assert!(
            refusal(temp.path(), &other)
                .contains("belongs to the plan with uid uid-1, and this node to uid-2")
        );
        let other = StoreOptions { ordinal: 4, ..options() };
        assert!(refusal(temp.path(), &other).contains("belongs to node 3 of the plan, and this is node 4"));
        let path = temp.path().join(STORE);
        let text = fs::read_to_string(&path).unwrap();
        for format in [2, 4] {
            let mut other = Identity { format, ..Identity::parse(&text).unwrap() }.encode();
            if format == 4 {
                other = other.replace("sum", "other sum");
            }
            fs::write(&path, other).unwrap();
            let wanted = format!("has format {format}, and this version reads only format 3");
            assert!(refusal(temp.path(), &options()).contains(&wanted));
        }
        fs::write(&path, text.replace("uid-1", "uid-7")).unwrap();
        assert!(refusal(temp.path(), &options()).contains("its sum is wrong"));
        fs::write(&path, text).unwrap();
        assert_eq!(
            Store::open(temp.path(), &options()).unwrap().incarnation(),
            2,
            "refusals count nothing up"
        );
    }

    #[test]
    fn a_folder_in_use_is_refused_until_its_lock_is_gone() {
        let temp = TempDir::new().unwrap();
        let store = Store::open(temp.path(), &options()).unwrap();
        let text = refusal(temp.path(), &options());
        assert!(
            text.contains(&format!("in use by another process (process {})", std::process::id())),
            "{text}"
        );
        let lock = store.lock();
        drop(store);
        assert!(matches!(Store::open(temp.path(), &options()), Err(Error::InUse { .. })));
        drop(lock);
        Store::open(temp.path(), &options()).unwrap();
    }

    #[test]
    fn a_foreign_incarnation_is_seen() {
        let temp = TempDir::new().unwrap();
        let store = Store::open(temp.path(), &options()).unwrap();
        let watch = store.watch();
        assert!(watch.still_ours().unwrap());
        fs::write(temp.path().join(INCARNATION), "1 0000000000000000\n").unwrap();
        assert!(!watch.still_ours().unwrap(), "the same number of another start is not ours");
    }

    #[test]
    fn files_that_are_gone_empty_or_changed_are_told_with_their_way_out() {
        for (name, content, text) in [
            (
                STORE,
                None,
                "store is damaged: it is gone, and the folder holds what a node has written; restore it",
            ),
            (STORE, Some(""), "store is damaged: a line is missing; restore it"),
            (INCARNATION, None, "does not begin with a number; write the number 2 (the one after that in"),
            (INCARNATION, Some(""), "write the number 2"),
            (INCARNATION, Some("none"), "write the number 2"),
        ] {
            let temp = TempDir::new().unwrap();
            for _ in 0..2 {
                Store::open(temp.path(), &options()).unwrap().save_configuration(b"plan and ring").unwrap();
            }
            let path = temp.path().join(name);
            match content {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let said = refusal(temp.path(), &options());
            assert!(said.contains(text), "{name} {content:?}: {said}");
            if name == INCARNATION {
                fs::write(&path, "2\n").unwrap();
                let store = Store::open(temp.path(), &options()).unwrap();
                assert_eq!(store.incarnation(), 3, "above the start before");
                assert!(store.watch().still_ours().unwrap());
            }
        }
    }

    #[test]
    fn a_store_had_a_ring_if_either_file_says_so() {
        for gone in [HAD_RING, CONFIGURATION] {
            let temp = TempDir::new().unwrap();
            let store = Store::open(temp.path(), &options()).unwrap();
            store.save_configuration(b"plan and ring").unwrap();
            fs::remove_file(temp.path().join(gone)).unwrap();
            assert!(store.had_ring(), "{gone}");
        }
    }

    #[test]
    fn any_changed_byte_of_a_configuration_is_seen() {
        let temp = TempDir::new().unwrap();
        let store = Store::open(temp.path(), &options()).unwrap();
        store.save_configuration(b"a plan and a ring").unwrap();
        let path = temp.path().join(CONFIGURATION);
        let whole = fs::read(&path).unwrap();
        for at in 0..CONFIGURATION_HEAD + 17 {
            let mut content = whole.clone();
            content[at] ^= 4;
            fs::write(&path, content).unwrap();
            assert!(matches!(store.load_configuration(), Err(Error::Damaged { .. })), "byte {at}");
        }
        for length in 0..CONFIGURATION_HEAD + 17 {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(store.load_configuration(), Err(Error::Damaged { .. })), "{length} bytes");
        }
    }

    #[test]
    fn the_configuration_is_replaced_whole_and_a_ring_is_remembered() {
        let temp = TempDir::new().unwrap();
        let store = Store::open(temp.path(), &options()).unwrap();
        assert_eq!(store.load_configuration().unwrap(), None);
        assert!(!store.had_ring());
        for content in [&b"one"[..], &b"long".repeat(20_000), b"two", b""] {
            store.save_configuration(content).unwrap();
            assert_eq!(store.load_configuration().unwrap().unwrap(), content);
            assert_eq!(configuration_in(temp.path()).unwrap(), content);
        }
        assert!(store.had_ring());
        fs::write(temp.path().join(CONFIGURATION), b"none of it").unwrap();
        assert!(matches!(store.load_configuration(), Err(Error::Damaged { .. })));
        drop(store);
        assert!(Store::open(temp.path(), &options()).unwrap().had_ring());
    }
}
