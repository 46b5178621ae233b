//! What is in the files of snapshots of a data folder, for people who look. Nothing changes by it.

use super::format::{self, Kind};
use super::piece::{Begin, Tag};
use super::reading::{Opened, Stop, load, numbers};
use super::{Error, FOLDER, Fault};
use proto::address::Slot;
use std::path::Path;

/// A snapshot of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub file: u64,
    pub slot: Slot,
    pub begin: Begin,
    pub pieces: u64,
    pub bytes: u64,
    /// Sections by their tags, with their bytes, in order.
    pub sections: Vec<(Tag, u64)>,
    /// A start takes this one of the slot.
    pub is_newest: bool,
}

/// All whole snapshots, by slot, the newest first, and what is broken. Every piece is read.
pub fn list(data: &Path, store: u128) -> Result<(Vec<Listed>, Vec<Fault>), Error> {
    let loaded = load(data, store, &mut |_, _| Ok(()))?;
    let (mut listed, mut faults) = (Vec::new(), loaded.faults);
    let folder = data.join(FOLDER);
    for number in numbers(&folder)? {
        let Ok(mut opened) = Opened::open(&folder, number, store)? else { continue };
        let (filed, _) = opened.filed();
        for (slot, kept) in filed.kept {
            let mut one = Listed {
                file: number,
                slot,
                begin: Begin::default(),
                pieces: kept.places.len() as u64,
                bytes: kept.bytes,
                sections: Vec::new(),
                is_newest: loaded.index.of(slot).next().is_some_and(|(file, _)| file == number),
            };
            let read = opened.pieces(slot, &kept, &mut |kind, held| {
                one.add(kind, held);
                Ok(())
            });
            match read {
                Err(Stop::Bad(bad)) => {
                    let fault = Fault::new(number, bad, Some(slot));
                    if !faults.contains(&fault) {
                        faults.push(fault);
                    }
                }
                _ => listed.push(one),
            }
        }
    }
    listed.sort_by_key(|one| (one.slot, !one.is_newest, std::cmp::Reverse((one.begin.lsn, one.file))));
    Ok((listed, faults))
}

impl Listed {
    fn add(&mut self, kind: Kind, held: &[u8]) {
        match kind {
            Kind::Begin => self.begin = format::decode_begin(held).unwrap_or_default(),
            Kind::Section(tag) => match self.sections.last_mut() {
                Some((last, bytes)) if *last == tag => *bytes += held.len() as u64,
                _ => self.sections.push((tag, held.len() as u64)),
            },
            Kind::End => {}
        }
    }
}
