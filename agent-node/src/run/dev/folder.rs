//! The data folder of a plan on this machine: whose it is, its ring, and a folder for each node.
//!
//! *Guarantees*: one process has it at a time, whatever ended the one before; each file is whole: the one before, or
//! the new one; a folder that something else has filled, or another plan, is refused and left as it is.

use super::kept::Kept;
use crate::store;
use anyhow::{Context as _, bail, ensure};
use proto::ring::Ring;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const PLAN: &str = "plan.json";
const RING: &str = "ring";

pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub fn open(path: &Path) -> anyhow::Result<Folder> {
        store::make_folder(path)?;
        refuse_foreign(path)?;
        let lock = store::lock(path)?;
        Ok(Folder { path: path.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn node(&self, ordinal: u16) -> PathBuf {
        self.path.join(format!("node-{ordinal}"))
    }

    /// What was kept, if it is this plan's.
    pub fn kept(&self, plan: &str) -> anyhow::Result<Option<Kept>> {
        let path = self.path.join(PLAN);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|error| error.to_string());
        let kept = text.and_then(|text| Kept::parse(&text));
        let kept = kept.map_err(|error| anyhow::anyhow!("{} can't be used: {error}", path.display()))?;
        let (path, has) = (self.path.display(), &kept.plan);
        ensure!(
            has == plan,
            "{path} belongs to the plan `{has}`, and this is `{plan}`: name another folder with --data"
        );
        Ok(Some(kept))
    }

    pub fn keep(&self, kept: &Kept) -> anyhow::Result<()> {
        Ok(store::replace(&self.path, PLAN, kept.text()?.as_bytes())?)
    }

    pub fn ring(&self) -> anyhow::Result<Option<Ring>> {
        let path = self.path.join(RING);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let ring = Ring::decode(&bytes).with_context(|| format!("{} can't be used", path.display()))?;
        Ok(Some(ring))
    }

    pub fn keep_ring(&self, ring: &Ring) -> anyhow::Result<()> {
        Ok(store::replace(&self.path, RING, &ring.encode())?)
    }
}

/// `None`: there is no such file.
fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
}

/// A folder without a plan may hold what an interrupted first start left.
fn refuse_foreign(path: &Path) -> anyhow::Result<()> {
    if path.join(PLAN).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("{} can't be listed", path.display()))? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !["lock", "plan.json.new", "lost+found"].contains(&&*name) {
            bail!(
                "{} is no data folder of `agent-node dev`: it holds `{name}`; name an empty one, or one that dev \
                 has filled, with --data",
                path.display()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::ring::{Member, StoreId};

    fn refused(path: &Path) -> String {
        Folder::open(path).err().unwrap().to_string()
    }

    #[test]
    fn what_something_else_has_filled_is_refused_and_left_as_it_is() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("letters"), "mine").unwrap();
        let error = refused(temp.path());
        assert!(error.contains("it holds `letters`") && error.contains(&temp.path().display().to_string()));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_process_has_it_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("new/data");
        let folder = Folder::open(&path).unwrap();
        assert!(refused(&path).contains("is in use by another process"));
        drop(folder);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn the_ring_is_found_again_and_one_that_is_damaged_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path()).unwrap();
        assert!(folder.ring().unwrap().is_none());
        let member = Member { ordinal: 0, store: StoreId(7), incarnation: 1 };
        let ring = Ring::begin("uid-1", vec![member], 256, 9);
        folder.keep_ring(&ring).unwrap();
        assert_eq!(folder.ring().unwrap().unwrap(), ring);
        fs::write(temp.path().join(RING), "no ring").unwrap();
        assert!(folder.ring().unwrap_err().to_string().contains("can't be used"));
    }

    #[test]
    fn a_plan_is_kept_for_itself_only() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path()).unwrap();
        assert_eq!(folder.kept("counters").unwrap(), None);
        let spec = serde_json::from_str(r#"{"agents": []}"#).unwrap();
        let kept = Kept::begin("counters", "uid-1".into(), 1, spec);
        folder.keep(&kept).unwrap();
        assert_eq!(folder.kept("counters").unwrap(), Some(kept));
        let error = folder.kept("others").unwrap_err().to_string();
        assert!(error.contains("belongs to the plan `counters`"), "{error}");
        fs::write(temp.path().join(PLAN), "{").unwrap();
        assert!(folder.kept("counters").unwrap_err().to_string().contains("plan.json can't be used"));
    }
}
