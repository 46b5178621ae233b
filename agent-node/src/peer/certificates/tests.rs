//! Files that change under a node, right and wrong ones.

use super::*;
use proto::trust::Authority;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use tempfile::TempDir;

const PLAN: &str = "uid-1";

fn pems(authority: &Pair) -> Pems {
    let pair = Authority::load(PLAN, authority).unwrap().issue(Role::Node, now_s()).unwrap();
    Pems { pair, bundle: authority.certificate.clone() }
}

fn authority() -> Pair {
    Authority::make(PLAN, now_s()).unwrap()
}

fn error(folder: &TempDir, plan: &str) -> String {
    format!("{:#}", Certificates::open(folder.path(), plan).err().unwrap())
}

#[test]
fn what_is_missing_or_wrong_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    assert!(error(&folder, PLAN).contains("tls.crt cannot be read"));
    write(folder.path(), &pems(&authority())).unwrap();
    let mode = |name| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([CERTIFICATE, KEY, BUNDLE].map(mode), [0o600; 3]);
    Certificates::open(folder.path(), PLAN).unwrap();
    let other = error(&folder, "uid-2");
    assert!(other.contains("cannot be used") && other.contains("the plan uid-2"), "{other}");
    fs::write(folder.path().join(BUNDLE), authority().certificate).unwrap();
    assert!(error(&folder, PLAN).contains("no CA that is trusted"));
    fs::remove_file(folder.path().join(KEY)).unwrap();
    assert!(error(&folder, PLAN).contains("tls.key cannot be read"));
}

#[test]
fn new_files_are_in_force_when_they_are_right_and_change_nothing_when_they_are_not() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), authority());
    write(folder.path(), &pems(&ca)).unwrap();
    let certificates = Certificates::open(folder.path(), PLAN).unwrap();
    let first = certificates.in_force();
    certificates.look();
    assert!(Arc::ptr_eq(&first, &certificates.in_force()), "nothing has changed");
    fs::write(folder.path().join(CERTIFICATE), "half a cert").unwrap();
    certificates.look();
    fs::remove_file(folder.path().join(KEY)).unwrap();
    certificates.look();
    assert!(Arc::ptr_eq(&first, &certificates.in_force()) && !first.replaced.is_cancelled());
    write(folder.path(), &pems(&ca)).unwrap();
    certificates.look();
    let second = certificates.in_force();
    assert!(first.replaced.is_cancelled() && !second.replaced.is_cancelled());
    assert_ne!(first.credentials.digests.certificate, second.credentials.digests.certificate);
    assert_eq!(first.credentials.digests.bundle, second.credentials.digests.bundle);
}

#[test]
fn files_that_a_kubelet_exchanges_are_read_from_one_moment() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), authority());
    let moment = |name: &str| {
        fs::create_dir(folder.path().join(name)).unwrap();
        write(&folder.path().join(name), &pems(&ca)).unwrap();
        symlink(name, folder.path().join("new")).unwrap();
        fs::rename(folder.path().join("new"), folder.path().join(KUBELETS_LINK)).unwrap();
    };
    moment("..1");
    for name in [CERTIFICATE, KEY, BUNDLE] {
        symlink(Path::new(KUBELETS_LINK).join(name), folder.path().join(name)).unwrap();
    }
    let certificates = Certificates::open(folder.path(), PLAN).unwrap();
    let first = certificates.in_force();
    moment("..2");
    certificates.look();
    assert!(first.replaced.is_cancelled());
}
