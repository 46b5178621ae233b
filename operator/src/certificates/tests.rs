//! When certificates are made and a CA is exchanged, step by step.

use super::*;
use crate::world::{UID, World};
use proto::trust::{Authority, LIFE_S};

const THIRD: i64 = LIFE_S as i64 / 3;

fn due(world: &World) -> &'static str {
    match renewal(&world.plan(), &world.seen(), world.now_s()).due {
        Due::Nothing => "nothing",
        Due::Authority { .. } => "a CA",
        Due::Nodes { pair: Some(_), .. } => "other CAs",
        Due::Nodes { pair: None, why, .. } => why,
    }
}

fn settled() -> World {
    let mut world = World::settled();
    world.spread();
    assert_eq!(due(&world), "nothing");
    world
}

/// What it is, what happens, and what is due then.
type Case = (&'static str, fn(&mut World), &'static str);

#[test]
fn what_is_missing_or_due_is_made() {
    let another =
        || AuthorityPems { pair: Authority::make(UID, 1_700_000_000).unwrap(), trusted: String::new() };
    let table: [Case; 9] = [
        ("all is well", |_| {}, "nothing"),
        ("no CA", |world| world.authority = None, "a CA"),
        ("no certificates", |world| world.certificates = None, "there is none"),
        ("short of a third", |world| world.second = THIRD - 2 * 24 * 60 * 60, "nothing"),
        ("past a third", |world| world.second = THIRD, "a third of its life is over"),
        ("long ended", |world| world.second = 9 * THIRD, "a third of its life is over"),
        (
            "broken",
            |world| world.certificates.as_mut().unwrap().pair.key.clear(),
            "what is there cannot be used",
        ),
        (
            "no bundle",
            |world| world.certificates.as_mut().unwrap().bundle.clear(),
            "what is there cannot be used",
        ),
        (
            "of the CA of another plan",
            |world| {
                let other = Authority::make("another", 1).unwrap();
                let pair = Authority::load("another", &other).unwrap().issue(Role::Node, 1).unwrap();
                world.certificates = Some(Pems { pair, bundle: other.certificate });
            },
            "what is there cannot be used",
        ),
    ];
    for (what, change, expected) in table {
        let mut world = settled();
        change(&mut world);
        assert_eq!(due(&world), expected, "{what}");
    }
    let mut world = settled();
    world.authority = Some(another());
    assert_eq!(due(&world), "it was made by a CA that is not trusted any more");
}

#[test]
fn a_ca_that_cannot_be_used_is_told_and_left() {
    let mut world = settled();
    let before = world.certificates.clone();
    world.authority.as_mut().unwrap().pair.key = "not a key".to_owned();
    world.settle();
    let degraded = world.condition("Degraded");
    assert!(
        degraded.starts_with("True CertificatesUnusable: the Secret flights-ca cannot be used"),
        "{degraded}"
    );
    assert_eq!((due(&world), &world.certificates), ("nothing", &before));
    world.authority = None;
    world.settle();
    world.spread();
    world.settle();
    assert!(world.condition("Degraded").starts_with("False Healthy"));
}

/// At no moment of an exchange is there a node that runs and does not trust another one's certificate.
#[test]
fn a_ca_is_exchanged_without_a_moment_in_which_nodes_do_not_trust_each_other() {
    let mut world = settled();
    let old = world.authority.take().unwrap();
    let trust_each_other = |world: &World| {
        for one in world.nodes.values() {
            for other in world.nodes.values() {
                let credentials = Credentials::load(UID, Role::Node, &other.pems).unwrap();
                let bundle = Bundle::parse(&one.pems.bundle, "").unwrap();
                assert!(credentials.is_taken_by(&Verifier::new(UID, bundle).unwrap()));
            }
        }
    };
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.extend(world.settle());
        trust_each_other(&world);
        // Kubelets bring the files to one node after the other.
        for ordinal in 0..3 {
            let pems = world.certificates.clone().unwrap();
            world.nodes.get_mut(&ordinal).unwrap().mount(&pems);
            trust_each_other(&world);
            taken.extend(world.settle().into_iter().filter(|step| step != "report"));
            trust_each_other(&world);
        }
    }
    let made: Vec<_> = taken.iter().filter(|step| *step != "report").map(String::as_str).collect();
    assert_eq!(
        made,
        [
            "make the CA",
            "give nodes other CAs: other CAs are trusted",
            "make the nodes' certificate: all nodes trust the new CA"
        ]
    );
    // A person takes the old one out.
    let authority = world.authority.as_mut().unwrap();
    assert!(authority.trusted.contains(old.pair.certificate.trim()));
    authority.trusted.clear();
    assert_eq!(due(&world), "other CAs");
    world.settle();
    world.spread();
    trust_each_other(&world);
    assert!(!world.nodes[&0].pems.bundle.contains(old.pair.certificate.trim()));
    assert!(world.condition("Reconciling").starts_with("False") || !world.settle().is_empty());
}

#[test]
fn nodes_that_lag_are_named_until_they_have_read_the_newest() {
    let mut world = settled();
    world.second = THIRD;
    world.settle();
    let text = world.condition("Reconciling");
    assert!(text.starts_with("True CertificatesSpreading: waiting until kubelets"), "{text}");
    assert!(text.ends_with("node 0, node 1, node 2"), "{text}");
    world.restart(1);
    world.settle();
    assert!(world.condition("Reconciling").ends_with("node 0, node 2"));
    assert!(world.condition("Ready").starts_with("True"), "they serve all the while");
    world.spread();
    world.settle();
    assert!(world.condition("Reconciling").starts_with("False Settled"));
}

#[test]
fn pods_of_before_are_named_and_asked_nothing() {
    let mut world = settled();
    world.nodes.get_mut(&1).unwrap().has_certificates = false;
    world.settle();
    let degraded = world.condition("Degraded");
    let expected = "True PodsWithoutCertificates: pod flights-1 was started before nodes had certificates";
    assert!(degraded.starts_with(expected) && degraded.contains("delete the pod"), "{degraded}");
    world.restart(1);
    world.settle();
    assert!(world.condition("Degraded").starts_with("False Healthy"));
}
