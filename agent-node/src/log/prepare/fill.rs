//! Fills files with zeros, in pieces between which commits have their turn.

use super::super::counts::Counts;
use crate::disk::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

/// A commit that comes in the middle of one waits for no more than this.
pub const PIECE: usize = 256 << 10;
/// What buffers and places of direct writes are multiples of.
const ALIGNED: usize = 4096;

/// A file that is being filled.
pub struct Filling {
    file: File,
    /// Writes past the page cache: the disk has the piece when the write returns, and no commit of the file system's
    /// journal is needed between two. Not every file system can.
    direct: Option<File>,
    bytes: u64,
}

impl Filling {
    /// Takes the blocks for so many bytes, which says that the disk is full before it is filled up.
    pub fn begin(path: &Path, bytes: u64) -> io::Result<Filling> {
        let file = disk::create(path)?;
        // Where the file system can't tell, the writes do.
        file.allocate(bytes)?;
        let direct = disk::open_direct(path).ok();
        Ok(Filling { file, direct, bytes })
    }

    /// Fills it, a piece at each `turn`, and brings it to the disk. It ends when `turn` says so.
    pub fn run(mut self, counts: &Counts, turn: &mut dyn FnMut() -> bool) -> io::Result<File> {
        let zeros = vec![0; PIECE + ALIGNED];
        let aligned = zeros.as_ptr().align_offset(ALIGNED).min(ALIGNED);
        let mut at = 0;
        while at < self.bytes {
            if !turn() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "the log is closing"));
            }
            let length = (PIECE as u64).min(self.bytes - at) as usize;
            self.write(&zeros[aligned..aligned + length], at)?;
            counts.bytes.fetch_add(length as u64, Ordering::Relaxed);
            at += length as u64;
        }
        self.file.sync_all()?;
        Ok(self.file)
    }

    fn write(&mut self, zeros: &[u8], at: u64) -> io::Result<()> {
        if let Some(direct) = &self.direct {
            match direct.write_all_at(zeros, at) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                written => return written,
            }
        }
        self.file.write_all_at(zeros, at)?;
        self.file.sync_data()
    }
}

/// Writes zeros over all of a file that has its blocks.
pub fn clear(file: &File, bytes: u64, counts: &Counts) -> io::Result<()> {
    let zeros = vec![0; PIECE];
    let mut at = 0;
    while at < bytes {
        let length = (PIECE as u64).min(bytes - at) as usize;
        file.write_all_at(&zeros[..length], at)?;
        at += length as u64;
    }
    counts.bytes.fetch_add(bytes, Ordering::Relaxed);
    file.sync_all()
}
