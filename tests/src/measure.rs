//! What benches share: the bare disk beside every durable figure, and tables of minimum, median and maximum.

use crate::dev::root;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BLOCK: usize = 4096;
const FILE: usize = 32 << 20;
const DISK_TIME: Duration = Duration::from_millis(500);
/// How often a round is tried whose disk did not hold still.
const TRIES: usize = 5;

/// A folder on the disk that is measured: the one that the project lies on.
pub fn folder() -> TempDir {
    let target = root().join("target");
    std::fs::create_dir_all(&target).expect("a folder for what is built");
    tempfile::tempdir_in(target).expect("a folder on the disk that is measured")
}

/// Whether this is a whole run: `cargo bench` says so. Else it only shows that the bench works.
pub fn whole() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

/// `pwrite` + `fdatasync` of one length, over and over, into a file of written zeros.
pub struct Disk {
    file: File,
    block: Vec<u8>,
    at: usize,
    /// How long each took, in us.
    pub took: Vec<f64>,
}

impl Disk {
    pub fn new(folder: &Path, length: usize) -> Disk {
        let path = folder.join("bare");
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(path).expect("a file");
        file.write_all_at(&vec![0; FILE], 0).expect("zeros");
        file.sync_all().expect("a sync");
        Disk { file, block: vec![7; length.next_multiple_of(BLOCK)], at: 0, took: Vec::new() }
    }

    pub fn run(&mut self, time: Duration) {
        let started = Instant::now();
        while started.elapsed() < time {
            let began = Instant::now();
            self.file.write_all_at(&self.block, self.at as u64).expect("a write");
            self.file.sync_data().expect("a sync");
            self.took.push(began.elapsed().as_secs_f64() * 1e6);
            self.at += self.block.len();
            if self.at + self.block.len() > FILE {
                self.at = 0;
            }
        }
    }
}

/// The bare disk in the minute of a figure, in us.
#[derive(Clone, Copy, Debug)]
pub struct Bare {
    pub p50: f64,
    pub p99: f64,
}

/// Runs a round between two looks at the bare disk. One in which its p50 moved by more than 2 is run again.
pub fn beside_the_disk<T>(folder: &Path, mut round: impl FnMut() -> T) -> (T, Bare) {
    let mut tried = 0;
    loop {
        let before = bare(folder);
        let result = round();
        let after = bare(folder);
        tried += 1;
        let moved = before.p50.max(after.p50) / before.p50.min(after.p50);
        if moved <= 2.0 || tried == TRIES {
            if moved > 2.0 {
                println!("  the bare p50 moved by {moved:.1} in each of {TRIES} tries");
            }
            let bare = Bare { p50: f64::midpoint(before.p50, after.p50), p99: before.p99.max(after.p99) };
            return (result, bare);
        }
    }
}

fn bare(folder: &Path) -> Bare {
    let mut disk = Disk::new(folder, BLOCK);
    disk.run(DISK_TIME);
    Bare { p50: percentile(&mut disk.took, 0.5), p99: percentile(&mut disk.took, 0.99) }
}

/// A table of figures, each over all rounds.
pub struct Table {
    rows: Vec<(String, &'static str, Vec<f64>)>,
}

impl Default for Table {
    fn default() -> Self {
        Table::new()
    }
}

impl Table {
    pub fn new() -> Table {
        Table { rows: Vec::new() }
    }

    /// One round's figure.
    pub fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        match self.rows.iter_mut().find(|(known, ..)| known == name) {
            Some((.., values)) => values.push(value),
            None => self.rows.push((name.to_owned(), unit, vec![value])),
        }
    }

    pub fn bare(&mut self, bare: Bare) {
        self.add("bare pwrite + fdatasync p50", "us", bare.p50);
        self.add("bare pwrite + fdatasync p99", "us", bare.p99);
    }

    pub fn print(&mut self, title: &str) {
        println!("{title:<60} {:>12} {:>12} {:>12}", "min", "median", "max");
        for (name, unit, values) in &mut self.rows {
            values.sort_by(f64::total_cmp);
            let (min, median, max) = (values[0], values[values.len() / 2], values[values.len() - 1]);
            println!("  {name:<58} {min:>12.2} {median:>12.2} {max:>12.2} {unit}");
        }
    }
}
