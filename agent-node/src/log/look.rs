//! What is in the log of a data folder, without opening it. A start finds the same, by the same functions.

use super::covered::Covered;
use super::judge::{Broken, Damage, Seen};
use super::segments::{Scanned, Segments};
use super::{Error, FOLDER, Opened, Progress};
use crate::disk;
use crate::store;
use std::path::Path;

/// What a start would find.
#[derive(Debug)]
pub struct Look {
    pub opened: Opened,
    /// Places that have changed without a loss.
    pub warnings: Vec<Broken>,
    /// Why it would not go on.
    pub refusal: Option<Error>,
}

/// What a start of this store would find in its log and give to `each`.
pub fn look(
    data: &Path,
    store: u128,
    had_ring: bool,
    covered: &Covered,
    each: &mut super::Each,
) -> Result<Look, Error> {
    let folder = data.join(FOLDER);
    let mut take = |seen: Seen| match seen {
        Seen::Record(position, head, body) if head.lsn > covered.lsn(head.slot) => each(position, head, body),
        Seen::Record(..) | Seen::Batch(..) => Ok(()),
    };
    let (segments, mut scanned) = find(&folder, store, covered, &Progress::default(), &mut take)?;
    let refusal = refusal(&folder, had_ring, &mut scanned);
    let opened = opened(&segments, &scanned);
    Ok(Look { opened, warnings: scanned.end.warnings, refusal })
}

/// All of it in order, for people who look. What is covered is given too.
pub fn read(
    data: &Path,
    covered: &Covered,
    each: &mut dyn FnMut(Seen) -> Result<(), String>,
) -> Result<(Opened, Option<Damage>, Vec<Broken>), Error> {
    let segments = Segments::list(&data.join(FOLDER))?;
    let scanned = segments.scan(store::id_in(data)?, covered, &Progress::default(), each)?;
    let opened = opened(&segments, &scanned);
    Ok((opened, scanned.end.damage, scanned.end.warnings))
}

/// Reads all segments.
pub fn find(
    folder: &Path,
    store: u128,
    covered: &Covered,
    progress: &Progress,
    each: &mut dyn FnMut(Seen) -> Result<(), String>,
) -> Result<(Segments, Scanned), Error> {
    if !disk::is_folder(folder) {
        return Err(Error::Gone { folder: folder.to_path_buf(), what: "does not exist" });
    }
    let segments = Segments::list(folder)?;
    let scanned = segments.scan(store, covered, progress, each)?;
    Ok((segments, scanned))
}

/// Why a store with these segments is not started.
pub fn refusal(folder: &Path, had_ring: bool, scanned: &mut Scanned) -> Option<Error> {
    let folder = folder.to_path_buf();
    if had_ring && scanned.begun == 0 {
        return Some(Error::Gone { folder, what: "contains no segment, or only empty ones" });
    }
    scanned.end.damage.take().map(|damage| Error::Damaged { folder, damage })
}

fn opened(segments: &Segments, scanned: &Scanned) -> Opened {
    let end = &scanned.end;
    Opened {
        records: end.records,
        segments: segments.files.len() as u64,
        torn_bytes: end.torn_bytes,
        renewed: end.position.0 - end.until.records,
        position: end.position,
    }
}
