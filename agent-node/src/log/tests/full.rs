//! A disk that is full: a small tmpfs, and a file that takes its space away.

use super::*;
use std::process::Command;
use std::time::{Duration, Instant};

/// A mounted tmpfs, which goes with this value.
struct Disk(TempDir);

impl Disk {
    fn new(kib: u32) -> Disk {
        let temp = TempDir::new().unwrap();
        let options = format!("size={kib}k");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "shoal-test"])
            .arg(temp.path())
            .output();
        let mounted = mount.is_ok_and(|mount| mount.status.success());
        assert!(mounted, "this test mounts a small tmpfs at {}: run it as root", temp.path().display());
        Disk(temp)
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Takes all space but this.
    fn fill(&self, leave_kib: u64) {
        let free =
            rustix::fs::statvfs(self.0.path()).map(|disk| disk.f_bavail * disk.f_bsize / 1024).unwrap();
        let length = free.saturating_sub(leave_kib) as usize * 1024;
        fs::write(self.0.path().join("ballast"), vec![1; length]).unwrap();
    }

    fn release(&self) {
        fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Appends until the log has no room, and says how many records there are then.
fn append_until_full(log: &Log, mut n: u64) -> (u64, String) {
    loop {
        let (head, body) = record(n, 3000);
        match reserve(log, 1, body.len()) {
            Ok(mut appender) => appender.append(&[(head, 0..body.len())], &body),
            Err(full) => return (n, full.to_string()),
        };
        n += 1;
    }
}

fn wait_for_room(log: &Log) {
    let started = Instant::now();
    while reserve(log, 1, 3000).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "no room comes back");
        thread::yield_now();
    }
}

/// Appends without asking for room.
fn unasked(log: &Log, (head, body): &(Head, Vec<u8>)) -> Position {
    log.appender(Box::new(|| {})).append(&[(*head, 0..body.len())], body)
}

#[test]
fn a_full_disk_refuses_commands_loses_nothing_and_ends_when_space_returns() {
    let disk = Disk::new(2048);
    let (log, _, _, durables) = open(&store(&disk.data())).unwrap();
    granted(&log, 1, 3000);
    disk.fill(300);
    let (n, why) = append_until_full(&log, 0);
    assert!(n > 20, "{n} records found room");
    assert!(why.contains("the disk is full") && why.contains("No space left"), "{why}");
    wait(&durables, Position(n));
    // What the node has to write about itself still finds room.
    wait(&durables, unasked(&log, &record(n, 3000)));
    disk.release();
    wait_for_room(&log);
    let position = append(&log, &[record(n + 1, 3000)]);
    wait(&durables, position);
    drop(log);
    let (_, opened, records, _) = open(&store(&disk.data())).unwrap();
    assert_eq!(opened.records, n + 2);
    assert!(records.iter().enumerate().all(|(n, found)| *found == record(n as u64, 3000)));
}

#[test]
fn a_node_with_a_full_disk_can_start_again_and_again() {
    let disk = Disk::new(2048);
    let (log, ..) = open(&store(&disk.data())).unwrap();
    granted(&log, 1, 3000);
    disk.fill(300);
    let (mut n, _) = append_until_full(&log, 0);
    drop(log);
    disk.fill(0);
    for start in 0..5 {
        let (log, opened, ..) =
            open(&store(&disk.data())).unwrap_or_else(|error| panic!("start {start}: {error}"));
        assert_eq!(opened.records, n, "start {start}");
        unasked(&log, &record(n, 100));
        n += 1;
        log.close();
    }
    disk.release();
    let (log, opened, ..) = open(&store(&disk.data())).unwrap();
    assert_eq!(opened.records, n);
    wait_for_room(&log);
}

#[test]
fn a_node_with_a_full_disk_takes_a_ring() {
    let disk = Disk::new(2048);
    let store = store(&disk.data());
    let configuration = |n: u8, length: usize| vec![n; length];
    store.save_configuration(&configuration(1, 20_000)).unwrap();
    disk.fill(0);
    for n in 2..6 {
        // Each may be longer than those before it: their files have room.
        let given = configuration(n, 20_000 + 4_000 * usize::from(n));
        store.save_configuration(&given).unwrap();
        assert_eq!(store.load_configuration().unwrap().unwrap(), given);
    }
    let long = configuration(7, 200_000);
    assert!(store.save_configuration(&long).is_err());
    assert_eq!(
        store.load_configuration().unwrap().unwrap(),
        configuration(5, 40_000),
        "the one before stays"
    );
    disk.release();
    store.save_configuration(&long).unwrap();
    assert_eq!(store.load_configuration().unwrap().unwrap(), long);
}
