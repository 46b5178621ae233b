//! Files of snapshots as they are read: which there are, what is whole in them, and each piece again.

use super::format::{self, ENDING, Ending, HEADER, Head, Header, Kept, Kind, NotAFile};
use super::index::{Filed, Index};
use super::piece::{Begin, Tag};
use super::{Error, FOLDER, Fault, WRITING, path};
use crate::disk::{self, File};
use crate::log::Covered;
use proto::address::Slot;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

/// So much is read at once.
const WINDOW: u64 = 256 << 10;

/// What a reader of snapshots comes upon: of one slot after the other, in order.
#[derive(Debug)]
pub enum Found<'a> {
    Begin(&'a Begin),
    Section(Tag, &'a [u8]),
    /// The snapshot is whole.
    End,
    /// What came of this slot does not count. An older snapshot of it may come.
    Broken,
}

/// Takes what is found of a slot, or says why this version can't.
pub type Install<'a> = dyn FnMut(Slot, Found) -> Result<(), String> + 'a;

/// Takes a piece.
pub type Each<'a> = dyn FnMut(Kind, &[u8]) -> Result<(), Stop> + 'a;

/// A file that is open for reading.
pub struct Opened {
    path: PathBuf,
    header: Header,
    file: File,
    length: u64,
    /// What was read last, and where.
    window: Vec<u8>,
    window_at: u64,
}

/// What is wrong with a place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    pub at: u64,
    pub why: String,
}

fn bad(at: u64, why: impl Into<String>) -> Bad {
    Bad { at, why: why.into() }
}

impl Opened {
    pub fn open(folder: &Path, number: u64, store: u128) -> Result<Result<Opened, Bad>, Error> {
        let path = path(folder, number);
        let opened = disk::open(&path).and_then(|file| Ok((file.length()?, file)));
        let (length, file) = opened.map_err(Error::io("open", &path))?;
        let mut bytes = [0; HEADER];
        if length < HEADER as u64 || file.read_exact_at(&mut bytes, 0).is_err() {
            return Ok(Err(bad(0, "its header can't be read")));
        }
        match Header::decode(&bytes) {
            Ok(header) if (header.store, header.number) != (store, number) => {
                Ok(Err(bad(0, "it is a file of another store, or has another name")))
            }
            Ok(header) => {
                let (window, window_at) = (Vec::new(), 0);
                Ok(Ok(Opened { path, header, file, length, window, window_at }))
            }
            Err(NotAFile::Broken) => Ok(Err(bad(0, "its header is broken"))),
            Err(NotAFile::OtherFormat(format)) => Err(Error::OtherFormat { path, format }),
        }
    }

    fn bytes(&mut self, at: u64, length: usize) -> Result<&[u8], Bad> {
        let end = at + length as u64;
        if end > self.length {
            return Err(bad(at, "the file ends before it"));
        }
        if at < self.window_at || end > self.window_at + self.window.len() as u64 {
            self.window.resize((self.length - at).min(WINDOW.max(length as u64)) as usize, 0);
            self.window_at = at;
            if let Err(error) = self.file.read_exact_at(&mut self.window, at) {
                self.window.clear();
                return Err(bad(at, format!("it can't be read: {error}")));
            }
        }
        let from = (at - self.window_at) as usize;
        Ok(&self.window[from..from + length])
    }

    /// The piece that begins there, whole.
    pub fn piece(&mut self, at: u64) -> Result<(Head, &[u8]), Bad> {
        let header = self.header;
        let head = Head::decode(&header, self.bytes(at, format::HEAD)?);
        let head = head.ok_or_else(|| bad(at, "the head of a piece is broken"))?;
        let held = self.bytes(at + format::HEAD as u64, head.bytes as usize)?;
        if !head.holds(&header, held) {
            return Err(bad(at, "a piece is broken"));
        }
        Ok((head, held))
    }

    /// What is whole in it, as its table says, or as far as it can be made out without.
    pub fn filed(&mut self) -> (Filed, Option<Bad>) {
        match self.table() {
            Ok(kept) => (Filed { bytes: self.length, kept }, None),
            Err(broken) => (Filed { bytes: self.length, kept: self.scan() }, Some(broken)),
        }
    }

    fn table(&mut self) -> Result<BTreeMap<Slot, Kept>, Bad> {
        let at = self.length.saturating_sub(ENDING as u64);
        let ending = self.bytes(at, ENDING)?.first_chunk().and_then(Ending::decode);
        let ending = ending.ok_or_else(|| bad(at, "the end of the file is broken"))?;
        let is_there = ending.at.checked_add(ending.bytes) == Some(at);
        let table = if is_there { self.bytes(ending.at, ending.bytes as usize).ok() } else { None };
        let table = table.and_then(|bytes| ending.table(bytes));
        let table = table.ok_or_else(|| bad(ending.at, "the table of the file is broken"))?;
        Ok(table.into_iter().collect())
    }

    /// Goes through all pieces. Behind a broken one the next whole one is looked for.
    fn scan(&mut self) -> BTreeMap<Slot, Kept> {
        let (mut at, mut open, mut kept) = (HEADER as u64, HashMap::<Slot, Kept>::new(), BTreeMap::new());
        while at + format::HEAD as u64 <= self.length {
            let begins = at;
            let Ok((head, held)) = self.piece(begins) else {
                at += 1;
                continue;
            };
            if head.kind == Kind::Begin
                && let Some(Begin { lsn, end, pin, .. }) = format::decode_begin(held)
            {
                open.insert(head.slot, Kept { lsn, end, pin, bytes: 0, places: Box::default() });
            }
            at += head.length() as u64;
            let Some(mut of_slot) = open.remove(&head.slot) else { continue };
            if of_slot.places.len() != head.number as usize {
                continue;
            }
            of_slot.bytes += head.length() as u64;
            let mut places = of_slot.places.into_vec();
            places.push(begins);
            of_slot.places = places.into();
            if head.kind == Kind::End {
                kept.insert(head.slot, of_slot);
            } else {
                open.insert(head.slot, of_slot);
            }
        }
        kept
    }

    /// Gives the pieces of a slot's snapshot to `each`, in order.
    pub fn pieces(&mut self, slot: Slot, kept: &Kept, each: &mut Each) -> Result<(), Stop> {
        for (number, &at) in kept.places.iter().enumerate() {
            let (head, held) = self.piece(at).map_err(Stop::Bad)?;
            let is_last = number + 1 == kept.places.len();
            let fits = head.slot == slot
                && head.number as usize == number
                && (number == 0) == (head.kind == Kind::Begin)
                && is_last == (head.kind == Kind::End);
            if !fits {
                return Err(Stop::Bad(bad(at, "another piece is in its place")));
            }
            each(head.kind, held)?;
        }
        if kept.places.len() < 2 { Err(Stop::Bad(bad(0, "it has no pieces"))) } else { Ok(()) }
    }
}

/// Why the pieces of a snapshot do not go on.
#[derive(Debug)]
pub enum Stop {
    Bad(Bad),
    /// Whoever takes them can't.
    Refused(String),
    /// They can't be written where they should go.
    Io(io::Error),
}

/// The numbers of the files in a folder.
pub fn numbers(folder: &Path) -> Result<Vec<u64>, Error> {
    if !disk::is_folder(folder) {
        return Ok(Vec::new());
    }
    let names = disk::list(folder).map_err(Error::io("list", folder))?;
    let number = |name: &String| name.strip_prefix("snapshot-")?.parse().ok();
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What a folder has.
pub struct Loaded {
    pub index: Index,
    pub covered: Covered,
    /// Files of which nothing can be read.
    pub unread: Vec<u64>,
    /// What is broken. None of it is in the index.
    pub faults: Vec<Fault>,
}

/// Finds the files of a data folder, and gives the newest whole snapshot of each slot to `install`, one slot after the
/// other. It changes nothing.
pub fn load(data: &Path, store: u128, install: &mut Install) -> Result<Loaded, Error> {
    let folder = data.join(FOLDER);
    let (index, covered) = (Index::default(), Covered::default());
    let mut loaded = Loaded { index, covered, unread: Vec::new(), faults: Vec::new() };
    let mut files: BTreeMap<u64, Opened> = BTreeMap::new();
    for number in numbers(&folder)? {
        match Opened::open(&folder, number, store)? {
            Ok(mut opened) => {
                let (filed, broken) = opened.filed();
                loaded.faults.extend(broken.map(|bad| Fault::new(number, bad, None)));
                loaded.index.add(number, filed);
                files.insert(number, opened);
            }
            Err(broken) => {
                loaded.faults.push(Fault::new(number, broken, None));
                loaded.unread.push(number);
            }
        }
    }
    for slot in in_order(&loaded.index) {
        loaded.slot(slot, &mut files, install)?;
    }
    Ok(loaded)
}

/// All slots, in the order in which their newest snapshots lie.
fn in_order(index: &Index) -> Vec<Slot> {
    let place = |slot: Slot| {
        let (file, kept) = index.of(slot).next()?;
        Some((file, kept.places.first().copied(), slot))
    };
    let mut places: Vec<_> = index.slots().filter_map(place).collect();
    places.sort_unstable();
    places.into_iter().map(|(_, _, slot)| slot).collect()
}

impl Loaded {
    fn slot(
        &mut self,
        slot: Slot,
        files: &mut BTreeMap<u64, Opened>,
        install: &mut Install,
    ) -> Result<(), Error> {
        let all: Vec<(u64, Kept)> = self.index.of(slot).map(|(file, kept)| (file, kept.clone())).collect();
        for (number, kept) in all {
            let Some(opened) = files.get_mut(&number) else { continue };
            let done = opened.pieces(slot, &kept, &mut |kind, held| {
                let given = match kind {
                    Kind::Begin => {
                        let begin = format::decode_begin(held).filter(|begin| begin.lsn == kept.lsn);
                        let begin = begin.ok_or_else(|| Stop::Bad(bad(0, "its beginning is another one")))?;
                        install(slot, Found::Begin(&begin))
                    }
                    Kind::Section(tag) => install(slot, Found::Section(tag, held)),
                    Kind::End => install(slot, Found::End),
                };
                given.map_err(Stop::Refused)
            });
            let path = opened.path.clone();
            match done {
                Ok(()) => {
                    self.covered.note(slot, kept.lsn, kept.end);
                    return Ok(());
                }
                Err(Stop::Refused(why)) => return Err(Error::Refused { path, slot, why }),
                Err(Stop::Io(error)) => return Err(Error::Io { what: "read", path, error }),
                Err(Stop::Bad(broken)) => {
                    self.faults.push(Fault::new(number, broken, Some(slot)));
                    self.index.forget(number, slot);
                    install(slot, Found::Broken).map_err(|why| Error::Refused { path, slot, why })?;
                }
            }
        }
        Ok(())
    }
}

/// Removes what an earlier process has left half written.
pub fn tidy(data: &Path) -> Result<(), Error> {
    let path = data.join(FOLDER).join(WRITING);
    match disk::remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::Io { what: "remove", path, error })
        }
        _ => Ok(()),
    }
}
