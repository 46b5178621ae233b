//! Files of snapshots on a simulated disk: what comes back, and what of it is broken.

mod turns;

use super::format::{Header, Kind};
use super::writing::Writing;
use super::*;
use crate::disk;
use crate::disk::simulated::{Disk, End};
use crate::log::Position;
use std::collections::BTreeMap;

const STORE: u128 = 0xfeed;

fn header(number: u64) -> Header {
    Header { store: STORE, number, salt: number * 0x1234_5678_9abc, incarnation: 1, time_ms: 0 }
}

fn begin(lsn: u64) -> Begin {
    Begin { history: 1, lsn, end: Position(lsn * 10), time_ms: 7, ..Begin::default() }
}

/// What a slot is at a record: sections of some lengths.
fn sections(slot: Slot, lsn: u64) -> Vec<(Tag, Vec<u8>)> {
    let lengths = [10, 0, 70_000 / (1 + usize::from(slot) % 3), 5];
    let section = |(n, length): (usize, &usize)| {
        (Tag(n as u16), vec![(lsn as usize + n) as u8; (*length).min(BYTES_MAX)])
    };
    lengths.iter().enumerate().map(section).collect()
}

fn folder(disk: &Disk) -> PathBuf {
    let data = disk.root().join("data");
    disk::make_folders(&data.join(FOLDER)).unwrap();
    data
}

/// A file with snapshots of these slots at these records, their pieces in turns.
fn write(data: &Path, number: u64, slots: &[(Slot, u64)]) -> io::Result<()> {
    let mut writing = Writing::begin(data, header(number))?;
    for &(slot, lsn) in slots {
        writing.put(slot, Piece::Begin(begin(lsn)))?;
    }
    for n in 0..4 {
        for &(slot, lsn) in slots {
            let (tag, bytes) = sections(slot, lsn).remove(n);
            writing.put(slot, Piece::Section(tag, bytes))?;
        }
    }
    for &(slot, _) in slots {
        writing.put(slot, Piece::End)?;
    }
    writing.finish().map(|_| ())
}

/// What is found of each slot, checked, and what is broken.
fn read(data: &Path) -> (BTreeMap<Slot, u64>, Loaded) {
    let (mut found, mut whole) = (BTreeMap::<Slot, (u64, Vec<(Tag, Vec<u8>)>)>::new(), BTreeMap::new());
    let loaded = load(data, STORE, &mut |slot, piece| {
        match piece {
            Found::Begin(begin) => assert_eq!(found.insert(slot, (begin.lsn, Vec::new())), None),
            Found::Section(tag, bytes) => found.get_mut(&slot).unwrap().1.push((tag, bytes.to_vec())),
            Found::End => {
                let (lsn, had) = found.remove(&slot).unwrap();
                assert_eq!(had, sections(slot, lsn));
                assert_eq!(whole.insert(slot, lsn), None);
            }
            Found::Broken => drop(found.remove(&slot)),
        }
        Ok(())
    })
    .unwrap();
    assert!(found.is_empty());
    for (slot, lsn) in &whole {
        assert_eq!(loaded.covered.lsn(*slot), *lsn);
    }
    (whole, loaded)
}

#[test]
fn the_newest_snapshot_of_each_slot_comes_back() {
    let disk = Disk::new(1);
    let data = folder(&disk);
    write(&data, 1, &[(1, 5), (2, 5), (9, 5)]).unwrap();
    write(&data, 2, &[(2, 8), (3, 6)]).unwrap();
    // A copy of an older one in a newer file.
    write(&data, 3, &[(2, 5)]).unwrap();
    let (found, loaded) = read(&data);
    assert_eq!(found, [(1, 5), (2, 8), (3, 6), (9, 5)].into());
    assert_eq!((loaded.faults, loaded.covered.until()), (vec![], Position(80)));
    assert_eq!(
        loaded.index.of(2).map(|(file, kept)| (file, kept.lsn)).collect::<Vec<_>>(),
        [(2, 8), (3, 5), (1, 5)]
    );
    let whole: u64 = loaded.index.files()[&1].kept.values().map(|kept| kept.bytes).sum();
    assert!(loaded.index.files()[&1].bytes - whole < 500);
}

#[test]
fn whatever_byte_is_flipped_the_snapshots_before_take_the_place_of_exactly_what_it_breaks() {
    let disk = Disk::new(1);
    let data = folder(&disk);
    write(&data, 1, &[(1, 5), (2, 5)]).unwrap();
    write(&data, 2, &[(2, 8), (1, 7)]).unwrap();
    let path = path(&data.join(FOLDER), 2);
    let length = disk::length(&path).unwrap();
    let (mut whole, mut said) = (0, 0);
    for at in (0..length).filter(|at| at % 997 == 0 || *at < 400 || *at + 400 > length) {
        disk.flip(&path, at);
        let (found, loaded) = read(&data);
        let lost = found.iter().filter(|(_, lsn)| **lsn == 5).count();
        assert_eq!(found.len(), 2);
        assert!(lost <= if at < 64 { 2 } else { 1 }, "byte {at} breaks {lost} snapshots");
        assert!(!loaded.faults.is_empty(), "byte {at} is not seen");
        for fault in &loaded.faults {
            let text = fault.to_string();
            assert!(text.starts_with("snapshot-00000002 at byte "), "{text}");
        }
        whole += u32::from(lost == 0);
        said += u32::from(loaded.faults.iter().any(|fault| fault.slot == Some(1)));
        disk.flip(&path, at);
    }
    // What only breaks the table costs nothing.
    assert!(whole > 100 && said > 10, "{whole} {said}");
    assert_eq!(read(&data).1.faults, []);
}

#[test]
fn a_file_that_is_cut_anywhere_has_what_is_whole_before_the_cut() {
    let disk = Disk::new(1);
    let data = folder(&disk);
    write(&data, 1, &[(1, 5), (2, 5)]).unwrap();
    let path = path(&data.join(FOLDER), 1);
    let length = disk::length(&path).unwrap();
    for cut in [0, 10, 63, 64, 200, 40_000, length - 400, length - 33, length - 1] {
        disk::open_to_write(&path).unwrap().set_length(cut).unwrap();
        let (found, loaded) = read(&data);
        assert!(found.len() <= 2 && loaded.faults.len() == 1, "{cut}: {:?}", loaded.faults);
        disk::remove(&path).unwrap();
        write(&data, 1, &[(1, 5), (2, 5)]).unwrap();
    }
}

#[test]
fn a_process_that_ends_anywhere_leaves_whole_files_only() {
    let (mut had, mut none) = (0, 0);
    for seed in 0..200 {
        let disk = Disk::new(seed);
        let data = folder(&disk);
        write(&data, 1, &[(1, 5)]).unwrap();
        disk.ends_in(1 + seed % 12);
        let written = write(&data, 2, &[(1, 9), (2, 9)]);
        let is_dead = disk.has_ended();
        disk.end(if seed % 2 == 0 { End::Killed } else { End::PowerLoss });
        tidy(&data).unwrap();
        let (found, loaded) = read(&data);
        assert_eq!(loaded.faults, []);
        assert!(written.is_err() == is_dead);
        match found.get(&2) {
            Some(_) => had += 1,
            None => none += 1,
        }
        assert!(written.is_err() || found == [(1, 9), (2, 9)].into());
        assert!(found.contains_key(&1));
    }
    assert!(had > 20 && none > 20, "{had} {none}");
}

#[test]
fn a_snapshot_that_was_given_up_leaves_its_blocks_and_nothing_else() {
    let disk = Disk::new(1);
    let data = folder(&disk);
    let mut writing = Writing::begin(&data, header(1)).unwrap();
    for n in 0..40 {
        let piece = if n == 0 { Piece::Begin(begin(3)) } else { Piece::Section(Tag(1), vec![1; BYTES_MAX]) };
        writing.put(4, piece).unwrap();
    }
    writing.give_up();
    assert_eq!(disk::list(&data.join(FOLDER)).unwrap(), ["room"]);
    disk.set_capacity(disk.used());
    write(&data, 1, &[(1, 5), (2, 5)]).unwrap();
    assert_eq!(read(&data).0, [(1, 5), (2, 5)].into());
    assert_eq!(disk::list(&data.join(FOLDER)).unwrap(), ["snapshot-00000001"]);
}

#[test]
fn a_newer_format_is_refused_and_another_stores_file_passed_over() {
    let disk = Disk::new(1);
    let data = folder(&disk);
    write(&data, 1, &[(1, 5)]).unwrap();
    let path = path(&data.join(FOLDER), 1);
    let file = disk::open_to_write(&path).unwrap();
    let mut bytes = Header { store: STORE + 1, ..header(1) }.encode();
    file.write_all_at(&bytes, 0).unwrap();
    let (found, loaded) = read(&data);
    assert_eq!((found.len(), loaded.unread, loaded.faults.len()), (0, vec![1], 1));
    bytes[8] = 2;
    let sum = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&bytes, 0).unwrap();
    let text = load(&data, STORE, &mut |_, _| Ok(())).err().unwrap().to_string();
    assert!(text.contains("has format 2, and this version reads only format 1"), "{text}");
}

#[test]
fn all_snapshots_are_listed_the_newest_first_and_a_broken_one_is_named() {
    let disk = Disk::new(1);
    let data = folder(&disk);
    write(&data, 1, &[(1, 5), (2, 5)]).unwrap();
    write(&data, 2, &[(2, 8)]).unwrap();
    let shown = |listed: &[Listed]| {
        listed.iter().map(|one| (one.slot, one.begin.lsn, one.file, one.is_newest)).collect::<Vec<_>>()
    };
    let (listed, faults) = list(&data, STORE).unwrap();
    assert_eq!((shown(&listed), faults.len()), (vec![(1, 5, 1, true), (2, 8, 2, true), (2, 5, 1, false)], 0));
    assert_eq!(listed[0].sections.iter().map(|(tag, _)| tag.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    disk.flip(&path(&data.join(FOLDER), 2), 5_000);
    let (listed, faults) = list(&data, STORE).unwrap();
    assert_eq!((shown(&listed), faults.len()), (vec![(1, 5, 1, true), (2, 5, 1, true)], 1));
}

#[test]
fn a_snapshot_that_can_not_be_taken_is_named() {
    let disk = Disk::new(1);
    let data = folder(&disk);
    write(&data, 1, &[(1, 5)]).unwrap();
    let refused = load(&data, STORE, &mut |_, found| match found {
        Found::Section(Tag(2), _) => Err("section 2 is not known".into()),
        _ => Ok(()),
    });
    let text = refused.err().unwrap().to_string();
    assert!(
        text.starts_with("the snapshot of slot 1 in ") && text.ends_with("section 2 is not known"),
        "{text}"
    );
    assert!(!matches!(Kind::End, Kind::Section(_)));
}
