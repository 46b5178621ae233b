//! The CA of a plan on this machine and the certificate of its nodes, in its data folder: made at the first start, and
//! again when they are due or cannot be used. All nodes are in this process, so nobody else has to learn of new ones.

use crate::peer::certificates::{self, InForce, write_private};
use crate::store;
use anyhow::Context as _;
use proto::trust::{self, Authority, BUNDLE, Pems, Role};
use std::path::{Path, PathBuf};
use tracing::info;

/// Within the data folder.
const FOLDER: &str = "certificates";
const AUTHORITY_KEY: &str = "ca.key";

/// The folder with them.
pub fn ensure(data: &Path, plan_uid: &str, now_s: u64) -> anyhow::Result<PathBuf> {
    let folder = data.join(FOLDER);
    if !is_usable(&folder, plan_uid, now_s) {
        store::make_folder(&folder)?;
        make(&folder, plan_uid, now_s).with_context(|| {
            format!("no certificates can be made in {}: see that it can be written", folder.display())
        })?;
        info!(folder = %folder.display(), "a CA and a certificate for the nodes were made");
    }
    Ok(folder)
}

fn is_usable(folder: &Path, plan_uid: &str, now_s: u64) -> bool {
    let pems = certificates::read(folder).ok();
    let in_force = pems.and_then(|pems| InForce::new(plan_uid, &pems).ok());
    in_force.is_some_and(|in_force| !in_force.credentials.validity.is_due(now_s))
}

fn make(folder: &Path, plan_uid: &str, now_s: u64) -> anyhow::Result<()> {
    let authority = Authority::make(plan_uid, now_s)?;
    let pair = Authority::load(plan_uid, &authority)?.issue(Role::Node, now_s)?;
    write_private(folder, AUTHORITY_KEY, &authority.key)?;
    certificates::write(folder, &Pems { pair, bundle: authority.certificate })
}

/// The CA's certificate and key, for whoever is to be let in beside the nodes.
pub fn authority(folder: &Path) -> anyhow::Result<trust::Pair> {
    let text = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    Ok(trust::Pair { certificate: text(BUNDLE)?, key: text(AUTHORITY_KEY)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    const NOW: u64 = 1_780_000_000;

    #[test]
    fn they_stay_until_they_are_due_or_cannot_be_used() {
        let data = tempfile::tempdir().unwrap();
        let key = |now_s, plan| {
            let folder = ensure(data.path(), plan, now_s).unwrap();
            for file in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
            }
            fs::read_to_string(folder.join(trust::KEY)).unwrap()
        };
        let first = key(NOW, "uid-1");
        assert_eq!(key(NOW + 1, "uid-1"), first);
        let second = key(NOW + trust::LIFE_S / 2, "uid-1");
        assert_ne!(second, first);
        assert_ne!(key(NOW + trust::LIFE_S / 2, "uid-2"), second);
        let third = key(NOW, "uid-2");
        fs::write(data.path().join(FOLDER).join(BUNDLE), "").unwrap();
        assert_ne!(key(NOW, "uid-2"), third);
        assert!(authority(&data.path().join(FOLDER)).unwrap().key.contains("PRIVATE KEY"));
    }
}
