//! The ring: which store owns which slot, at one revision.
//!
//! *Guarantees.* Every slot has one owner; the loads of members differ by at most one; the same plan, members and
//! slots give the same ring on every machine. `decode` takes only what such a ring can be, and never panics.
//! *Assumptions.* There is at least one member, and no two have the same ordinal or store.

mod first;
mod form;
mod placement;

pub use first::{First, Reported, first};
pub use form::{BYTES_MAX, MEMBERS_MAX};
pub use placement::{moved, place};

use std::fmt;
use std::str::FromStr;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A slot's history is below this, so that a version is a whole number exact in JSON.
pub const HISTORY_END: u16 = 1 << 13;
/// Below the history in a version.
const LSN_BITS: u32 = 40;
/// The first history of a slot is below this, so that each can rise as often again.
const FIRST_HISTORY_BITS: u32 = 12;
/// By one of so many steps histories rise with a ring that is raised.
const STEPS: u64 = 31;

/// The random id of a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId(pub u128);

impl fmt::Display for StoreId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

impl FromStr for StoreId {
    type Err = Error;

    fn from_str(text: &str) -> Result<StoreId, Error> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u128::from_str_radix(text, 16).ok().filter(|_| digits);
        id.map(StoreId).ok_or_else(|| Error(format!("`{text}` is no store's id: 32 hexadecimal digits")))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub ordinal: u16,
    pub store: StoreId,
    pub incarnation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Index of the member.
    pub owner: u16,
    pub epoch: u64,
    pub history: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    pub plan_uid: String,
    pub revision: u64,
    pub parent: u64,
    /// A number that the writer draws: a write whose answer was lost is settled by reading it.
    pub nonce: u64,
    /// What generations of the plan's object are counted from: 0 but for a plan that has adopted the volumes of another.
    pub base: u64,
    /// By ordinal.
    pub members: Vec<Member>,
    pub slots: Vec<Owned>,
}

impl Ring {
    /// The first ring of a plan, at revision 1.
    pub fn begin(plan_uid: &str, mut members: Vec<Member>, slots: u32, nonce: u64) -> Ring {
        members.sort_by_key(|member| member.ordinal);
        let ordinals: Vec<u16> = members.iter().map(|member| member.ordinal).collect();
        let history = first_history(plan_uid);
        let owners = place(&ordinals, &vec![None; slots as usize]);
        let owned = |ordinal| Owned {
            owner: ordinals.partition_point(|other| *other < ordinal) as u16,
            epoch: 1,
            history,
        };
        let slots = owners.into_iter().map(owned).collect();
        Ring { plan_uid: plan_uid.to_owned(), revision: 1, parent: 0, nonce, base: 0, members, slots }
    }

    /// The ring after this one, which is the newest that the stores hold, where a newer one may have been lost or the stores
    /// put back to an earlier moment: volumes that another object of the plan has adopted, and a ring that went before a
    /// node had it. The owners stay. `above`: the highest revision that is known of otherwise.
    ///
    /// Nobody who has an older ring goes on beside it, since every epoch rises, by as much as a lost ring can have raised
    /// it, and so does every history, by steps of 1 to 31 each: so no version is given twice that a lost ring has given. The
    /// first step is one that `by` (the uid of the plan's object) and `above` give, since one moment may be gone on from
    /// more than once, by plans that do not know of each other. Who writes it draws its nonce. `None`: histories have no
    /// room to rise.
    #[must_use]
    pub fn raised(&self, above: u64, members: Vec<Member>, base: u64, by: &str) -> Option<Ring> {
        let revision = self.revision.max(above).checked_add(1)?;
        let risen_by = revision - self.revision;
        let first = 1 + xxh3_64_with_seed(by.as_bytes(), above) % STEPS;
        let step = STEPS.saturating_mul(risen_by - 1).saturating_add(first);
        let risen = |slot: &Owned| {
            let history = u16::try_from(u64::from(slot.history).saturating_add(step)).ok()?;
            let epoch = slot.epoch.checked_add(risen_by)?;
            (history < HISTORY_END).then_some(Owned { epoch, history, ..*slot })
        };
        let slots = self.slots.iter().map(risen).collect::<Option<_>>()?;
        let (plan_uid, parent) = (self.plan_uid.clone(), self.revision);
        Some(Ring { plan_uid, revision, parent, nonce: 0, base, members, slots })
    }

    /// The form of the ConfigMap, of the wire and of the file that a node keeps.
    pub fn encode(&self) -> Vec<u8> {
        form::encode(self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Ring, Error> {
        form::decode(bytes)
    }

    pub fn owner(&self, slot: u16) -> &Member {
        &self.members[usize::from(self.slots[usize::from(slot)].owner)]
    }

    pub fn member(&self, ordinal: u16) -> Option<&Member> {
        let at = self.members.binary_search_by_key(&ordinal, |member| member.ordinal);
        at.ok().map(|index| &self.members[index])
    }

    /// How many slots each member owns.
    pub fn loads(&self) -> Vec<u32> {
        let mut loads = vec![0; self.members.len()];
        for slot in &self.slots {
            loads[usize::from(slot.owner)] += 1;
        }
        loads
    }
}

/// The version of what a record of a slot has changed.
pub fn version(history: u16, lsn: u64) -> u64 {
    (u64::from(history) << LSN_BITS) + lsn
}

/// The LSN of a version.
pub fn lsn(version: u64) -> u64 {
    version & ((1 << LSN_BITS) - 1)
}

/// The history of a version.
pub fn history(version: u64) -> u64 {
    version >> LSN_BITS
}

/// A number taken from the plan's uid, so that a version of a plan that was made anew is of another history.
fn first_history(plan_uid: &str) -> u16 {
    (xxh3_64(plan_uid.as_bytes()) >> (64 - FIRST_HISTORY_BITS)) as u16
}

#[cfg(test)]
mod tests;
