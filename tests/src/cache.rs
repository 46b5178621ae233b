//! What tests build beside the workspace: once for all runs, in `${SHOAL_CACHE:-~/.cache/shoal}`, by what it is made of.
//! What no run has used for a week is deleted when another of its name is made.

use crate::project;
use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const KEPT: Duration = Duration::from_hours(7 * 24);

/// The folder `NAME-KEY`, whose key is made of these files of the project and of what else it depends on. If it is not
/// there, `make` fills it; whoever comes meanwhile waits.
pub fn folder(
    name: &str,
    sources: &[String],
    versions: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    folder_in(&root()?, name, key(sources, versions)?, make)
}

fn folder_in(cache: &Path, name: &str, key: u64, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    fs::create_dir_all(cache).with_context(|| cache.display().to_string())?;
    let folder = cache.join(format!("{name}-{key:016x}"));
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if !folder.exists() {
        let new = cache.join(format!("{name}.new"));
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        fs::create_dir(&new)?;
        make(&new)?;
        fs::rename(&new, &folder)?;
        delete_unused(cache, name)?;
    }
    // Used now.
    File::open(&folder)?.set_modified(SystemTime::now())?;
    Ok(folder)
}

/// Those of this name: it may begin the name of others.
fn delete_unused(cache: &Path, name: &str) -> Result<()> {
    let is_key = |key: &str| key.len() == 16 && u64::from_str_radix(key, 16).is_ok();
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let key = file_name.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('-'));
        let unused = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if key.is_some_and(is_key) && unused > KEPT {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn key(sources: &[String], versions: &str) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for path in sources {
        hasher.write(path.as_bytes());
        hasher.write(&fs::read(project::root().join(path)).with_context(|| path.clone())?);
    }
    hasher.write(versions.as_bytes());
    Ok(hasher.finish())
}

fn root() -> Result<PathBuf> {
    if let Some(cache) = env::var_os("SHOAL_CACHE").filter(|cache| !cache.is_empty()) {
        return Ok(cache.into());
    }
    Ok(Path::new(&env::var_os("HOME").context("HOME is not set")?).join(".cache/shoal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_once_is_there_for_all_until_nobody_has_used_it_for_a_week() {
        let cache = tempfile::tempdir().unwrap();
        let made = |name: &str, key| {
            let mut is_new = false;
            let make = |folder: &Path| Ok(fs::write(folder.join("file"), "").map(|()| is_new = true)?);
            let folder = folder_in(cache.path(), name, key, make).unwrap();
            assert!(folder.join("file").is_file());
            (folder, is_new)
        };
        let (old, used, other) = (made("a", 1).0, made("a", 2).0, made("a-b", 1).0);
        for folder in [&old, &used, &other] {
            let then = SystemTime::now() - KEPT - Duration::from_secs(1);
            File::open(folder).unwrap().set_modified(then).unwrap();
        }
        assert!(!made("a", 2).1);
        assert!(old.exists());
        assert!(made("a", 3).1);
        assert!(!old.exists() && used.exists() && other.exists());
    }
}
