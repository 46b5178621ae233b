//! What needs a process that dies: each test runs itself again in a child, with a folder in its environment.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

const FOLDER: &str = "SHOAL_LOG_CHILD";

/// This test again, which finds itself to be the child.
pub(super) fn child(folder: &Path) -> Child {
    let test = std::thread::current().name().expect("a test's thread has its name").to_owned();
    Command::new(std::env::current_exe().unwrap())
        .args([&test, "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Only a child has one.
pub(super) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

pub(super) fn say(line: &str) {
    let mut out = io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The n-th record of the log, whichever process writes it.
fn nth(n: u64) -> (Head, Vec<u8>) {
    record(n, (n * 37 % 700) as usize)
}

fn append_until_killed(folder: &Path) {
    let store = store(folder);
    let mut n = 0;
    let mut count = |_: Position, _: Head, _: &[u8]| {
        n += 1;
        Ok(())
    };
    let on_durable = Box::new(|position: Position| say(&format!("durable {}", position.0)));
    let (log, _) =
        Log::open(&store, SMALL, &Covered::default(), &mut count, &Progress::default(), on_durable).unwrap();
    loop {
        let records: Records = (n..n + 1 + n % 40).map(nth).collect();
        n += records.len() as u64;
        append(&log, &records);
    }
}

#[test]
fn nothing_durable_is_missing_after_kill_9() {
    if let Some(folder) = folder() {
        return append_until_killed(&folder);
    }
    let temp = TempDir::new().unwrap();
    let mut before = 0;
    for round in 1..=10 {
        let mut child = child(temp.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut told = lines.by_ref().filter_map(|line| line.strip_prefix("durable ")?.parse::<u64>().ok());
        let mut durable = told.nth(round * 7).expect("the child appends");
        child.kill().unwrap();
        durable = told.last().unwrap_or(durable);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let (log, opened, records, _) = open(&store(temp.path())).unwrap();
        assert!(opened.records >= durable, "{durable} were durable, {} are there", opened.records);
        assert!(durable > before);
        for (n, record) in records.iter().enumerate() {
            assert_eq!(*record, nth(n as u64), "record {n}");
        }
        before = opened.records;
        drop(log);
    }
}

/// `/dev/null` takes every write and no `fdatasync`.
fn append_where_no_sync_works(folder: &Path) {
    let store = store(folder);
    let (log_folder, chain) = (folder.join("log"), Chain::new(store.id(), 1, chain::Until::nothing()));
    let counts = Arc::new(Counts::default());
    let pool = Arc::new(Pool::open(&log_folder, SMALL, counts.clone(), Vec::new(), 1).unwrap());
    let watch = store.watch();
    let mut writer =
        Writer::new(&log_folder, chain, pool.clone(), watch, counts, Arc::default(), Arc::default());
    writer.write_into(disk::open_to_write(Path::new("/dev/null")).unwrap());
    let intake = Arc::new(Intake::new(Position(0)));
    let used = room::cost(1, 1);
    let who = pool.asker(Arc::new(|| {}));
    pool.append(who, 0, used);
    intake.append(&[(Head::default(), 0..1)], b"x", used);
    Committer::new(writer, intake, pool, Box::new(|_| say("durable"))).run();
}

#[test]
fn a_failed_sync_ends_the_process_before_anything_is_called_durable() {
    if let Some(folder) = folder() {
        return append_where_no_sync_works(&folder);
    }
    let temp = TempDir::new().unwrap();
    let ended = child(temp.path()).wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.signal(), Some(6), "{out}{err}");
    assert!(err.contains("the log can't go on, the process ends: cannot sync"), "{err}");
    assert!(!out.lines().any(|line| line == "durable"), "{out}");
}

fn append_while_another_process_counts_up(folder: &Path) {
    let (log, ..) = open(&store(folder)).unwrap();
    fs::write(folder.join("incarnation"), "9 0000000000000000\n").unwrap();
    for n in 0.. {
        append(&log, &[record(n, 1000)]);
    }
}

#[test]
fn a_foreign_incarnation_ends_the_process_at_the_next_segment() {
    if let Some(folder) = folder() {
        return append_while_another_process_counts_up(&folder);
    }
    let temp = TempDir::new().unwrap();
    let mut child = child(temp.path());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(6));
    assert!(err.contains("another process has opened"), "{err}");
}
