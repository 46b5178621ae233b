//! Generated files that are committed: tests compare them with what the code makes now. `SHOAL_WRITE=1` writes them.

use std::path::Path;
use std::{env, fs};

/// `path` begins at the top of the project.
pub fn check(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if env::var_os("SHOAL_WRITE").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect(path);
        fs::write(&file, text).expect(path);
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let differs = committed.lines().zip(text.lines()).position(|(old, new)| old != new);
    assert!(
        committed == text,
        "{path} is not what the code makes now (line {}): run the tests with SHOAL_WRITE=1 and look at the difference",
        differs.map_or(committed.lines().count().min(text.lines().count()) + 1, |line| line + 1)
    );
}
