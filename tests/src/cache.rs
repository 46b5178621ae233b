//! What tests build beside the workspace: once for all runs, in `${SHOAL_CACHE:-~/.cache/shoal}`, by what it is made of.

use crate::project;
use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

/// The folder `NAME-KEY`, whose key is made of these files of the project and of what else it depends on. If it is not
/// there, `make` fills it; whoever comes meanwhile waits.
pub fn folder(
    name: &str,
    sources: &[String],
    versions: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let cache = root()?;
    fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    let folder = cache.join(format!("{name}-{:016x}", key(sources, versions)?));
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
    }
    Ok(folder)
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
