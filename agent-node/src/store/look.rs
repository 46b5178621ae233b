//! Looks into a data folder as a start does, without starting: what a start would find, and why it would end.
//!
//! *Guarantees.* Nothing in the folder changes. Its lock is held for no longer than it takes to see that nobody else
//! holds it.

use super::{
    Error, Identity, LOCK, STORE, had_ring, io_error, locked, next_incarnation, read_identity,
    refuse_foreign, refuse_rolled_back,
};
use crate::disk;
use std::io;
use std::path::Path;

/// What the next start of a folder finds in it, before it changes anything.
#[derive(Debug, Default)]
pub struct Look {
    /// Whose it is. None: no store can be read, or there is none yet.
    pub owner: Option<Owner>,
    /// The number of the next start.
    pub incarnation: Option<u64>,
    pub had_ring: bool,
    /// A process has it.
    pub in_use: bool,
    /// Why it is not started, in the order in which a start comes upon them.
    pub refusals: Vec<Error>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub id: u128,
    pub plan_uid: String,
    pub ordinal: u16,
}

/// Looks into a folder as `Store::open` does.
pub fn look(folder: &Path) -> Look {
    let mut look = Look::default();
    if !disk::is_folder(folder) {
        return look;
    }
    if let Err(error) = refuse_foreign(folder) {
        look.refusals.push(error);
        return look;
    }
    if let Err(error) = in_use(folder) {
        look.in_use = matches!(error, Error::InUse { .. });
        look.refusals.push(error);
    }
    if !disk::exists(&folder.join(STORE)) {
        return look;
    }
    look.had_ring = had_ring(folder);
    match read_identity(folder) {
        Ok(identity) => {
            look.refusals.extend(identity.is_readable(folder).err());
            let Identity { format: _, id, plan_uid, ordinal } = identity;
            look.owner = Some(Owner { id, plan_uid, ordinal });
        }
        Err(error) => look.refusals.push(error),
    }
    look.refusals.extend(refuse_rolled_back(folder).err());
    match next_incarnation(folder) {
        Ok(number) => look.incarnation = Some(number),
        Err(error) => look.refusals.push(error),
    }
    look
}

/// Whether a process has the folder.
pub(crate) fn in_use(folder: &Path) -> Result<(), Error> {
    let path = folder.join(LOCK);
    let file = match disk::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(io_error("open", &path))?,
    };
    locked(folder, file.try_lock_shared())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreOptions};
    use std::fs;

    fn options() -> StoreOptions {
        StoreOptions { plan_uid: "uid-1".into(), ordinal: 3 }
    }

    #[test]
    fn it_says_what_the_next_start_has() {
        let temp = tempfile::tempdir().unwrap();
        assert!(look(&temp.path().join("nothing")).owner.is_none());
        let found = look(temp.path());
        assert!(found.owner.is_none() && found.refusals.is_empty(), "a start makes a store of it");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
        let store = Store::open(temp.path(), &options()).unwrap();
        let id = store.id();
        let found = look(temp.path());
        assert!(found.in_use);
        assert!(found.refusals[0].to_string().contains("in use by another process (process "));
        drop(store);
        let found = look(temp.path());
        assert_eq!(found.owner, Some(Owner { id, plan_uid: "uid-1".into(), ordinal: 3 }));
        assert_eq!((found.incarnation, found.had_ring, found.refusals.len()), (Some(2), false, 0));
        assert_eq!(Store::open(temp.path(), &options()).unwrap().incarnation(), 2);
    }

    #[test]
    fn it_names_all_that_a_start_would_come_upon_in_its_order() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path(), &options()).unwrap();
        store.has_later_start("a peer knows of start 9").unwrap();
        drop(store);
        for name in ["incarnation", "store"] {
            let said: Vec<String> = look(temp.path()).refusals.iter().map(ToString::to_string).collect();
            assert_eq!(said[0], Store::open(temp.path(), &options()).unwrap_err().to_string(), "{name}");
            fs::write(temp.path().join(name), "").unwrap();
        }
        let said: Vec<String> = look(temp.path()).refusals.iter().map(ToString::to_string).collect();
        let parts = ["store is damaged", "was restored to an earlier state", "incarnation is damaged"];
        assert_eq!(said.len(), parts.len(), "{said:?}");
        assert!(said.iter().zip(parts).all(|(said, part)| said.contains(part)), "{said:?}");
    }
}
