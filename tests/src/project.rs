//! The files of this project, for tests that read them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The top folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the project").to_owned()
}

/// Paths of the files in the project whose names end so.
pub fn files(ending: &str) -> Vec<String> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let listed = Command::new("git").args(list).current_dir(root()).output().expect("git");
    let all = String::from_utf8(listed.stdout).unwrap();
    let found: Vec<String> = all.lines().filter(|path| path.ends_with(ending)).map(str::to_owned).collect();
    assert!(!found.is_empty(), "no file ends with {ending}");
    found
}

/// The text of a file of the project.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
