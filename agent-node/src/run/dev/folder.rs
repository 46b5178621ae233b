//! The data folder of a plan on this machine: whose it is, its ring, and a folder for each node.
//!
//! *Guarantees*: one process has it at a time, whatever ended the one before; each file is whole: the one before, or
//! the new one; a folder that something else has filled, or another plan, is refused and left as it is. Plan and ring
//! that are gone are taken from the folders of the nodes, each of which has both.

use super::kept::{self, FROM_NODES, Kept};
use crate::disk::File;
use crate::node::{Configuration, configure};
use crate::store;
use anyhow::{Context as _, anyhow, bail, ensure};
use proto::ring::Ring;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tracing::warn;

const PLAN: &str = "plan.json";
const RING: &str = "ring";

pub struct Folder {
    path: PathBuf,
    /// None: it is only looked at.
    _lock: Option<File>,
}

impl Folder {
    pub fn open(path: &Path) -> anyhow::Result<Folder> {
        store::make_folder(path)?;
        refuse_foreign(path)?;
        let lock = store::lock(path)?;
        Ok(Folder { path: path.to_owned(), _lock: Some(lock) })
    }

    /// One that no process has, for who changes nothing in it.
    pub fn look(path: &Path) -> anyhow::Result<Folder> {
        refuse_foreign(path)?;
        store::in_use(path)?;
        Ok(Folder { path: path.to_owned(), _lock: None })
    }

    /// Whether `dev` has ever filled it.
    pub fn is_one(path: &Path) -> bool {
        [PLAN, RING].iter().any(|name| path.join(name).exists())
            || nodes(path).is_ok_and(|nodes| !nodes.is_empty())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn node(&self, ordinal: u16) -> PathBuf {
        self.path.join(format!("node-{ordinal}"))
    }

    /// Whether a plan was ever kept here.
    pub fn has_plan(&self) -> bool {
        self.path.join(PLAN).exists()
    }

    /// What was kept, if it is this plan's.
    pub fn kept(&self, plan: &str) -> anyhow::Result<Option<Kept>> {
        let Some(kept) = self.find_kept()? else { return Ok(None) };
        if !self.has_plan() {
            self.keep(&kept)?;
            warn!("{} was gone: its nodes' folders had the plan", self.path.join(PLAN).display());
        }
        let (path, has) = (self.path.display(), &kept.plan);
        ensure!(
            has == plan,
            "{path} belongs to the plan `{has}`, and this is `{plan}`: name another folder with --data"
        );
        Ok(Some(kept))
    }

    /// What was kept here, or as the nodes have it.
    pub fn find_kept(&self) -> anyhow::Result<Option<Kept>> {
        let path = self.path.join(PLAN);
        match read(&path)? {
            Some(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| format!("it is no text; {FROM_NODES}"));
                let kept = text.and_then(|text| Kept::parse(&text));
                Ok(Some(kept.map_err(|error| anyhow!("{} can't be used: {error}", path.display()))?))
            }
            None if nodes(&self.path)?.is_empty() => Ok(None),
            None => Ok(Some(self.kept_by_nodes()?)),
        }
    }

    /// As the nodes have it, now that `plan.json` is gone.
    fn kept_by_nodes(&self) -> anyhow::Result<Kept> {
        let path = self.path.join(PLAN);
        let Some(given) = self.given()? else {
            bail!(
                "{} is missing, and no node's folder contains a plan: restore the file, or begin anew in an empty \
                 folder (--data)",
                path.display()
            );
        };
        let Configuration { plan_name, plan_uid, generation, spec, ring: _, peers, adopted_by: _ } = given;
        let spec = serde_json::from_slice(&spec).context("the plan in the nodes' folders can't be used")?;
        let nodes = peers.len() as u16;
        Ok(Kept { format: kept::FORMAT, plan: plan_name, uid: plan_uid, generation, nodes, spec })
    }

    /// What the nodes were given last.
    fn given(&self) -> anyhow::Result<Option<Configuration>> {
        let nodes = nodes(&self.path)?;
        let given = nodes.iter().filter_map(|node| configure::decode(&store::configuration_in(node)?).ok());
        Ok(given.max_by_key(|given| given.generation))
    }

    pub fn keep(&self, kept: &Kept) -> anyhow::Result<()> {
        Ok(store::replace(&self.path, PLAN, kept.text()?.as_bytes())?)
    }

    pub fn ring(&self) -> anyhow::Result<Option<Ring>> {
        let Some(ring) = self.find_ring()? else { return Ok(None) };
        let path = self.path.join(RING);
        if !path.exists() {
            self.keep_ring(&ring)?;
            warn!("{} was gone: its nodes' folders had the ring", path.display());
        }
        Ok(Some(ring))
    }

    /// The ring that was kept here, or as the nodes have it.
    pub fn find_ring(&self) -> anyhow::Result<Option<Ring>> {
        let path = self.path.join(RING);
        if let Some(bytes) = read(&path)? {
            let ring = Ring::decode(&bytes);
            return Ok(Some(
                ring.map_err(|error| anyhow!("{} can't be used: {error}; {FROM_NODES}", path.display()))?,
            ));
        }
        let Some(given) = self.given()? else { return Ok(None) };
        Ok(Some(Ring::decode(&given.ring).context("the ring in the nodes' folders can't be used")?))
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

/// The folders of nodes that have been formatted.
fn nodes(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).with_context(|| format!("{} can't be listed", path.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    let is_node = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("node-") && store::id_in(path).is_ok()
    };
    Ok(paths.into_iter().filter(is_node).collect())
}

/// A folder without a plan may hold what an interrupted first start left.
fn refuse_foreign(path: &Path) -> anyhow::Result<()> {
    if path.join(PLAN).exists() || !nodes(path)?.is_empty() {
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
