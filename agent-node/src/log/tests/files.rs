//! Files that can't be opened.

use super::child::{child, folder, say};
use super::full::{append_until_full, wait_for_room};
use super::*;
use rustix::process::{Resource, Rlimit, setrlimit};

fn append_without_files(folder: &Path) {
    let (log, _, _, durables) = open(&store(folder)).unwrap();
    granted(&log, 1, 3000);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    let (n, why) = append_until_full(&log, 0);
    assert!(why.contains("Too many open files"), "{why}");
    wait(&durables, Position(n));
    drop(taken);
    wait_for_room(&log);
    wait(&durables, append(&log, &[record(n, 3000)]));
    say("it goes on");
}

#[test]
fn a_commit_opens_no_file_and_what_can_not_be_opened_ahead_is_refused_until_it_can() {
    if let Some(folder) = folder() {
        return append_without_files(&folder);
    }
    let temp = TempDir::new().unwrap();
    let ended = child(temp.path()).wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && out.contains("it goes on"), "{out}{err}");
}
