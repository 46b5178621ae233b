//! A disk that tests can fill.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// A small disk in memory; it goes with this value.
pub struct Disk(tempfile::TempDir);

impl Disk {
    /// Needs root.
    pub fn mount(bytes: u64) -> Disk {
        let at = tempfile::tempdir().unwrap();
        let options = format!("size={bytes}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "shoal-test"]).arg(at.path()).status();
        assert!(mount.is_ok_and(|ended| ended.success()), "this test mounts a tmpfs: run it as root");
        Disk(at)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last page, while the node may still be preparing a segment.
    pub fn fill(&self) {
        let mut ballast = fs::File::create(self.0.path().join("ballast")).unwrap();
        let full = loop {
            if let Err(error) = ballast.write_all(&[1; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    /// Gives free what `fill` took.
    pub fn release(&self) {
        fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
