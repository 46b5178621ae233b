//! How a plan stands with its ring.
//!
//! *Guarantees.* A ring is begun only over stores that have never had one, and only when the status knows of none: one
//! that has gone is never begun anew. *Assumptions.* The status names the ring's revision from soon after it is made;
//! until then the stores themselves say that they had one.

use crate::observed::{Observed, Report, Seen};
use crate::plan::Plan;
use proto::ring::{self, First, Member, Reported, Ring};

#[derive(Debug, Clone, PartialEq)]
pub enum RingState {
    InForce(Ring),
    /// Every node has a store that had none.
    ToBegin(Vec<Member>),
    /// The stores of these nodes have not reported yet.
    Waiting(Vec<u16>),
    /// There was one, at this revision at least.
    Missing(u64),
    Unreadable(String),
    /// Nodes have a newer one.
    Older {
        ring: Ring,
        nodes: u64,
    },
    /// Its object is not the plan's.
    NotOurs,
}

pub fn state(plan: &Plan, seen: &Observed, replicas: u16) -> RingState {
    let highest = seen.answers.values().flatten().map(|report| report.revision).max().unwrap_or(0);
    match &seen.objects.ring {
        Seen::Absent => without(plan, seen, replicas, highest),
        Seen::Going | Seen::Taken(_) => RingState::NotOurs,
        Seen::Ours(bytes) => match Ring::decode(bytes) {
            Err(error) => RingState::Unreadable(error.to_string()),
            Ok(ring) if ring.plan_uid != plan.uid => {
                RingState::Unreadable(format!("it is the ring of the plan with uid {}", ring.plan_uid))
            }
            Ok(ring) if ring.revision < highest => RingState::Older { ring, nodes: highest },
            Ok(ring) => RingState::InForce(ring),
        },
    }
}

fn without(plan: &Plan, seen: &Observed, replicas: u16, highest: u64) -> RingState {
    let known = plan.status.revision.unwrap_or(0).unsigned_abs();
    let reports = || seen.answers.values().flatten();
    if known > 0 || reports().any(|report| report.had_ring || report.revision > 0) {
        return RingState::Missing(known.max(highest));
    }
    let ours = seen.answers.iter().filter_map(|(ordinal, answer)| {
        let Report { store, incarnation, had_ring, .. } = *answer
            .as_ref()
            .ok()
            .filter(|report| report.plan_uid == plan.uid && report.ordinal == *ordinal)?;
        Some(Reported { member: Member { ordinal: *ordinal, store, incarnation }, had_ring })
    });
    match ring::first(replicas, &ours.collect::<Vec<_>>()) {
        First::Begin(members) => RingState::ToBegin(members),
        First::Waiting(nodes) => RingState::Waiting(nodes),
        First::Had(_) => RingState::Missing(known.max(highest)),
    }
}
