//! What a start of a data folder would find and say, by the functions of the start, and nothing in the folder changes.

use crate::link::Owner;
use crate::log::{self, Head, Position};
use crate::node::configure;
use crate::node::core::{Reply, Watch};
use crate::node::start::{self, Kept};
use crate::peer::{Identity, Numbers};
use crate::shard::{Room, Shard};
use crate::snapshot;
use crate::store;
use anyhow::{Error, anyhow};
use proto::ring::{Ring, StoreId};
use std::path::Path;

/// The data folder of one node.
pub struct Look {
    pub store: store::Look,
    pub configuration: Option<Configuration>,
    /// None: it can't be read, or there is none yet.
    pub log: Option<log::Look>,
    pub damage: Option<log::Damage>,
    /// What is broken in files of snapshots, so that older ones are taken.
    pub faults: Vec<snapshot::Fault>,
    /// Why it would not start. A start says the first.
    pub refusals: Vec<Error>,
}

/// The plan and ring that a folder holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Configuration {
    pub plan: String,
    pub adopted_by: String,
    pub numbers: Numbers,
    pub slots: usize,
    pub slots_owned: usize,
}

/// Looks at all that is in a folder that no process has. It takes the memory of a node with that log.
pub fn look(folder: &Path) -> Look {
    let mut store = store::look(folder);
    let refusals = std::mem::take(&mut store.refusals).into_iter().map(Error::from).collect();
    let mut look = Look { store, configuration: None, log: None, damage: None, faults: Vec::new(), refusals };
    let Some(owner) = look.store.owner.clone().filter(|_| !look.store.in_use) else { return look };
    let incarnation = look.store.incarnation.unwrap_or(u64::MAX);
    let store::Owner { id, plan_uid, ordinal } = owner;
    let identity = Identity { plan_uid, ordinal, store: StoreId(id), incarnation };
    let saved = store::saved_configuration(folder).map_err(|error| look.refusals.push(error.into()));
    let kept = saved.ok().flatten().and_then(|saved| look.configuration(&saved, &identity));
    look.log(folder, &identity, kept.as_ref());
    look.again(folder);
    look
}

impl Look {
    fn configuration(&mut self, saved: &[u8], identity: &Identity) -> Option<Kept> {
        // Whether another plan has adopted the folder only that plan's operator can say.
        let given = configure::decode(saved).ok();
        let adopted_by = given.as_ref().map_or("", |given| given.adopted_by.as_str()).to_owned();
        let kept = start::kept(saved, identity, &adopted_by);
        let ring = given.as_ref().and_then(|given| Ring::decode(&given.ring).ok());
        if let (Some(given), Some(ring)) = (given, ring) {
            self.configuration = Some(Configuration {
                plan: given.plan_name,
                adopted_by,
                numbers: Numbers { revision: ring.revision, generation: given.generation },
                slots: ring.slots.len(),
                slots_owned: match &kept {
                    Ok(Some(Kept::InForce(routing))) => routing.slots_of(Owner::Here).len(),
                    _ => 0,
                },
            });
        }
        kept.map_err(|error| self.refusals.push(error)).ok().flatten()
    }

    fn log(&mut self, folder: &Path, identity: &Identity, kept: Option<&Kept>) {
        let mut shard = Shard::<Reply, Watch>::new(identity.incarnation, Room::OF_NODE);
        if let Some(Kept::InForce(routing)) = kept {
            shard.expect(&routing.plan);
        }
        let install = &mut |slot, found: snapshot::Found| start::install(&mut shard, slot, &found);
        let covered = match snapshot::load(folder, identity.store.0, install) {
            Ok(snapshot::Loaded { covered, faults, .. }) => {
                self.faults = faults;
                covered
            }
            Err(error) => return self.refusals.push(error.into()),
        };
        let mut replay = |at: Position, head: Head, body: &[u8]| shard.replay(at, head, body);
        let had_ring = self.store.had_ring;
        match log::look(folder, identity.store.0, had_ring, &covered, &mut replay) {
            Ok(mut found) => {
                if let Some(refusal) = found.refusal.take() {
                    if let log::Error::Damaged { damage, .. } = &refusal {
                        self.damage = Some(damage.clone());
                    }
                    self.refusals.push(refusal.into());
                }
                self.log = Some(found);
            }
            Err(error) => self.refusals.push(error.into()),
        }
    }

    /// Whether a process has taken the folder meanwhile: what was found then may be wrong.
    fn again(&mut self, folder: &Path) {
        let now = store::look(folder);
        self.store.in_use = now.in_use;
        if now.in_use || now.incarnation != self.store.incarnation {
            let first = now.refusals.into_iter().next().filter(|_| now.in_use).map(Error::from);
            let opened = || anyhow!("another process has opened {} since: look again", folder.display());
            (self.configuration, self.log, self.damage) = (None, None, None);
            self.refusals = vec![first.unwrap_or_else(opened)];
        }
    }
}
