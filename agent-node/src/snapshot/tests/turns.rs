//! A real log and a taker beside it, on a simulated disk, while far more is written than is kept.

use super::super::decide::Limits;
use super::*;
use crate::log::{Appender, Head, Log, Loops, Progress, Room, Sizes};
use crate::store::{Store, StoreOptions};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SIZES: Sizes = Sizes { smallest: 64 << 10, largest: 128 << 10 };
const LIMITS: Limits = Limits { period: 256 << 10, round: 64 << 10, garbage: 64 << 10, segment: 4 << 10 };
const SLOTS: u16 = 40;

/// What a slot is at a record: so many bytes that say which one.
fn state(slot: Slot, lsn: u64) -> Vec<u8> {
    vec![(lsn ^ u64::from(slot)) as u8; 5_000 + 2_000 * usize::from(slot)]
}

fn whole() -> u64 {
    (0..SLOTS).map(|slot| state(slot, 0).len() as u64 + 100).sum()
}

/// A process: its log, its taker, and slots as shards would have them.
struct Process {
    log: Arc<Log>,
    loops: Loops,
    appender: Appender,
    taker: Taker,
    sink: Sink,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The last record of each slot, and the place after it.
    slots: Vec<(u64, Position)>,
    counts: Arc<Counts>,
}

fn start(disk: &Disk) -> Option<Process> {
    let data = disk.root().join("data");
    let store = Store::open(&data, &StoreOptions { plan_uid: "uid".into(), ordinal: 0 });
    let Ok(store) = store else {
        assert!(disk.has_ended());
        return None;
    };
    let lsns = Rc::new(RefCell::new(vec![0; usize::from(SLOTS)]));
    let loaded = tidy(&data).and_then(|()| {
        load(&data, store.id(), &mut |slot, found| {
            let mut lsns = lsns.borrow_mut();
            match found {
                Found::Begin(begin) => lsns[usize::from(slot)] = begin.lsn,
                Found::Section(_, bytes) => assert!(state(slot, lsns[usize::from(slot)]).starts_with(bytes)),
                Found::End => {}
                Found::Broken => lsns[usize::from(slot)] = 0,
            }
            Ok(())
        })
    });
    let Ok(loaded) = loaded else {
        assert!(disk.has_ended());
        return None;
    };
    let mut replay = |_: Position, head: Head, _: &[u8]| {
        let lsn = &mut lsns.borrow_mut()[usize::from(head.slot)];
        assert_eq!(head.lsn, *lsn + 1, "slot {}", head.slot);
        *lsn = head.lsn;
        Ok(())
    };
    let progress = Progress::default();
    let opened = Log::load(&store, SIZES, &loaded.covered, &mut replay, &progress, Box::new(|_| {}));
    let (log, loops, _) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            assert!(disk.has_ended(), "{error}");
            return None;
        }
    };
    let (log, sink, asked) = (Arc::new(log), Sink::new(1), Arc::new(Mutex::new(Vec::new())));
    let (asking, counts) = (asked.clone(), Arc::new(Counts::default()));
    let taker = Taker::new(Parts {
        data,
        store: store.id(),
        incarnation: store.incarnation(),
        loaded,
        log: log.clone(),
        sink: sink.clone(),
        shards: 1,
        ask: Box::new(move |_, ask| crate::lock::lock(&asking).push(ask)),
        limits: LIMITS,
        counts: counts.clone(),
    });
    let appender = log.appender(|| {});
    let slots = lsns.borrow().iter().map(|lsn| (*lsn, Position(0))).collect();
    Some(Process { log, loops, appender, taker, sink, asked, slots, counts })
}

impl Process {
    /// Writes a record of a slot, if there is room. How long it is.
    fn write(&mut self, slot: Slot, bytes: usize) -> usize {
        let slot_state = &mut self.slots[usize::from(slot)];
        if self.appender.reserve(1, bytes) != Room::Granted {
            return 0;
        }
        let head = Head { slot, epoch: 1, incarnation: 1, lsn: slot_state.0 + 1 };
        *slot_state = (head.lsn, self.appender.append(&[(head, 0..bytes)], &vec![7; bytes]));
        bytes
    }

    /// The log's loops and the taker have a turn each, and what that asks for is given.
    fn turn(&mut self) -> bool {
        let committed = self.loops.commit().is_ok();
        self.loops.prepare();
        self.taker.turn(Duration::ZERO);
        for asked in std::mem::take(&mut *crate::lock::lock(&self.asked)) {
            let Asked::Take { round, slots } = asked else { continue };
            for slot in slots {
                let (lsn, end) = self.slots[usize::from(slot)];
                let begin = Piece::Begin(Begin { lsn, end, ..Begin::default() });
                let bytes = state(slot, lsn);
                let sections = bytes.chunks(BYTES_MAX).map(|bytes| Piece::Section(Tag(1), bytes.to_vec()));
                let pieces = std::iter::once(begin).chain(sections).chain([Piece::End]);
                let mut given = pieces.map(|piece| Given { slot, piece }).collect();
                self.sink.give(0, round, &mut given);
            }
        }
        committed
    }
}

#[test]
fn after_fifty_times_what_is_kept_the_disk_has_four_times_that_and_a_named_amount() {
    let disk = Disk::new(3);
    let mut process = start(&disk).unwrap();
    let (mut written, mut most, mut random) = (0, 0, SmallRng::seed_from_u64(3));
    // Two periods of a small node and its garbage, two rounds, what the log has made ahead and uses again.
    let named = 2 * LIMITS.period + LIMITS.garbage + 2 * LIMITS.round + 12 * SIZES.largest + (1 << 20);
    while written < 50 * whole() {
        let slot =
            if random.random_bool(0.7) { random.random_range(0..8) } else { random.random_range(0..SLOTS) };
        written += process.write(slot, random.random_range(500..6_000)) as u64;
        assert!(process.turn());
        most = most.max(disk.used());
        assert!(disk.used() <= 4 * whole() + named, "{} after {written}", disk.used());
    }
    let taken = process.counts.bytes.load(std::sync::atomic::Ordering::Relaxed);
    println!(
        "{} KiB kept, {} KiB written in {} KiB of log, {} KiB of snapshots, {} KiB on the disk at most",
        whole() >> 10,
        written >> 10,
        process.log.counts().bytes.load(std::sync::atomic::Ordering::Relaxed) >> 10,
        taken >> 10,
        most >> 10
    );
    // Each record is a batch here, which is longer than it.
    let logged = process.log.counts().bytes.load(std::sync::atomic::Ordering::Relaxed);
    assert!(taken < 5 * logged / 2, "{taken} bytes of snapshots for {logged} of the log");
    let lsns: Vec<u64> = process.slots.iter().map(|(lsn, _)| *lsn).collect();
    assert!(process.turn() && process.turn());
    drop(process);
    disk.end(End::PowerLoss);
    let again = start(&disk).unwrap();
    assert_eq!(again.slots.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), lsns);
    assert!(again.log.held().front().is_some_and(|first| first.segment > 20));
}

#[test]
fn a_process_that_ends_anywhere_while_snapshots_are_taken_loses_nothing() {
    let (mut taken, mut starts) = (0, 0);
    for seed in 0..60 {
        let disk = Disk::new(seed);
        let mut random = SmallRng::seed_from_u64(seed);
        let mut durable = vec![0; usize::from(SLOTS)];
        for _ in 0..8 {
            disk.ends_in(random.random_range(20..500));
            if let Some(mut process) = start(&disk) {
                starts += 1;
                for (slot, least) in durable.iter().enumerate() {
                    assert!(process.slots[slot].0 >= *least, "seed {seed}: slot {slot}");
                }
                for _ in 0..400 {
                    let bytes = random.random_range(500..20_000);
                    process.write(random.random_range(0..SLOTS), bytes);
                    let committed = process.turn();
                    if disk.has_ended() {
                        break;
                    }
                    assert!(committed);
                    durable = process.slots.iter().map(|(lsn, _)| *lsn).collect();
                }
                taken += process.counts.files.load(std::sync::atomic::Ordering::Relaxed);
            }
            disk.end(if random.random_bool(0.5) { End::Killed } else { End::PowerLoss });
        }
    }
    assert!(taken > 100 && starts > 300, "{taken} files in {starts} starts");
}

#[test]
fn on_a_full_disk_snapshots_that_free_space_are_taken_into_what_was_kept_back() {
    let disk = Disk::new(5);
    let mut process = start(&disk).unwrap();
    let mut random = SmallRng::seed_from_u64(5);
    let mut write = |process: &mut Process| {
        let written = process.write(random.random_range(0..SLOTS), 4_000);
        assert!(process.turn());
        written > 0
    };
    for _ in 0..600 {
        write(&mut process);
    }
    let files = |process: &Process| process.counts.files.load(std::sync::atomic::Ordering::Relaxed);
    let before = files(&process);
    assert!(before > 0);
    disk.set_capacity(disk.used());
    let mut written = 0;
    for _ in 0..3_000 {
        written += u32::from(write(&mut process));
    }
    assert!(files(&process) > before, "none was taken on the full disk");
    assert!(written > 1_000, "only {written} of 3000 records were written");
}
