//! Whether a plan may go on with the volumes of one that was deleted, or that were put back from snapshots: decides by what
//! their stores hold.
//!
//! *Guarantees.* A ring is made of what the stores hold only when every store that it names has reported, each at its
//! node: no slot is served while the newest state of another may be missing. It is newer than all that they hold.
//! *Assumptions.* Nodes of an adopted volume serve nothing before they are given a ring anew.

use crate::observed::Report;
use proto::ring::{Member, Ring};

#[derive(Debug, Clone, PartialEq)]
pub enum Adoption {
    /// The ring to go on with.
    Ready(Box<Ring>),
    /// The stores of these nodes have not reported.
    Waiting(Vec<u16>),
    /// The plan and the volumes do not fit each other.
    Unfit(Unfit),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// The volumes were written by so many nodes.
    Nodes(u16),
    /// The volumes were written in so many slots.
    Slots(u32),
    /// No store has ever been given a ring.
    Nothing,
    /// Stores have been given one, and none has it any more.
    Lost,
    /// These nodes have other stores than the ring of the volumes names.
    Stores(Vec<u16>),
    /// These nodes have their stores, of an earlier moment than the ring of the volumes records.
    Older(Vec<u16>),
    /// The volumes hold different rings of one revision.
    Differ(u64),
    /// Histories of the ring have no room to rise.
    Exhausted,
}

/// What a plan asks of the volumes.
#[derive(Debug, Clone, Copy)]
pub struct Wished {
    pub replicas: u16,
    pub slots: u32,
}

/// `reports`: of the stores that were written for the plan whose volumes are adopted.
/// `adopter`: the plan that adopts them. `known`: the highest revision in its status; 0: none. A ring of that one was lost
/// before a node had it.
pub fn adoption(wished: Wished, adopter: &str, known: u64, reports: &[&Report]) -> Adoption {
    let held = || reports.iter().filter_map(|report| report.held.as_deref());
    let Some(newest) = held().max_by_key(|ring| ring.revision) else {
        let waiting = silent(0..wished.replicas, reports);
        if !waiting.is_empty() {
            return Adoption::Waiting(waiting);
        }
        let had_ring = reports.iter().any(|report| report.had_ring);
        return Adoption::Unfit(if had_ring { Unfit::Lost } else { Unfit::Nothing });
    };
    if let Some(unfit) = unfit(wished, newest, reports) {
        return Adoption::Unfit(unfit);
    }
    let waiting = silent(newest.members.iter().map(|member| member.ordinal), reports);
    if !waiting.is_empty() {
        return Adoption::Waiting(waiting);
    }
    let base = reports.iter().map(|report| report.generation).max().unwrap_or(0);
    let started = |member: &Member| {
        let incarnation = of(member.ordinal, reports).map_or(member.incarnation, |report| report.incarnation);
        Member { incarnation, ..*member }
    };
    match newest.raised(known, newest.members.iter().map(started).collect(), base, adopter) {
        Some(ring) => Adoption::Ready(Box::new(ring)),
        None => Adoption::Unfit(Unfit::Exhausted),
    }
}

fn unfit(wished: Wished, newest: &Ring, reports: &[&Report]) -> Option<Unfit> {
    let of_revision = reports.iter().filter_map(|report| report.held.as_deref());
    if of_revision.clone().any(|ring| ring.revision == newest.revision && ring != newest) {
        return Some(Unfit::Differ(newest.revision));
    }
    if newest.members.len() != usize::from(wished.replicas) {
        return Some(Unfit::Nodes(newest.members.len() as u16));
    }
    if newest.slots.len() != wished.slots as usize {
        return Some(Unfit::Slots(newest.slots.len() as u32));
    }
    let nodes = |is_wrong: fn(&Member, &Report) -> bool| -> Vec<u16> {
        let wrong = newest
            .members
            .iter()
            .filter(|member| of(member.ordinal, reports).is_some_and(|report| is_wrong(member, report)));
        wrong.map(|member| member.ordinal).collect()
    };
    let exchanged = nodes(|member, report| report.store != member.store);
    if !exchanged.is_empty() {
        return Some(Unfit::Stores(exchanged));
    }
    let older = nodes(|member, report| report.incarnation < member.incarnation);
    (!older.is_empty()).then_some(Unfit::Older(older))
}

fn of<'a>(ordinal: u16, reports: &[&'a Report]) -> Option<&'a Report> {
    reports.iter().copied().find(|report| report.ordinal == ordinal)
}

fn silent(ordinals: impl Iterator<Item = u16>, reports: &[&Report]) -> Vec<u16> {
    ordinals.filter(|ordinal| of(*ordinal, reports).is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::ring::StoreId;
    use proto::trust::Digests;
    use std::sync::Arc;

    const WISHED: Wished = Wished { replicas: 3, slots: 256 };

    fn ring(revision: u64) -> Ring {
        let member = |ordinal| Member { ordinal, store: StoreId(100 + u128::from(ordinal)), incarnation: 2 };
        Ring { revision, ..Ring::begin("uid", (0..3).map(member).collect(), 256, 1) }
    }

    fn report(ordinal: u16, held: Option<Ring>) -> Report {
        Report {
            plan_uid: "uid".to_owned(),
            ordinal,
            store: StoreId(100 + u128::from(ordinal)),
            incarnation: 4 + u64::from(ordinal),
            revision: held.as_ref().map_or(0, |ring| ring.revision),
            generation: 5 + u64::from(ordinal),
            slots_owned: 0,
            slots_serving: 0,
            had_ring: held.is_some(),
            certificates: Digests::default(),
            held: held.map(Arc::new),
            ring: None,
        }
    }

    fn decided(reports: &[Report]) -> Adoption {
        adoption(WISHED, "new", 0, &reports.iter().collect::<Vec<_>>())
    }

    fn unfit(unfit: Unfit) -> Adoption {
        Adoption::Unfit(unfit)
    }

    #[test]
    fn the_newest_ring_goes_on_when_all_its_stores_have_reported() {
        let reports = [report(0, Some(ring(3))), report(1, Some(ring(4))), report(2, Some(ring(3)))];
        let Adoption::Ready(made) = decided(&reports) else { panic!("{:?}", decided(&reports)) };
        assert_eq!((made.revision, made.parent, made.base), (5, 4, 7));
        assert_eq!(made.members.iter().map(|member| member.incarnation).collect::<Vec<_>>(), [4, 5, 6]);
        // A ring that was lost before a node had it is gone beyond.
        let again = adoption(WISHED, "new", 7, &reports.iter().collect::<Vec<_>>());
        let Adoption::Ready(again) = again else { panic!("{again:?}") };
        assert_eq!((again.revision, again.parent, again.slots[0].epoch), (8, 4, 5));
        assert_ne!(again.slots[0].history, made.slots[0].history);
        // A store that has lost its plan and ring is still the store that the ring names.
        let lost = Report { had_ring: true, generation: 0, ..report(1, None) };
        assert!(matches!(
            decided(&[report(0, Some(ring(3))), lost, report(2, Some(ring(3)))]),
            Adoption::Ready(ring) if ring.revision == 4 && ring.base == 7
        ));
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_said() {
        let all = || vec![report(0, Some(ring(3))), report(1, Some(ring(3))), report(2, Some(ring(3)))];
        let with = |change: fn(&mut Vec<Report>)| {
            let mut reports = all();
            change(&mut reports);
            decided(&reports)
        };
        assert_eq!(decided(&[]), Adoption::Waiting(vec![0, 1, 2]));
        assert_eq!(with(|all| drop(all.remove(1))), Adoption::Waiting(vec![1]));
        assert_eq!(decided(&[report(0, None)]), Adoption::Waiting(vec![1, 2]));
        assert_eq!(decided(&[0, 1, 2].map(|ordinal| report(ordinal, None))), unfit(Unfit::Nothing));
        let lost = |ordinal| Report { had_ring: true, ..report(ordinal, None) };
        assert_eq!(decided(&[0, 1, 2].map(lost)), unfit(Unfit::Lost));
        assert_eq!(with(|all| all[2].store = StoreId(7)), unfit(Unfit::Stores(vec![2])));
        // A volume that is new has a store of its own.
        assert_eq!(
            with(|all| (all[1].store, all[1].held) = (StoreId(7), None)),
            unfit(Unfit::Stores(vec![1]))
        );
        assert_eq!(with(|all| all[0].incarnation = 1), unfit(Unfit::Older(vec![0])));
        assert_eq!(
            with(|all| all[0].held = Some(Arc::new(Ring { nonce: 2, ..ring(3) }))),
            unfit(Unfit::Differ(3))
        );
        let wished = |replicas, slots| {
            let reports = all();
            adoption(Wished { replicas, slots }, "new", 0, &reports.iter().collect::<Vec<_>>())
        };
        assert_eq!(wished(2, 256), unfit(Unfit::Nodes(3)));
        assert_eq!(wished(3, 512), unfit(Unfit::Slots(256)));
        // That the number of nodes is wrong shows before all of them are there.
        let two = [report(0, Some(ring(3))), report(1, Some(ring(3)))];
        assert_eq!(
            adoption(Wished { replicas: 2, slots: 256 }, "new", 0, &two.iter().collect::<Vec<_>>()),
            unfit(Unfit::Nodes(3))
        );
    }
}
