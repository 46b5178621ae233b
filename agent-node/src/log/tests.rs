//! The log on real files: what comes back after ends of every kind.

mod child;
mod files;
mod full;
mod recycling;

use super::*;
use crate::store::StoreOptions;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc;
use tempfile::TempDir;

const SMALL: Sizes = Sizes { smallest: 64 << 10, largest: 256 << 10 };

type Records = Vec<(Head, Vec<u8>)>;

fn store(folder: &Path) -> Store {
    Store::open(folder, &StoreOptions { plan_uid: "uid".into(), ordinal: 0 }).unwrap()
}

/// The records of a folder's log, and the log, open.
fn open(store: &Store) -> Result<(Log, Opened, Records, mpsc::Receiver<Position>), Error> {
    let (durable, durables) = mpsc::channel();
    let mut records = Vec::new();
    let mut each = |_: Position, head: Head, body: &[u8]| {
        records.push((head, body.to_vec()));
        Ok(())
    };
    let on_durable = Box::new(move |position| durable.send(position).unwrap_or_default());
    let progress = Progress::default();
    let (log, opened) = Log::open(store, SMALL, &Covered::default(), &mut each, &progress, on_durable)?;
    assert_eq!(progress.read.load(Relaxed), progress.of.load(Relaxed));
    Ok((log, opened, records, durables))
}

fn record(n: u64, length: usize) -> (Head, Vec<u8>) {
    let head = Head { slot: (n % 7) as u16, epoch: 1, incarnation: 1, lsn: n / 7 + 1 };
    (head, (0..length).map(|at| (n as usize + at) as u8).collect())
}

fn append(log: &Log, records: &[(Head, Vec<u8>)]) -> Position {
    let (mut heads, mut buffer) = (Vec::new(), Vec::new());
    for (head, body) in records {
        heads.push((*head, buffer.len()..buffer.len() + body.len()));
        buffer.extend_from_slice(body);
    }
    granted(log, heads.len(), buffer.len()).append(&heads, &buffer)
}

/// Asks until there is room for so much, or says why there is none.
fn reserve(log: &Log, records: usize, bytes: usize) -> Result<Appender, DiskFull> {
    ask_until(log, |appender| appender.reserve(records, bytes))
}

fn reserve_control(log: &Log, records: usize, bytes: usize) -> Result<Appender, DiskFull> {
    ask_until(log, |appender| appender.reserve_control(records, bytes))
}

fn ask_until(log: &Log, ask: impl Fn(&mut Appender) -> Room) -> Result<Appender, DiskFull> {
    let (room, rooms) = mpsc::sync_channel(1);
    let mut appender = log.appender(move || room.try_send(()).unwrap_or_default());
    loop {
        match ask(&mut appender) {
            Room::Granted => return Ok(appender),
            Room::Later => rooms.recv().unwrap(),
            Room::Full(full) => return Err(full),
        }
    }
}

fn granted(log: &Log, records: usize, bytes: usize) -> Appender {
    reserve(log, records, bytes).unwrap()
}

fn wait(durables: &mpsc::Receiver<Position>, position: Position) {
    while durables.recv().unwrap() < position {}
}

/// Those that have been begun. The ones behind are of zeros.
fn segment_files(folder: &Path) -> Vec<PathBuf> {
    let files =
        segments::Segments::list(&folder.join(FOLDER)).unwrap().files.into_iter().map(|(_, path)| path);
    files.filter(|path| fs::read(path).unwrap().iter().any(|&byte| byte != 0)).collect()
}

#[test]
fn what_was_appended_comes_back_in_order_over_many_segments_and_starts() {
    let temp = TempDir::new().unwrap();
    let mut written: Records = Vec::new();
    for start in 0..4 {
        let store = store(temp.path());
        let (log, opened, records, durables) = open(&store).unwrap();
        assert_eq!(records, written, "start {start}");
        assert_eq!((opened.records, opened.torn_bytes, opened.renewed), (written.len() as u64, 0, 0));
        assert_eq!(opened.position, Position(written.len() as u64));
        for n in 0..150 {
            let more: Records = (0..n % 9)
                .map(|i| {
                    record(
                        written.len() as u64 + i,
                        if n % 50 == 7 { 20_000 } else { (n * 13 % 900) as usize },
                    )
                })
                .collect();
            let position = append(&log, &more);
            written.extend(more);
            assert_eq!(position, Position(written.len() as u64));
            if n % 10 == 0 && n % 9 > 0 {
                wait(&durables, position);
            }
        }
        log.close();
        assert_eq!(durables.try_iter().last(), Some(Position(written.len() as u64)));
    }
    assert!(segment_files(temp.path()).len() > 4);
    let mut seen = 0;
    let (opened, damage, warnings) = read(temp.path(), &Covered::default(), &mut |seen_now| {
        seen += u64::from(matches!(seen_now, Seen::Record(..)));
        Ok(())
    })
    .unwrap();
    assert_eq!((seen, opened.records), (written.len() as u64, written.len() as u64));
    assert_eq!((damage, warnings), (None, vec![]));
}

#[test]
fn a_torn_tail_is_cut_and_reported_and_the_log_goes_on() {
    let temp = TempDir::new().unwrap();
    let written: Records = (0..20).map(|n| record(n, 300)).collect();
    let (log, _, _, durables) = open(&store(temp.path())).unwrap();
    for record in &written {
        wait(&durables, append(&log, std::slice::from_ref(record)));
    }
    log.close();
    drop(log);
    let path = segment_files(temp.path()).pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    let mark = end - end % format::BLOCK;
    // A batch that was being written: the mark is gone, and nothing sound has come in its place.
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0x55; 700], mark as u64).unwrap();
    let (log, opened, records, _) = open(&store(temp.path())).unwrap();
    assert_eq!(records, written);
    assert_eq!((opened.torn_bytes, opened.renewed), (700, 1));
    append(&log, &[record(20, 5)]);
    drop(log);
    let (_, opened, records, _) = open(&store(temp.path())).unwrap();
    assert_eq!((records.len(), opened.torn_bytes), (21, 0));
}

#[test]
fn damage_before_the_mark_is_refused_with_the_slots_that_lost_something() {
    let temp = TempDir::new().unwrap();
    let (log, _, _, durables) = open(&store(temp.path())).unwrap();
    for n in 0..3 {
        wait(&durables, append(&log, &[record(n, 300)]));
    }
    drop(log);
    let path = segment_files(temp.path()).pop().unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let at = 2 * format::BLOCK as u64 + 200;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    for _ in 0..2 {
        let text = open(&store(temp.path())).err().unwrap().to_string();
        assert!(text.contains(&temp.path().display().to_string()), "{text}");
        assert!(
            text.contains("segment 1 at byte 8330: a record is broken; slot 1 lost LSN 1 to 1"),
            "{text}"
        );
    }
    file.write_all_at(&byte, at).unwrap();
    assert_eq!(open(&store(temp.path())).unwrap().2.len(), 3, "a refusal changes nothing");
}

#[test]
fn a_record_that_can_not_be_replayed_is_named() {
    let temp = TempDir::new().unwrap();
    let (log, ..) = open(&store(temp.path())).unwrap();
    append(&log, &[record(9, 3)]);
    drop(log);
    let mut refuse = |_: Position, _: Head, _: &[u8]| Err("it makes no sense".to_owned());
    let (covered, progress) = (Covered::default(), Progress::default());
    let error = Log::open(&store(temp.path()), SMALL, &covered, &mut refuse, &progress, Box::new(|_| {}))
        .err()
        .unwrap();
    let text = "segment 1 of the log: record 2 of slot 2 can't be replayed: it makes no sense";
    assert_eq!(error.to_string(), text);
}

#[test]
fn the_folder_stays_locked_until_the_log_is_gone() {
    let temp = TempDir::new().unwrap();
    let (log, ..) = open(&store(temp.path())).unwrap();
    let options = StoreOptions { plan_uid: "uid".into(), ordinal: 0 };
    assert!(matches!(Store::open(temp.path(), &options), Err(store::Error::InUse { .. })));
    drop(log);
    Store::open(temp.path(), &options).unwrap();
}

#[test]
fn a_restart_takes_the_segments_that_were_prepared_and_gives_back_the_rest_of_the_last_one() {
    let temp = TempDir::new().unwrap();
    for _ in 0..30 {
        let (log, ..) = open(&store(temp.path())).unwrap();
        append(&log, &[record(0, 10)]);
        granted(&log, 1, 10);
    }
    let length = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let mut lengths: Vec<u64> = segment_files(temp.path()).iter().map(length).collect();
    lengths.pop();
    assert_eq!(lengths, vec![3 * format::BLOCK as u64; 29], "opening, batch, closing");
}

#[test]
fn records_of_the_greatest_length_find_room() {
    let temp = TempDir::new().unwrap();
    let (log, ..) = open(&store(temp.path())).unwrap();
    let long = record(0, BODY_MAX);
    append(&log, &[record(0, 1), long.clone(), record(2, 1)]);
    append(&log, std::slice::from_ref(&long));
    drop(log);
    let (_, opened, records, _) = open(&store(temp.path())).unwrap();
    assert_eq!((opened.records, &records[3]), (4, &long));
}

#[test]
fn many_threads_append_and_each_record_is_durable_when_its_position_is() {
    let temp = TempDir::new().unwrap();
    let (log, _, _, durables) = open(&store(temp.path())).unwrap();
    thread::scope(|scope| {
        for slot in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for lsn in 1..=500 {
                    append(log, &[(Head { slot, epoch: 1, incarnation: 1, lsn }, vec![slot as u8; 50])]);
                }
            });
        }
    });
    wait(&durables, Position(2000));
    drop(log);
    let mut lsns = [0; 4];
    for (head, body) in open(&store(temp.path())).unwrap().2 {
        let last = &mut lsns[usize::from(head.slot)];
        assert_eq!((head.lsn, &body[..]), (*last + 1, &[head.slot as u8; 50][..]));
        *last = head.lsn;
    }
    assert_eq!(lsns, [500; 4]);
}

#[test]
fn any_record_on_the_disk_can_be_read_again_while_the_log_goes_on() {
    let temp = TempDir::new().unwrap();
    let mut written: Records = Vec::new();
    for start in 0..3 {
        let store = store(temp.path());
        let (log, _, _, durables) = open(&store).unwrap();
        let mut reader = log.reader();
        for round in 0..40 {
            let more: Records = (0..=round % 9)
                .map(|n| record(written.len() as u64 + n, 100 + 400 * round as usize))
                .collect();
            wait(&durables, append(&log, &more));
            written.extend(more);
            // In order, backwards, and far from each other.
            let count = written.len();
            for at in (0..count).step_by(7).chain((0..count).rev().step_by(5)).chain([count - 1, 0]) {
                let (head, body) = reader.record(Position(at as u64)).unwrap();
                assert_eq!((head, body.to_vec()), written[at], "start {start}, record {at} of {count}");
            }
        }
        assert!(reader.record(Position(written.len() as u64)).is_err(), "it was never written");
    }
    assert!(segment_files(temp.path()).len() > 4);
}

#[test]
fn a_record_that_the_disk_has_lost_is_named() {
    let temp = TempDir::new().unwrap();
    let (log, _, _, durables) = open(&store(temp.path())).unwrap();
    wait(&durables, append(&log, &[record(0, 300), record(1, 300)]));
    let path = segment_files(temp.path()).pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let second = bytes.windows(20).rposition(|window| *window == record(1, 300).1[100..120]).unwrap();
    File::options().write(true).open(&path).unwrap().write_all_at(b"x", second as u64).unwrap();
    let mut reader = log.reader();
    assert_eq!(reader.record(Position(0)).unwrap().0, record(0, 300).0);
    let error = reader.record(Position(1)).unwrap_err().to_string();
    assert!(error.starts_with("record 1 of the log in") && error.contains("the record is broken"), "{error}");
}

#[test]
fn damage_that_loses_no_record_is_no_reason_not_to_start() {
    let temp = TempDir::new().unwrap();
    let written: Records = (0..3).map(|n| record(n, 300)).collect();
    let (log, _, _, durables) = open(&store(temp.path())).unwrap();
    for record in &written {
        wait(&durables, append(&log, std::slice::from_ref(record)));
    }
    drop(log);
    let path = segment_files(temp.path()).pop().unwrap();
    let padding = 3 * format::BLOCK as u64 - 7;
    File::options().write(true).open(&path).unwrap().write_all_at(b"x", padding).unwrap();
    for _ in 0..2 {
        let (_log, opened, records, _) = open(&store(temp.path())).unwrap();
        assert_eq!((records, opened.torn_bytes), (written.clone(), 0));
    }
    let (_, damage, warnings) = read(temp.path(), &Covered::default(), &mut |_| Ok(())).unwrap();
    assert_eq!((damage, warnings.len()), (None, 1), "it is told all the same");
}

/// The log of several starts, each of which has filled several segments.
fn many_segments(folder: &Path) -> Records {
    let mut written: Records = Vec::new();
    for _ in 0..3 {
        let (log, ..) = open(&store(folder)).unwrap();
        for _ in 0..40 {
            let record = record(written.len() as u64, 9_000);
            append(&log, std::slice::from_ref(&record));
            written.push(record);
        }
    }
    written
}

#[test]
fn each_segment_that_is_gone_or_empty_is_refused_until_it_is_back() {
    let temp = TempDir::new().unwrap();
    let written = many_segments(temp.path());
    let segments = segment_files(temp.path());
    assert!(segments.len() > 6, "{segments:?}");
    for (n, path) in segments.iter().enumerate() {
        let bytes = fs::read(path).unwrap();
        for empty in [false, true] {
            if empty {
                fs::write(path, "").unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
            let refused = open(&store(temp.path())).err();
            let text =
                refused.unwrap_or_else(|| panic!("{} is gone, and it starts", path.display())).to_string();
            assert!(text.contains("is damaged and has lost records"), "{text}");
            // The newest one was named by nothing but the closing of the one before.
            let named = if n + 1 == segments.len() {
                "the file of the segment after it is not there"
            } else {
                "lost LSN"
            };
            assert!(text.contains(named), "{text}");
        }
        fs::write(path, bytes).unwrap();
    }
    assert_eq!(open(&store(temp.path())).unwrap().2, written);
}

#[test]
fn a_log_that_is_gone_is_refused_once_there_was_a_ring_and_its_folder_always() {
    let temp = TempDir::new().unwrap();
    let (log, ..) = open(&store(temp.path())).unwrap();
    drop(log);
    let refused = |folder: &Path| open(&store(folder)).err().map(|error| error.to_string());
    fs::remove_file(segment_files(temp.path()).pop().unwrap()).unwrap();
    assert_eq!(refused(temp.path()), None, "a store without a ring has acknowledged nothing");
    store(temp.path()).save_configuration(b"plan and ring").unwrap();
    let path = segment_files(temp.path()).pop().unwrap();
    for empty in [true, false] {
        if empty {
            fs::write(&path, "").unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let text = refused(temp.path()).unwrap();
        assert!(text.contains("log contains no segment, or only empty ones"), "{text}");
    }
    fs::remove_dir_all(temp.path().join(FOLDER)).unwrap();
    let text = refused(temp.path()).unwrap();
    assert!(text.contains("log does not exist"), "{text}");
}

#[test]
fn a_log_of_the_format_before_is_refused_as_such() {
    let temp = TempDir::new().unwrap();
    let (log, ..) = open(&store(temp.path())).unwrap();
    drop(log);
    let path = segment_files(temp.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 1;
    let sum = crc32c::crc32c(&bytes[8..96]);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let text = open(&store(temp.path())).err().unwrap().to_string();
    assert!(
        text.contains("segment 1") && text.contains("has format 1, and this version reads only format 2"),
        "{text}"
    );
}

#[test]
fn bytes_given_to_the_disk_count_the_zeros_of_what_is_made_ahead() {
    let temp = TempDir::new().unwrap();
    let (log, ..) = open(&store(temp.path())).unwrap();
    granted(&log, 1, 10);
    let whole = |name: &str| name == "kept" || name.starts_with("segment-");
    let entries = fs::read_dir(temp.path().join(FOLDER)).unwrap().map(Result::unwrap);
    let made = entries.filter(|entry| entry.file_name().to_str().is_some_and(whole));
    let bytes: u64 = made.map(|entry| entry.metadata().unwrap().len()).sum();
    let counted = log.counts().bytes.load(Relaxed);
    assert!(bytes > 0 && counted >= bytes, "{counted} counted, {bytes} in files");
}
