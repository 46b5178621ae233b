//! The ring: which store owns which slot, at one revision.

use std::fmt;
use std::str::FromStr;

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

#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Of the writer: an ambiguous write is settled by reading.
    pub nonce: u64,
    pub members: Vec<Member>,
    pub slots: Vec<Owned>,
}

impl Ring {
    /// The first ring of a plan, at revision 1.
    pub fn begin(plan_uid: &str, members: Vec<Member>, slots: u32, nonce: u64) -> Ring {
        let _ = (plan_uid, members, slots, nonce);
        unimplemented!()
    }

    pub fn encode(&self) -> Vec<u8> {
        unimplemented!()
    }

    pub fn decode(bytes: &[u8]) -> Result<Ring, Error> {
        let _ = bytes;
        unimplemented!()
    }

    pub fn owner(&self, slot: u16) -> &Member {
        &self.members[usize::from(self.slots[usize::from(slot)].owner)]
    }
}
