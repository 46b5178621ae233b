//! What a start of `dev` would find in its folder and say, by the functions of the start, and nothing in it changes.

use super::folder::Folder;
use super::{first, knows};
use crate::node::look;
use crate::random;
use anyhow::Error;
use proto::ring::{Member, Reported, StoreId};
use std::path::{Path, PathBuf};

/// The data folder of a plan on this machine.
#[derive(Default)]
pub struct Look {
    pub plan: Option<Plan>,
    /// Revision of the ring.
    pub revision: Option<u64>,
    pub nodes: Vec<(PathBuf, look::Look)>,
    /// Why it would not start, those of nodes apart.
    pub refusals: Vec<Error>,
}

pub struct Plan {
    pub name: String,
    pub generation: u64,
    pub nodes: u16,
}

/// Whether `dev` has filled the folder.
pub fn is_folder(path: &Path) -> bool {
    Folder::is_one(path)
}

pub fn look(path: &Path) -> Look {
    let mut look = Look::default();
    let folder = match Folder::look(path) {
        Ok(folder) => folder,
        Err(error) => {
            look.refusals.push(error);
            return look;
        }
    };
    match folder.find_kept() {
        Ok(kept) => {
            look.plan =
                kept.map(|kept| Plan { name: kept.plan, generation: kept.generation, nodes: kept.nodes });
        }
        Err(error) => look.refusals.push(error),
    }
    let there = || (0..u16::MAX).take_while(|ordinal| folder.node(*ordinal).is_dir()).count() as u16;
    let nodes = look.plan.as_ref().map_or_else(there, |plan| plan.nodes);
    let of_node = |ordinal| (folder.node(ordinal), look::look(&folder.node(ordinal)));
    look.nodes = (0..nodes).map(of_node).collect();
    let of_ring = look.ring(&folder).err();
    look.refusals.extend(of_ring);
    look
}

impl Look {
    /// The ring, and whether it is the ring of these nodes.
    fn ring(&mut self, folder: &Folder) -> anyhow::Result<()> {
        let reported = |(ordinal, (_, node)): (u16, &(PathBuf, look::Look))| {
            // A start makes a new store where there is none.
            let id = node.store.owner.as_ref().map_or_else(random::draw, |owner| owner.id);
            let incarnation = node.store.incarnation.unwrap_or_default();
            let member = Member { ordinal, store: StoreId(id), incarnation };
            Reported { member, had_ring: node.store.had_ring }
        };
        let said: Vec<_> = (0..).zip(&self.nodes).map(reported).collect();
        // A node whose store can't be read has said so itself.
        let is_known =
            self.nodes.iter().all(|(_, node)| node.store.owner.is_some() || node.refusals.is_empty());
        let ring = folder.find_ring()?;
        self.revision = ring.as_ref().map(|ring| ring.revision);
        match ring {
            Some(ring) if is_known => knows(folder, &ring, &said),
            None if is_known => first(folder, said.len() as u16, &said).map(drop),
            Some(_) | None => Ok(()),
        }
    }
}
