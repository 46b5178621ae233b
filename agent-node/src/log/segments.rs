//! The files of a log at its start: which there are, what is in them, and how the last one is made fit to go on.

use super::chain::Chain;
use super::contents::Contents;
use super::covered::Covered;
use super::format::{self, Ident};
use super::judge::{Cut, End, Judge, Seen};
use super::places;
use super::scan::{Segment, Stop};
use super::{Error, Progress, SAY};
use crate::clock;
use crate::disk::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

/// What is in the segments.
pub struct Scanned {
    pub end: End,
    /// Those that were made and never begun, or of which nothing is sound.
    pub unbegun: Vec<Unbegun>,
    /// The index of the last one with anything sound in it, or 0.
    pub begun: u64,
    /// What is in those with anything sound in them.
    pub contents: Contents,
}

pub struct Unbegun {
    pub index: u64,
    pub path: PathBuf,
    is_empty: bool,
    pub is_zero: bool,
    /// It holds only what an older segment has left.
    is_left: bool,
}

impl Unbegun {
    /// It can be gone on in.
    pub fn is_ready(&self) -> bool {
        self.is_zero || self.is_left
    }
}

/// The segments of a folder, in order.
pub struct Segments {
    folder: PathBuf,
    pub files: Vec<(u64, PathBuf)>,
}

impl Segments {
    pub fn list(folder: &Path) -> Result<Segments, Error> {
        let mut files = Vec::new();
        for name in disk::list(folder).map_err(Error::io("list", folder))? {
            if let Some(index) = name.strip_prefix("segment-").and_then(|index| index.parse().ok()) {
                files.push((index, folder.join(name)));
            }
        }
        files.sort_unstable();
        Ok(Segments { folder: folder.to_path_buf(), files })
    }

    /// The index of a new one.
    pub fn after(&self) -> u64 {
        self.files.last().map_or(1, |(index, _)| index + 1)
    }

    /// Reads them all.
    pub fn scan(
        &self,
        store: u128,
        covered: &Covered,
        progress: &Progress,
        each: &mut dyn FnMut(Seen) -> Result<(), String>,
    ) -> Result<Scanned, Error> {
        let begins = self.begins(store)?;
        for (_, path) in &self.files {
            let bytes = disk::length(path).map_err(Error::io("read", path))?;
            progress.of.fetch_add(bytes, Relaxed);
        }
        let mut say = clock::now() + SAY;
        let first = self.files.first().map_or(1, |(index, _)| *index);
        let mut judge = Judge::new(store, first, covered);
        let (mut unbegun, mut last, mut contents) = (Vec::new(), 0, Contents::default());
        for (place, (index, path)) in self.files.iter().enumerate() {
            let bytes = disk::read(path).map_err(Error::io("read", path))?;
            let until = begins[place + 1..].iter().find_map(|begins| *begins);
            let first = judge.position();
            let begun = judge.segment(*index, &bytes, until, each).map_err(|stop| match stop {
                Stop::Refused { head, why } => Error::Refused { segment: *index, head, why },
                Stop::OtherFormat(format) => {
                    Error::OtherFormat { folder: self.folder.clone(), segment: *index, format }
                }
            })?;
            if begun {
                last = *index;
                contents.begun(*index, bytes.len() as u64, first);
                contents.ended(judge.reached());
            } else {
                let is_empty = bytes.is_empty();
                let is_zero = !is_empty && bytes.iter().all(|&byte| byte == 0);
                let is_left = Segment { store, index: *index, bytes: &bytes, until: None }.is_left();
                unbegun.push(Unbegun { index: *index, path: path.clone(), is_empty, is_zero, is_left });
            }
            progress.read.fetch_add(bytes.len() as u64, Relaxed);
            if say <= clock::now() {
                tracing::info!("{progress}");
                say += SAY;
            }
        }
        // A segment says at its end that the one after it is there. Those behind that were made ahead. Files of
        // segments have their full length from the beginning.
        let is_made = unbegun.iter().any(|unbegun| unbegun.index == last + 1 && !unbegun.is_empty);
        let end = judge.end(last + u64::from(is_made));
        // What lies past the mark will lie in the next segment.
        contents.ended(&end.until.reached);
        Ok(Scanned { end, unbegun, begun: last, contents })
    }

    /// The number with which each segment begins, as far as anything in it says so.
    fn begins(&self, store: u128) -> Result<Vec<Option<u64>>, Error> {
        let begins = |&(index, ref path): &(u64, PathBuf)| {
            let mut bytes = vec![0; format::HEADER];
            let file = disk::open(path).map_err(Error::io("open", path))?;
            let begins = |bytes: &[u8]| Segment { store, index, bytes, until: None }.begins();
            if file.read_exact_at(&mut bytes, 0).is_ok()
                && let Some(number) = begins(&bytes)
            {
                return Ok(Some(number));
            }
            Ok(begins(&disk::read(path).map_err(Error::io("read", path))?))
        };
        self.files.iter().map(begins).collect()
    }

    /// The records past the last mark, framed.
    pub fn unsynced(&self, end: &End) -> Result<Vec<u8>, Error> {
        let mut frames = Vec::new();
        let Some(cut) = end.cut else { return Ok(frames) };
        let path = places::path(&self.folder, cut.ident.segment);
        let file = disk::open(&path).map_err(Error::io("open", &path))?;
        for range in &end.unsynced {
            let at = frames.len();
            frames.resize(at + range.len(), 0);
            file.read_exact_at(&mut frames[at..], range.start as u64).map_err(Error::io("read", &path))?;
        }
        Ok(frames)
    }

    /// The segment that the log ends in, and where its closing has its place. What lies behind is given back.
    pub fn last(&self, end: &End) -> Result<Option<(Ident, File, u64)>, Error> {
        let (Some(Cut { ident, at }), Some((_, content))) = (end.cut, end.content) else { return Ok(None) };
        let at = if at == 0 { content.next_multiple_of(format::BLOCK) } else { at };
        let path = places::path(&self.folder, ident.segment);
        let file = disk::open_to_write(&path).map_err(Error::io("open", &path))?;
        let length = content.max(at + format::BLOCK);
        file.set_length(length as u64).map_err(Error::io("cut", &path))?;
        Ok(Some((ident, file, at as u64)))
    }

    /// Gives back what lies behind the last record or mark, so that a full disk has room for the next segment.
    pub fn shorten(&self, end: &End) -> Result<(), Error> {
        let Some((segment, at)) = end.content else { return Ok(()) };
        set_length(&places::path(&self.folder, segment), at)
    }

    /// Gives back what does not count any more, now that the log goes on in a new segment, and says so in the old one.
    pub fn cut(&self, end: &End, broken: &[Unbegun], incarnation: u64) -> Result<(), Error> {
        for unbegun in broken {
            let path = &unbegun.path;
            if !unbegun.is_ready() && !unbegun.is_empty {
                tracing::warn!(?path, "nothing in this segment of the log is sound: it is removed");
            }
            disk::remove(path).map_err(Error::io("remove", path))?;
        }
        let Some(Cut { ident, at }) = end.cut else { return Ok(()) };
        let path = places::path(&self.folder, ident.segment);
        if at == 0 {
            tracing::warn!(?path, "nothing in this segment of the log is sound: it is removed");
            return disk::remove(&path).map_err(Error::io("remove", &path));
        }
        let mut closing = Vec::new();
        Chain::new(ident.store, incarnation, end.until.clone()).closing(&ident, &mut closing);
        let file = disk::open_to_write(&path).map_err(Error::io("open", &path))?;
        // Without it nothing is lost but the notice that the segment after this one is gone. A full disk may have no
        // block for it.
        let closed = file.write_all_at(&closing, at as u64).is_ok();
        let length = at + if closed { closing.len() } else { 0 };
        file.set_length(length as u64).map_err(Error::io("cut", &path))?;
        file.sync_all().map_err(Error::io("sync", &path))
    }
}

fn set_length(path: &Path, length: usize) -> Result<(), Error> {
    let file = disk::open_to_write(path).map_err(Error::io("open", path))?;
    file.set_length(length as u64).map_err(Error::io("cut", path))
}
