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

    /// Takes all space there is, beside what was taken before.
    fn fill_up(&self) {
        let more = self.0.path().join("ballast");
        let mut more = File::options().append(true).create(true).open(more).unwrap();
        while io::Write::write_all(&mut more, &[1; 4096]).is_ok() {}
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
pub(super) fn append_until_full(log: &Log, mut n: u64) -> (u64, String) {
    loop {
        let (head, body) = record(n, 3000);
        match reserve(log, 1, body.len()) {
            Ok(mut appender) => appender.append(&[(head, 0..body.len())], &body),
            Err(full) => return (n, full.to_string()),
        };
        n += 1;
    }
}

pub(super) fn wait_for_room(log: &Log) {
    let started = Instant::now();
    while reserve(log, 1, 3000).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "no room comes back");
        thread::yield_now();
    }
}

/// Appends without asking for room.
fn unasked(log: &Log, (head, body): &(Head, Vec<u8>)) -> Position {
    log.appender(|| {}).append(&[(*head, 0..body.len())], body)
}

#[test]
fn a_full_disk_refuses_commands_loses_nothing_and_ends_when_space_returns() {
    let disk = Disk::new(4096);
    let (log, _, _, durables) = open(&store(&disk.data())).unwrap();
    granted(&log, 1, 3000);
    disk.fill(300);
    let (n, why) = append_until_full(&log, 0);
    // How many depends on how far the log had prepared its file when the disk was filled.
    assert!(n > 0, "no record found room");
    assert!(why.contains("the disk is full") && why.contains("No space left"), "{why}");
    wait(&durables, Position(n));
    // What comes unasked is written all the same, into what is kept.
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

/// As if the process had been killed before it could say that its last records are on the disk.
fn forget_the_mark(folder: &Path) {
    let last = segment_files(folder).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    let mark = end - end % format::BLOCK;
    assert_eq!(BatchHead::decode(&bytes[mark..]).unwrap().kind, Kind::Mark);
    let zeros = vec![0; bytes.len() - mark];
    File::options().write(true).open(&last).unwrap().write_all_at(&zeros, mark as u64).unwrap();
}

#[test]
fn a_node_with_a_full_disk_starts_without_a_new_block_whatever_it_has_to_write_anew() {
    let disk = Disk::new(4096);
    let (log, ..) = open(&store(&disk.data())).unwrap();
    granted(&log, 1, 3000);
    disk.fill(300);
    let (mut n, _) = append_until_full(&log, 0);
    drop(log);
    let (mut appended, mut renewed) = (true, 0);
    for start in 0..8 {
        if appended {
            forget_the_mark(&disk.data());
        }
        disk.fill_up();
        let (log, opened, ..) =
            open(&store(&disk.data())).unwrap_or_else(|error| panic!("start {start}: {error}"));
        assert_eq!((opened.records, opened.renewed > 0), (n, appended), "start {start}");
        renewed += opened.renewed;
        let room = reserve_control(&log, 1, 100);
        appended = room.is_ok();
        if let Ok(mut appender) = room {
            appender.append(&[(record(n, 100).0, 0..100)], &record(n, 100).1);
            n += 1;
        }
        log.close();
    }
    assert!(renewed > 0);
    disk.release();
    let (log, opened, records, _) = open(&store(&disk.data())).unwrap();
    assert_eq!((opened.records, records.len() as u64), (n, n));
    wait_for_room(&log);
}

#[test]
fn control_records_find_room_where_commands_do_not_and_end_before_what_is_kept() {
    let disk = Disk::new(4096);
    let (log, _, _, durables) = open(&store(&disk.data())).unwrap();
    granted(&log, 1, 3000);
    disk.fill_up();
    let (n, _) = append_until_full(&log, 0);
    let mut more = 0;
    while let Ok(mut appender) = reserve_control(&log, 1, 1000) {
        wait(&durables, appender.append(&[(record(n + more, 1000).0, 0..1000)], &record(n + more, 1000).1));
        more += 1;
        assert!(more < 1000);
    }
    assert!(more > 0, "commands had left nothing");
    drop(log);
    assert_eq!(open(&store(&disk.data())).unwrap().1.records, n + more);
}
