//! Whether a plan's first ring may be begun: what the operator and dev mode both ask.
//!
//! *Guarantees.* A ring is begun only over stores that have never had one, one for each node: one that has gone is
//! never begun anew.

use super::{Member, StoreId};
use std::collections::BTreeSet;

/// What a store says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    pub member: Member,
    pub had_ring: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// Every node has a store that had none.
    Begin(Vec<Member>),
    /// The stores of these nodes have not reported.
    Waiting(Vec<u16>),
    /// The store of this node had one.
    Had(u16),
}

/// `said`: by the stores of the plan's nodes.
pub fn first(replicas: u16, said: &[Reported]) -> First {
    if let Some(Reported { member, .. }) = said.iter().find(|said| said.had_ring) {
        return First::Had(member.ordinal);
    }
    let of = |ordinal: u16| said.iter().map(|said| said.member).find(|member| member.ordinal == ordinal);
    let members: Vec<Member> = (0..replicas).filter_map(of).collect();
    let stores: BTreeSet<StoreId> = members.iter().map(|member| member.store).collect();
    if stores.len() == usize::from(replicas) {
        First::Begin(members)
    } else {
        First::Waiting((0..replicas).filter(|ordinal| of(*ordinal).is_none()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ordinal: u16, store: u128, had_ring: bool) -> Reported {
        Reported { member: Member { ordinal, store: StoreId(store), incarnation: 1 }, had_ring }
    }

    #[test]
    fn a_first_ring_needs_one_store_of_each_node_and_none_that_had_one() {
        let begin = |all: &[Reported]| First::Begin(all.iter().map(|said| said.member).collect());
        let (zero, one) = (said(0, 10, false), said(1, 11, false));
        for (all, expected) in [
            (&[zero, one][..], begin(&[zero, one])),
            (&[one, zero], begin(&[zero, one])),
            (&[zero, one, said(7, 17, false)], begin(&[zero, one])),
            (&[], First::Waiting(vec![0, 1])),
            (&[one], First::Waiting(vec![0])),
            // One store that two nodes show is not two.
            (&[zero, said(1, 10, false)], First::Waiting(vec![])),
            (&[zero, said(1, 11, true)], First::Had(1)),
            (&[said(5, 15, true)], First::Had(5)),
        ] {
            assert_eq!(first(2, all), expected, "{all:?}");
        }
    }
}
