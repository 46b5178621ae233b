//! A file of snapshots while it is written. It has its name only when it is whole and on the disk.

use super::format::{self, Head, Header, Kept, Kind};
use super::index::Filed;
use super::piece::{Begin, Piece};
use super::{FOLDER, ROOM, WRITING, path};
use crate::disk::{self, File};
use proto::address::Slot;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// So much is written at once.
const BUFFER: usize = 256 << 10;
/// So much is written at most before it is synced, so that a commit's sync never has much to wait for.
const UNSYNCED: u64 = 4 << 20;

pub struct Writing {
    folder: PathBuf,
    file: File,
    header: Header,
    /// What is not written yet, and where it will begin.
    buffer: Vec<u8>,
    at: u64,
    synced: u64,
    open: HashMap<Slot, Open>,
    done: Vec<(Slot, Kept)>,
}

struct Open {
    begin: Begin,
    bytes: u64,
    places: Vec<u64>,
}

impl Writing {
    /// `data`: the data folder. What room was kept back is used first.
    pub fn begin(data: &Path, header: Header) -> io::Result<Writing> {
        let folder = data.join(FOLDER);
        let temporary = folder.join(WRITING);
        match disk::rename(&folder.join(ROOM), &temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk::open_or_create(&temporary)?;
        let buffer = header.encode().to_vec();
        Ok(Writing { folder, file, header, buffer, at: 0, synced: 0, open: HashMap::new(), done: Vec::new() })
    }

    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// Adds the next piece of a slot's snapshot. With `End` that is whole.
    pub fn put(&mut self, slot: Slot, piece: Piece) -> io::Result<()> {
        match piece {
            Piece::Begin(begin) => self.raw(slot, Kind::Begin, &format::encode_begin(&begin)),
            Piece::Section(tag, bytes) => self.raw(slot, Kind::Section(tag), &bytes),
            Piece::End => self.raw(slot, Kind::End, &[]),
        }
    }

    /// The same for one that lay in another file.
    pub fn raw(&mut self, slot: Slot, kind: Kind, held: &[u8]) -> io::Result<()> {
        assert!(held.len() <= format::HELD_MAX, "a piece holds {} bytes", held.len());
        if kind == Kind::Begin {
            let Some(begin) = format::decode_begin(held) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            self.open.insert(slot, Open { begin, bytes: 0, places: Vec::new() });
        }
        let place = self.at + self.buffer.len() as u64;
        let Some(open) = self.open.get_mut(&slot) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a piece has come without its beginning"));
        };
        let head = Head::new(&self.header, slot, kind, open.places.len() as u32, held);
        open.places.push(place);
        open.bytes += head.length() as u64;
        self.buffer.extend_from_slice(&head.encode(&self.header));
        self.buffer.extend_from_slice(held);
        if kind == Kind::End
            && let Some(Open { begin, bytes, places }) = self.open.remove(&slot)
        {
            let Begin { lsn, end, pin, .. } = begin;
            self.done.push((slot, Kept { lsn, end, pin, bytes, places: places.into() }));
        }
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Whether a snapshot of this slot has begun and is not whole.
    pub fn has_begun(&self, slot: Slot) -> bool {
        self.open.contains_key(&slot)
    }

    /// What of a slot's snapshot was put does not count.
    pub fn forget(&mut self, slot: Slot) {
        self.open.remove(&slot);
    }

    /// Whole snapshots in it.
    pub fn done(&self) -> &[(Slot, Kept)] {
        &self.done
    }

    pub fn bytes(&self) -> u64 {
        self.at + self.buffer.len() as u64
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        if self.at - self.synced >= UNSYNCED {
            self.file.sync_data()?;
            self.synced = self.at;
        }
        Ok(())
    }

    /// Gives it its name. The log has to be on the disk up to where its snapshots end.
    pub fn finish(mut self) -> io::Result<(u64, Filed)> {
        let at = self.bytes();
        self.buffer.extend_from_slice(&format::encode_table(&self.done, at));
        self.flush()?;
        if self.file.length()? > self.at {
            self.file.set_length(self.at)?;
        }
        self.file.sync_all()?;
        let number = self.number();
        disk::rename(&self.folder.join(WRITING), &path(&self.folder, number))?;
        disk::sync_folder(&self.folder)?;
        Ok((number, Filed { bytes: self.at, kept: self.done.into_iter().collect() }))
    }

    /// Nothing of it counts. Its blocks stay for the next one.
    pub fn give_up(self) {
        let _ = disk::rename(&self.folder.join(WRITING), &self.folder.join(ROOM));
    }
}
