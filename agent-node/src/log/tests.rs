//! The log on real files: what comes back after ends of every kind.

use super::*;
use crate::store::StoreOptions;
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
    let mut each = |head: Head, body: &[u8]| {
        records.push((head, body.to_vec()));
        Ok(())
    };
    let on_durable = Box::new(move |position| durable.send(position).unwrap_or_default());
    let (log, opened) = Log::open_with(store, SMALL, &mut each, on_durable)?;
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
    log.reserve(buffer.len()).unwrap();
    log.append(&heads, &buffer)
}

fn wait(durables: &mpsc::Receiver<Position>, position: Position) {
    while durables.recv().unwrap() < position {}
}

fn segment_files(folder: &Path) -> Vec<PathBuf> {
    Segments::list(&folder.join(FOLDER)).unwrap().files.into_iter().map(|(_, path)| path).collect()
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
    let (opened, damage) = read(temp.path(), &mut |seen_now| {
        seen += u64::from(matches!(seen_now, Seen::Record(..)));
        Ok(())
    })
    .unwrap();
    assert_eq!((seen, opened.records, damage), (written.len() as u64, written.len() as u64, vec![]));
}
