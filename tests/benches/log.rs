//! The log beside the bare disk: `cargo bench --workspace --bench log`.
//!
//! Each round measures `pwrite` + `fdatasync` of the same bytes and then the log, so that both see the same disk. Without
//! `--bench` among the arguments it runs once and shortly, which only shows that it works.

use agent_node::log::{Appender, Covered, Head, Log, Position, Progress, Room, SIZES};
use agent_node::store::{Store, StoreOptions};
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};
use tests::measure::{Bare, Disk, Table, percentile, whole};

const BODY: usize = 100;
/// Length of a record's head in the log, and where batches begin.
const HEAD: usize = 40;
const BLOCK: usize = 4096;
/// Records that a shard hands over at once.
const SLICE: usize = 16;
/// How often bare disk and log take turns in a round.
const TURNS: u32 = 10;

fn main() {
    let (rounds, time) = if whole() { (7, Duration::from_secs(2)) } else { (1, Duration::from_millis(200)) };
    println!("{rounds} rounds of {time:?}, records of {BODY} B");
    for in_flight in [256, 1] {
        let rounds: Vec<Round> = (0..rounds).map(|_| round(in_flight, time)).collect();
        report(in_flight, &rounds);
    }
}

struct Round {
    bare: Bare,
    per_second: f64,
    /// The median time of an acknowledgement, with one in flight.
    p50: f64,
    p99: f64,
    cpu_us: f64,
    bytes: f64,
}

fn report(in_flight: usize, rounds: &[Round]) {
    let mut table = Table::new();
    for round in rounds {
        table.bare(round.bare);
        table.add("acknowledged records per second", "/s", round.per_second);
        table.add("acknowledgement p50", "us", round.p50);
        table.add("acknowledgement p99", "us", round.p99);
        table.add("CPU per record", "us", round.cpu_us);
        table.add("bytes written / bytes of the records", "", round.bytes);
        let bare = in_flight as f64 / (round.bare.p50 / 1e6);
        table.add("records per second / (in flight / bare p50)", "", round.per_second / bare);
    }
    table.print(&format!("{in_flight} in flight"));
    let p50 = |round: &Round| round.bare.p50;
    let (low, high) =
        rounds.iter().map(p50).fold((f64::MAX, 0_f64), |(low, high), p50| (low.min(p50), high.max(p50)));
    if high > 2.0 * low {
        println!("  the bare p50 moved by {:.1}: run it again in quieter times", high / low);
    }
}

/// Bare disk and log take turns, since the disk changes from one second to the next.
fn round(in_flight: usize, time: Duration) -> Round {
    let folder = tempfile::tempdir_in(".").expect("a folder on the disk that is measured");
    let mut bare = Disk::new(folder.path(), (in_flight * (HEAD + BODY) + HEAD).next_multiple_of(BLOCK));
    let mut logged = Logged::new(&folder.path().join("data"), in_flight);
    for _ in 0..TURNS {
        bare.run(time / TURNS);
        logged.run(time / TURNS);
    }
    let written = logged.log.counts().bytes.load(Relaxed) - logged.bytes_before;
    let done = logged.lsn as f64;
    Round {
        bare: Bare { p50: percentile(&mut bare.took, 0.5), p99: percentile(&mut bare.took, 0.99) },
        per_second: done / logged.elapsed,
        p50: percentile(&mut logged.took, 0.5),
        p99: percentile(&mut logged.took, 0.99),
        cpu_us: logged.cpu_us / done,
        bytes: written as f64 / (done * (HEAD + BODY) as f64),
    }
}

struct Logged {
    log: Log,
    appender: Appender,
    rooms: mpsc::Receiver<()>,
    durable: Arc<(Mutex<Position>, Condvar)>,
    in_flight: usize,
    buffer: Vec<u8>,
    lsn: u64,
    bytes_before: u64,
    took: Vec<f64>,
    cpu_us: f64,
    elapsed: f64,
}

impl Logged {
    fn new(folder: &Path, in_flight: usize) -> Logged {
        let store = Store::open(folder, &StoreOptions { plan_uid: "bench".into(), ordinal: 0 }).unwrap();
        let durable = Arc::new((Mutex::new(Position(0)), Condvar::new()));
        let told = durable.clone();
        let on_durable = Box::new(move |position| {
            *told.0.lock().unwrap() = position;
            told.1.notify_one();
        });
        let (log, _) = Log::open(
            &store,
            SIZES,
            &Covered::default(),
            &mut |_, _, _| Ok(()),
            &Progress::default(),
            on_durable,
        )
        .unwrap();
        let bytes_before = log.counts().bytes.load(Relaxed);
        let (room, rooms) = mpsc::sync_channel(1);
        let appender = log.appender(move || room.try_send(()).unwrap_or_default());
        let (buffer, took, lsn) = (vec![9; BODY], Vec::new(), 0);
        let (cpu_us, elapsed) = (0.0, 0.0);
        let mut logged = Logged {
            log,
            appender,
            rooms,
            durable,
            in_flight,
            buffer,
            lsn,
            bytes_before,
            took,
            cpu_us,
            elapsed,
        };
        logged.reserve(in_flight);
        logged
    }

    fn reserve(&mut self, records: usize) {
        loop {
            match self.appender.reserve(records, records * BODY) {
                Room::Granted => return,
                Room::Later => self.rooms.recv().unwrap(),
                Room::Full(full) => panic!("{full}"),
            }
        }
    }

    /// Keeps so many records in flight, and waits for the last ones.
    fn run(&mut self, time: Duration) {
        let (cpu, started) = (cpu_us(), Instant::now());
        while started.elapsed() < time {
            let began = Instant::now();
            let free = self.wait_for_less_than(self.in_flight);
            self.append(free);
            self.took.push(began.elapsed().as_secs_f64() * 1e6);
        }
        self.wait_for_less_than(1);
        self.cpu_us += cpu_us() - cpu;
        self.elapsed += started.elapsed().as_secs_f64();
    }

    /// How many more may be in flight, once some are durable.
    fn wait_for_less_than(&self, in_flight: usize) -> usize {
        let seen = self.durable.0.lock().unwrap();
        let busy = |seen: &mut Position| self.lsn - seen.0 >= in_flight as u64;
        let seen = self.durable.1.wait_while(seen, busy).unwrap();
        self.in_flight - (self.lsn - seen.0) as usize
    }

    fn append(&mut self, mut free: usize) {
        while free > 0 {
            let mut records = [const { (Head { slot: 0, epoch: 1, incarnation: 1, lsn: 0 }, 0..0) }; SLICE];
            let records = &mut records[..free.min(SLICE)];
            for (head, body) in records.iter_mut() {
                self.lsn += 1;
                (head.slot, head.lsn, *body) = ((self.lsn % 4096) as u16, self.lsn, 0..BODY);
            }
            self.reserve(records.len());
            self.appender.append(records, &self.buffer);
            free -= records.len();
        }
    }
}

/// CPU time of all threads of this process, the measuring one among them.
fn cpu_us() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).ok();
    let ns = |text: String| text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    tasks.filter_map(|task| of(task.ok()?).and_then(ns)).sum::<f64>() / 1e3
}
