//! Snapshots of slots: everything that a slot is after one of its records, in pieces, many slots in one file.
//! `docs/snapshots.md` describes the files and what they promise.
//!
//! *Guarantees.* A file has its name only when it is whole, on the disk, and the log is there up to where its snapshots
//! end. What is broken in one is noticed by its sum, and the snapshot before takes its place. *Assumptions.* The data
//! folder is locked.

mod decide;
mod format;
mod index;
mod listing;
mod piece;
mod reading;
mod sink;
mod taker;
#[cfg(test)]
mod tests;
mod writing;

use crate::store;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use decide::{LIMITS, Limits};
pub use listing::{Listed, list};
pub use piece::{Asked, BYTES_MAX, Begin, Given, Piece, TERMS_MAX, Tag, Term};
pub use reading::{Found, Install, Loaded, load, tidy};
pub use sink::Sink;
pub use taker::{Ask, Counts, Parts, Taker};

use proto::address::Slot;

const FOLDER: &str = store::SNAPSHOTS;
/// A file that is not whole yet.
const WRITING: &str = "writing";
/// Blocks for the next one.
const ROOM: &str = "room";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {what} {}: {error}", path.display())]
    /// The text has it all: as a source it would be said twice.
    Io { what: &'static str, path: PathBuf, error: io::Error },
    #[error(
        "{} has format {format}, and this version reads only format {}; run the version that wrote it",
        path.display(),
        format::VERSION
    )]
    OtherFormat { path: PathBuf, format: u16 },
    #[error("the snapshot of slot {slot} in {} can't be taken: {why}", path.display())]
    Refused { path: PathBuf, slot: Slot, why: String },
}

impl Error {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |error| Error::Io { what, path, error }
    }
}

/// A broken place in a file. Without a slot: of what is for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub file: u64,
    pub at: u64,
    pub slot: Option<Slot>,
    pub why: String,
}

impl Fault {
    fn new(file: u64, bad: reading::Bad, slot: Option<Slot>) -> Fault {
        Fault { file, at: bad.at, slot, why: bad.why }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { file, at, slot, why } = self;
        write!(f, "snapshot-{file:08} at byte {at}")?;
        if let Some(slot) = slot {
            write!(f, ", slot {slot}")?;
        }
        write!(f, ": {why}")
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("snapshot-{number:08}"))
}
