//! How a plan stands with its ring.
//!
//! *Guarantees.* A ring is begun only over stores that have never had one, and only when the status knows of none: one
//! that has gone is never begun anew. *Assumptions.* The status names the ring's revision from soon after it is made;
//! until then the stores themselves say that they had one.

use crate::observed::{Observed, Report, Seen};
use crate::plan::Plan;
use proto::ring::{Member, Ring, StoreId};
use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq)]
pub enum Stand {
    InForce(Ring),
    /// Every node has a store that had none.
    ToBegin(Vec<Member>),
    /// For the stores of these nodes to report.
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

pub fn stand(plan: &Plan, seen: &Observed, replicas: u16) -> Stand {
    let highest = seen.answers.values().flatten().map(|report| report.revision).max().unwrap_or(0);
    match &seen.objects.ring {
        Seen::Absent => without(plan, seen, replicas, highest),
        Seen::Going | Seen::Taken(_) => Stand::NotOurs,
        Seen::Ours(bytes) => match Ring::decode(bytes) {
            Err(error) => Stand::Unreadable(error.to_string()),
            Ok(ring) if ring.plan_uid != plan.uid => {
                Stand::Unreadable(format!("it is the ring of the plan with uid {}", ring.plan_uid))
            }
            Ok(ring) if ring.revision < highest => Stand::Older { ring, nodes: highest },
            Ok(ring) => Stand::InForce(ring),
        },
    }
}

fn without(plan: &Plan, seen: &Observed, replicas: u16, highest: u64) -> Stand {
    let known = plan.status.revision.unwrap_or(0).unsigned_abs();
    let reports = || seen.answers.values().flatten();
    if known > 0 || reports().any(|report| report.had_ring || report.revision > 0) {
        return Stand::Missing(known.max(highest));
    }
    let fresh = |ordinal: &u16| seen.answers.get(ordinal).and_then(|answer| answer.as_ref().ok());
    let fresh = |ordinal: &u16| fresh(ordinal).filter(|report| is_ours(report, *ordinal, plan));
    let members: Vec<Member> = (0..replicas).filter_map(|ordinal| fresh(&ordinal).map(member)).collect();
    let stores: BTreeSet<StoreId> = members.iter().map(|member| member.store).collect();
    if stores.len() == usize::from(replicas) {
        return Stand::ToBegin(members);
    }
    Stand::Waiting((0..replicas).filter(|ordinal| fresh(ordinal).is_none()).collect())
}

fn is_ours(report: &Report, ordinal: u16, plan: &Plan) -> bool {
    report.plan_uid == plan.uid && report.ordinal == ordinal
}

fn member(report: &Report) -> Member {
    Member { ordinal: report.ordinal, store: report.store, incarnation: report.incarnation }
}
