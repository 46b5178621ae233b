//! Segments that go and are used again: on real files, and on a simulated disk whose process ends in the middle of
//! anything.

use super::*;
use crate::disk::simulated::{Disk, End};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

const SPARE: u64 = 1 << 20;

/// The first segment that has a record of which no snapshot knows.
fn needed(log: &Log, covered: &Covered) -> u64 {
    let is_needed =
        |held: &&Held| held.is_open() || held.slots.iter().any(|run| run.last > covered.lsn(run.slot));
    log.held().iter().find(is_needed).map_or(0, |held| held.segment)
}

type Heads = Vec<(Position, Head)>;

fn open_covered(store: &Store, covered: &Covered) -> Result<(Log, Opened, Heads), Error> {
    let mut records = Vec::new();
    let mut each = |at: Position, head: Head, _: &[u8]| {
        records.push((at, head));
        Ok(())
    };
    let (log, opened) = Log::open(store, SMALL, covered, &mut each, &Progress::default(), Box::new(|_| {}))?;
    Ok((log, opened, records))
}

#[test]
fn segments_that_snapshots_have_go_and_their_files_are_those_to_come() {
    let temp = TempDir::new().unwrap();
    let mut covered = Covered::default();
    let (log, ..) = open_covered(&store(temp.path()), &covered).unwrap();
    let (mut n, mut half) = (0, (0, 0));
    let counted = |log: &Log| (log.counts().segments.load(Relaxed), log.counts().recycled.load(Relaxed));
    for round in 0..120 {
        for _ in 0..30 {
            append(&log, &[record(n, 3000)]);
            n += 1;
        }
        log.drop_before(needed(&log, &covered), SPARE).unwrap();
        for (head, _) in (0..n).map(|n| record(n, 0)) {
            covered.note(head.slot, head.lsn.saturating_sub(3), Position(0));
        }
        if round == 60 {
            half = counted(&log);
        }
    }
    let (segments, recycled) = counted(&log);
    let (begun, again) = (segments - half.0, recycled - half.1);
    assert!(begun > 10 && again + 1 >= begun, "{begun} begun, {again} of them recycled");
    assert!(log.bytes() < 4 << 20, "{} bytes", log.bytes());
    log.close();
    drop(log);
    let (log, opened, records) = open_covered(&store(temp.path()), &covered).unwrap();
    assert_eq!((opened.position, opened.torn_bytes), (Position(n), 0));
    assert!(opened.records < n / 2);
    for (at, head) in &records {
        assert_eq!(*head, record(at.0, 0).0, "positions stay what they are");
        assert!(head.lsn > covered.lsn(head.slot));
    }
    let mut reader = log.reader();
    assert_eq!(reader.record(records[0].0).unwrap().1, record(records[0].0.0, 3000).1);
    drop(log);
    // Without what snapshots have, what is gone is missed.
    let text = open_covered(&store(temp.path()), &Covered::default()).err().unwrap().to_string();
    assert!(
        text.contains("no snapshot has all that was in them") && text.contains("lost LSN 1 to"),
        "{text}"
    );
}

/// A log on a simulated disk, and what it has to hold.
struct Run {
    random: SmallRng,
    disk: Disk,
    /// All that were ever appended and not lost, by position.
    records: Records,
    durable: Arc<AtomicU64>,
    covered: Covered,
    recycled: u64,
    starts: u64,
}

const SLOTS: u16 = 5;

impl Run {
    fn new(seed: u64) -> Run {
        let random = SmallRng::seed_from_u64(seed);
        let disk = Disk::new(seed);
        let (records, durable, covered) = (Vec::new(), Arc::default(), Covered::default());
        Run { random, disk, records, durable, covered, recycled: 0, starts: 0 }
    }

    /// Runs a process until it ends.
    fn process(&mut self) {
        let store =
            Store::open(self.disk.root().join("data"), &StoreOptions { plan_uid: "uid".into(), ordinal: 0 });
        let Ok(store) = store else { return assert!(self.disk.has_failed()) };
        let Some((log, mut loops)) = self.start(&store) else { return };
        let mut appender = log.appender(|| {});
        for _ in 0..self.random.random_range(1..400) {
            let went_on = match self.random.random_range(0..8) {
                0..4 => {
                    self.append(&mut appender);
                    true
                }
                4 | 5 => loops.commit().is_ok(),
                6 => {
                    loops.prepare();
                    true
                }
                _ => {
                    self.cover();
                    log.drop_before(needed(&log, &self.covered), SPARE).is_ok()
                }
            };
            if self.disk.has_ended() {
                break;
            }
            assert!(went_on);
        }
        self.recycled += log.counts().recycled.load(Relaxed);
    }

    fn start(&mut self, store: &Store) -> Option<(Log, Loops)> {
        let (mut found, durable) = (Vec::new(), self.durable.clone());
        let mut each = |at: Position, head: Head, body: &[u8]| {
            found.push((at, head, body.to_vec()));
            Ok(())
        };
        let on_durable = Box::new(move |position: Position| durable.store(position.0, Relaxed));
        let loaded = Log::load(store, SMALL, &self.covered, &mut each, &Progress::default(), on_durable);
        let (log, loops, opened) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                assert!(self.disk.has_failed(), "start {}: {error}", self.starts);
                return None;
            }
        };
        self.starts += 1;
        let durable = self.durable.load(Relaxed);
        assert!(opened.position.0 >= durable, "{durable} were durable, {} are there", opened.position.0);
        self.records.truncate(opened.position.0 as usize);
        assert_eq!(self.records.len() as u64, opened.position.0);
        let wanted =
            self.records.iter().enumerate().filter(|(_, (head, _))| head.lsn > self.covered.lsn(head.slot));
        let wanted: Vec<_> =
            wanted.map(|(at, (head, body))| (Position(at as u64), *head, body.clone())).collect();
        assert_eq!(found, wanted);
        self.durable.store(opened.position.0, Relaxed);
        Some((log, loops))
    }

    fn append(&mut self, appender: &mut Appender) {
        let slot = self.random.random_range(0..SLOTS) * self.random.random_range(0..2);
        let lsn = self.records.iter().filter(|(head, _)| head.slot == slot).count() as u64 + 1;
        let head = Head { slot, epoch: 1, incarnation: self.starts, lsn };
        let body = vec![self.random.random(); self.random.random_range(0..12_000)];
        if appender.reserve(1, body.len()) == Room::Granted {
            appender.append(&[(head, 0..body.len())], &body);
            self.records.push((head, body));
        }
    }

    /// Snapshots of some slots are made.
    fn cover(&mut self) {
        let durable = self.durable.load(Relaxed) as usize;
        for (head, _) in &self.records[..durable] {
            if self.random.random_bool(0.5) {
                self.covered.note(head.slot, head.lsn, Position(durable as u64));
            }
        }
    }
}

#[test]
fn a_process_that_ends_anywhere_while_segments_go_loses_nothing() {
    let (mut recycled, mut starts) = (0, 0);
    for seed in 0..150 {
        let mut run = Run::new(seed);
        for _ in 0..12 {
            let ends_in = run.random.random_range(1..120);
            run.disk.ends_in(ends_in);
            run.process();
            let end = if run.random.random_bool(0.5) { End::Killed } else { End::PowerLoss };
            run.disk.end(end);
        }
        (recycled, starts) = (recycled + run.recycled, starts + run.starts);
    }
    assert!(recycled > 300 && starts > 1000, "{recycled} recycled in {starts} starts");
}
