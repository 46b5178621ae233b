//! Which ring the nodes of a plan go by, where its ConfigMap is gone or has an older one: decides by what they report.
//!
//! *Guarantees.* What is to be written is the very ring that nodes go by, so that nothing changes for them, and only when
//! every store that it names has reported: none of them has a newer one. Where the plan's status knows of a newer one,
//! which no node has, it is the ring after both. *Assumptions.* Nodes tell the ring that they have in force when it is
//! not the one in the ConfigMap.

use crate::observed::Report;
use proto::ring::{Member, Ring};

#[derive(Debug, Clone, PartialEq)]
pub enum Restoring {
    Ready(Box<Ring>),
    /// Nodes go by this ring, and these have not reported what they have.
    Waiting {
        ring: Box<Ring>,
        nodes: Vec<u16>,
    },
    /// These nodes go by a ring and have not told it.
    Untold(Vec<u16>),
    /// Nodes go by two rings of this revision.
    Differ(u64),
    /// Histories of the ring have no room to rise.
    Exhausted,
}

/// `known`: the revision in the plan's status. `by`: the uid of the plan's object. `older`: the ring in the ConfigMap, which
/// nodes that go by it do not tell. `reports`: of the plan's stores, each at its node. `None`: none of them goes by a ring.
pub fn restoring(known: u64, by: &str, older: Option<&Ring>, reports: &[&Report]) -> Option<Restoring> {
    let in_force = || reports.iter().filter(|report| report.goes_by_ring());
    in_force().next()?;
    let told = || in_force().filter_map(|report| report.ring_in_force(older));
    let Some(newest) = told().max_by_key(|ring| ring.revision) else {
        return Some(Restoring::Untold(in_force().map(|report| report.ordinal).collect()));
    };
    if told().any(|ring| ring.revision == newest.revision && ring != newest) {
        return Some(Restoring::Differ(newest.revision));
    }
    let is_known =
        |report: &Report| report.ring_in_force(older).is_some() || report.revision < newest.revision;
    let of = |member: &Member| {
        reports.iter().copied().find(|report| report.store == member.store && is_known(report))
    };
    let silent = newest.members.iter().filter(|member| of(member).is_none());
    let nodes: Vec<u16> = silent.map(|member| member.ordinal).collect();
    if !nodes.is_empty() {
        return Some(Restoring::Waiting { ring: Box::new(newest.clone()), nodes });
    }
    if newest.revision >= known {
        return Some(Restoring::Ready(Box::new(newest.clone())));
    }
    let started = |member: &Member| {
        let incarnation = of(member).map_or(0, |report| report.incarnation).max(member.incarnation);
        Member { incarnation, ..*member }
    };
    let raised = newest.raised(known, newest.members.iter().map(started).collect(), newest.base, by);
    Some(raised.map_or(Restoring::Exhausted, |ring| Restoring::Ready(Box::new(ring))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::ring::StoreId;
    use proto::trust::Digests;
    use std::sync::Arc;

    fn ring(revision: u64) -> Ring {
        let member = |ordinal| Member { ordinal, store: StoreId(100 + u128::from(ordinal)), incarnation: 2 };
        Ring { revision, ..Ring::begin("uid", (0..3).map(member).collect(), 256, 1) }
    }

    fn report(ordinal: u16, ring: Option<Ring>) -> Report {
        Report {
            plan_uid: "uid".to_owned(),
            ordinal,
            store: StoreId(100 + u128::from(ordinal)),
            incarnation: 4,
            revision: ring.as_ref().map_or(0, |ring| ring.revision),
            generation: 5,
            slots_owned: 0,
            slots_serving: 0,
            had_ring: ring.is_some(),
            certificates: Digests::default(),
            held: None,
            ring: ring.map(Arc::new),
        }
    }

    fn check(known: u64, reports: &[Report], expected: Option<&Restoring>) {
        let decided = restoring(known, "object", None, &reports.iter().collect::<Vec<_>>());
        assert_eq!(decided.as_ref(), expected, "{reports:?}");
    }

    fn ready(revision: u64) -> Restoring {
        Restoring::Ready(Box::new(ring(revision)))
    }

    fn waiting(revision: u64, nodes: &[u16]) -> Restoring {
        Restoring::Waiting { ring: Box::new(ring(revision)), nodes: nodes.to_vec() }
    }

    #[test]
    fn the_newest_ring_is_written_as_it_is_when_all_its_stores_have_reported() {
        let of = |ordinal, revision| report(ordinal, Some(ring(revision)));
        check(0, &[], None);
        check(3, &[report(0, None), report(1, None)], None);
        for (reports, expected) in [
            (vec![of(0, 3), of(1, 3), of(2, 3)], ready(3)),
            (vec![of(0, 3), of(1, 4), of(2, 1)], ready(4)),
            (vec![of(0, 3), of(2, 3)], waiting(3, &[1])),
            // One that has not been given the ring yet has reported, and so has one that holds an older one.
            (vec![of(0, 3), report(1, None), of(2, 3)], ready(3)),
            (
                vec![
                    of(0, 3),
                    Report { held: Some(Arc::new(ring(2))), revision: 2, ..report(1, None) },
                    of(2, 3),
                ],
                ready(3),
            ),
            // An emptied volume is not the store that the ring names.
            (vec![of(0, 3), Report { store: StoreId(7), ..report(1, None) }, of(2, 3)], waiting(3, &[1])),
            // Another ring than the operator's is told; an older one is what lies there.
            (vec![of(0, 3), Report { revision: 2, ..report(1, None) }, of(2, 3)], ready(3)),
            (vec![of(0, 3), Report { revision: 3, ..report(1, None) }, of(2, 3)], waiting(3, &[1])),
            (vec![Report { revision: 3, ..report(1, None) }], Restoring::Untold(vec![1])),
            (vec![of(0, 3), report(1, Some(Ring { nonce: 2, ..ring(3) }))], Restoring::Differ(3)),
        ] {
            for known in [0, 1, 3] {
                check(known, &reports, Some(&expected));
            }
        }
    }

    #[test]
    fn a_ring_that_no_node_has_is_gone_beyond() {
        let reports = [0, 1, 2].map(|ordinal| report(ordinal, Some(ring(3))));
        let made = restoring(5, "object", None, &reports.iter().collect::<Vec<_>>());
        let Some(Restoring::Ready(made)) = made else { panic!("{made:?}") };
        assert_eq!((made.revision, made.parent, made.base, made.nonce), (6, 3, 0, 0));
        assert!(made.members.iter().all(|member| member.incarnation == 4));
        let before = ring(3);
        let pairs = || made.slots.iter().zip(&before.slots);
        assert!(
            pairs().all(|(after, before)| after.owner == before.owner && after.epoch == before.epoch + 3)
        );
        assert!(pairs().all(|(after, before)| after.history > before.history));
    }

    #[test]
    fn who_goes_by_the_ring_of_the_configmap_does_not_tell_it() {
        let silent = |ordinal, revision| Report { revision, ..report(ordinal, None) };
        let here = ring(3);
        let decided = |known, reports: &[Report]| {
            restoring(known, "object", Some(&here), &reports.iter().collect::<Vec<_>>())
        };
        let all = [0, 1, 2].map(|ordinal| silent(ordinal, 3));
        let Some(Restoring::Ready(made)) = decided(5, &all) else { panic!("{:?}", decided(5, &all)) };
        assert_eq!((made.revision, made.parent), (6, 3));
        let other = report(1, Some(Ring { nonce: 2, ..ring(3) }));
        assert_eq!(decided(3, &[silent(0, 3), other, silent(2, 3)]), Some(Restoring::Differ(3)));
        let newer = report(1, Some(ring(4)));
        assert_eq!(decided(3, &[silent(0, 3), newer, silent(2, 3)]), Some(ready(4)));
    }
}
