//! How a plan stands with its ring.
//!
//! *Guarantees.* A ring is begun only over stores that have never had one, and only when the status knows of none: one
//! that has gone is never begun anew. Over volumes that are adopted only [`crate::adoption`] makes one. *Assumptions.* The status names the ring's revision from soon after it is made;
//! until then the stores themselves say that they had one.

use crate::adoption::{Adoption, Unfit, Wished, adoption};
use crate::observed::{Observed, Report, Seen};
use crate::plan::{Plan, Wish};
use bytes::Bytes;
use proto::ring::{self, First, Member, Reported, Ring};

#[derive(Debug, Clone, PartialEq)]
pub enum RingState {
    InForce(Ring),
    /// Every node has a store that had none.
    ToBegin(Vec<Member>),
    /// The stores of these nodes have not reported yet.
    Waiting(Vec<u16>),
    /// The volumes are adopted, and this goes on from what they hold.
    ToAdopt(Box<Ring>),
    /// They are to be, and the stores of these nodes have not reported yet.
    Adopting(Vec<u16>),
    /// They are to be, and cannot.
    Unfit(Unfit),
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

/// The plan, with what its data are called: its ring knows that as well, and a spec may have lost it.
pub fn identified(plan: Plan, ring: &Seen<Bytes>) -> Plan {
    let adopted = ring.ours().filter(|_| !plan.has_adopted()).and_then(|bytes| Ring::decode(bytes).ok());
    match adopted {
        Some(ring) if ring.base > 0 => Plan { data_uid: ring.plan_uid, ..plan },
        _ => plan,
    }
}

pub fn state(plan: &Plan, seen: &Observed, replicas: u16) -> RingState {
    let highest = seen.answers.values().flatten().map(|report| report.revision).max().unwrap_or(0);
    match &seen.objects.ring {
        Seen::Absent => without(plan, seen, replicas, highest),
        Seen::Going | Seen::Taken(_) => RingState::NotOurs,
        Seen::Ours(bytes) => match Ring::decode(bytes) {
            Err(error) => RingState::Unreadable(error.to_string()),
            Ok(ring) if ring.plan_uid != plan.data_uid => {
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
    if is_adopting(plan) && !reports().any(has_ring_in_force) {
        return adopted(plan, seen);
    }
    if known > 0 || reports().any(|report| report.had_ring || report.revision > 0) {
        return RingState::Missing(known.max(highest));
    }
    let ours = seen.answers.iter().filter_map(|(ordinal, answer)| {
        let Report { store, incarnation, had_ring, .. } = *answer
            .as_ref()
            .ok()
            .filter(|report| report.plan_uid == plan.data_uid && report.ordinal == *ordinal)?;
        Some(Reported { member: Member { ordinal: *ordinal, store, incarnation }, had_ring })
    });
    match ring::first(replicas, &ours.collect::<Vec<_>>()) {
        First::Begin(members) => RingState::ToBegin(members),
        First::Waiting(nodes) => RingState::Waiting(nodes),
        First::Had(_) => RingState::Missing(known.max(highest)),
    }
}

/// Whether it has not gone on yet with the volumes that it adopts.
pub fn is_adopting(plan: &Plan) -> bool {
    plan.has_adopted() && plan.status.revision.is_none()
}

fn has_ring_in_force(report: &Report) -> bool {
    report.revision > 0 && report.held.is_none()
}

fn adopted(plan: &Plan, seen: &Observed) -> RingState {
    // Whether an invalid plan fits the volumes shows when it is mended.
    let Ok(Wish { spec, .. }) = &plan.wish else { return RingState::Adopting(Vec::new()) };
    let wished = Wished { replicas: spec.replicas.unsigned_abs() as u16, slots: spec.slots.unsigned_abs() };
    let ours = seen.answers.iter().filter_map(|(ordinal, answer)| {
        answer.as_ref().ok().filter(|report| report.plan_uid == plan.data_uid && report.ordinal == *ordinal)
    });
    match adoption(wished, &plan.uid, &ours.collect::<Vec<_>>()) {
        Adoption::Ready(ring) => RingState::ToAdopt(ring),
        Adoption::Waiting(nodes) => RingState::Adopting(nodes),
        Adoption::Unfit(unfit) => RingState::Unfit(unfit),
    }
}
