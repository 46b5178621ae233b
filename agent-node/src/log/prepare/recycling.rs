//! Files of segments that have gone are used again for those to come: they have their blocks, so that nothing has to be
//! filled with zeros.
//!
//! *Guarantees.* A file is a segment or a spare, never both: its new name is on the disk before it is written into, and
//! its old one is gone. *Assumptions.* Nobody reads a segment that goes any more.

use super::super::Error;
use super::super::format::BLOCK;
use super::super::places::path;
use super::{Pool, Prepared, remove, rename};
use crate::disk;
use crate::store;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

const SPARE: &str = "spare-";

#[derive(Debug)]
pub struct Spare {
    path: PathBuf,
    bytes: u64,
}

/// Those that an earlier process has left.
pub fn found(folder: &Path) -> Result<VecDeque<Spare>, Error> {
    let mut spares = Vec::new();
    for name in disk::list(folder).map_err(Error::io("list", folder))? {
        if name.starts_with(SPARE) {
            let path = folder.join(name);
            let bytes = disk::length(&path).map_err(Error::io("read", &path))?;
            spares.push(Spare { path, bytes: bytes - bytes % BLOCK as u64 });
        }
    }
    spares.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(spares.into())
}

impl Pool {
    /// The file of a segment goes: it becomes a spare, where those have no more than `most` bytes then, or two
    /// of the largest, or is removed.
    pub fn let_go(&self, segment: u64, most: u64) -> Result<(), Error> {
        let from = path(&self.folder, segment);
        let bytes = match disk::length(&from) {
            // A start has removed it, since nothing in it was sound.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            bytes => bytes.map_err(Error::io("read", &from))?,
        };
        let bytes = bytes - bytes % BLOCK as u64;
        let state = self.lock();
        let has: u64 = state.spares.iter().map(|spare| spare.bytes).sum();
        let sizes = state.ledger.sizes();
        let is_wanted = bytes >= sizes.smallest && has + bytes <= most.max(2 * sizes.largest);
        drop(state);
        if !is_wanted {
            remove(&from)?;
            return store::sync_folder(&self.folder).map_err(Error::from);
        }
        let spare = Spare { path: self.folder.join(format!("{SPARE}{segment:08}")), bytes };
        rename(&from, &spare.path)?;
        store::sync_folder(&self.folder)?;
        self.lock().spares.push_back(spare);
        Ok(())
    }

    /// Bytes of all files that are made and not begun.
    pub fn ahead_bytes(&self) -> u64 {
        let state = self.lock();
        let ready = state.ready.iter().chain(&state.kept).map(|prepared| prepared.bytes);
        ready.chain(state.spares.iter().map(|spare| spare.bytes)).sum()
    }

    /// A spare for a segment of so many bytes, and its path. Those that are much too small are removed.
    pub(super) fn spare(&self, bytes: u64, least: u64) -> io::Result<Option<(Prepared, PathBuf)>> {
        loop {
            let Some(spare) = self.lock().spares.pop_front() else { return Ok(None) };
            let fits = spare.bytes >= least && spare.bytes >= bytes / 2;
            let done = if fits {
                disk::open_to_write(&spare.path).map(Some)
            } else {
                disk::remove(&spare.path).map(|()| None)
            };
            match done {
                Ok(None) => {}
                Ok(Some(file)) => {
                    self.counts.recycled.fetch_add(1, Ordering::Relaxed);
                    let prepared = Prepared { segment: 0, file, bytes: spare.bytes, recycled: true };
                    return Ok(Some((prepared, spare.path)));
                }
                Err(error) => {
                    self.lock().spares.push_front(spare);
                    return Err(error);
                }
            }
        }
    }
}
