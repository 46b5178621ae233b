//! How a plan stands with its ring.
//!
//! *Guarantees.* A ring is begun only over stores that have never had one, and only while the status knows of none. One that is gone, or that an older one lies in the place of, is written again as nodes have it, by [`crate::restoring`]; over
//! volumes that are adopted only [`crate::adoption`] makes one. No revision is ever given twice, as far as the status and
//! nodes know. *Assumptions.* The status names the ring's revision from soon after it is made; until then the stores
//! themselves say that they had one.

use crate::adoption::{Adoption, Unfit, Wished, adoption};
use crate::observed::{Observed, Report, Seen};
use crate::plan::{Plan, Wish};
use crate::restoring::{Restoring, restoring};
use bytes::Bytes;
use proto::ring::{self, First, Member, Reported, Ring};

/// The ring, and what lies in its place.
#[derive(Debug)]
pub struct Found {
    pub state: RingState,
    /// The ConfigMap has a ring of this revision, which is older than what nodes or the status have, and not in force.
    pub outdated: Option<u64>,
}

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
    /// The ConfigMap does not have the ring that nodes go by: this is written to it.
    ToRestore(Box<Ring>),
    /// It does not have this, and the stores of these nodes have not reported yet.
    Restoring {
        ring: Box<Ring>,
        waiting: Vec<u16>,
    },
    /// There was one, of this revision at least, and nothing says which.
    Missing {
        revision: u64,
        lack: Lack,
    },
    Unreadable(String),
    /// Its object is not the plan's.
    NotOurs,
}

impl RingState {
    /// The ring that nodes go by, if it is known.
    pub fn of_nodes(&self) -> Option<&Ring> {
        match self {
            RingState::InForce(ring) => Some(ring),
            RingState::ToRestore(ring) | RingState::Restoring { ring, .. } => Some(ring),
            _ => None,
        }
    }
}

/// Tells a ring from others. One that is to be made is told from others by the one that it follows: its own revision
/// rises with each try.
pub fn hash(ring: &Ring) -> String {
    match ring.nonce {
        0 => format!("after {}", ring.parent),
        nonce => format!("{} {nonce}", ring.revision),
    }
}

/// Why a ring that is missing is not written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// These nodes have not said which ring they have.
    Silent(Vec<u16>),
    /// Every node has reported; stores have had a ring, and none has it any more.
    Lost,
    /// Every node has reported, and no store has ever had a ring, though nodes went by one: the volumes are others.
    Emptied,
    /// Nodes go by two different ones of the revision.
    Differ,
    /// Histories of the newest have no room to rise.
    Exhausted,
}

/// The plan, with what its data are called: its ring knows that as well, and a spec may have lost it.
pub fn identified(plan: Plan, ring: &Seen<Bytes>) -> Plan {
    match decoded(ring).filter(|_| !plan.has_adopted()) {
        Some(ring) if ring.base > 0 => Plan { data_uid: ring.plan_uid, ..plan },
        _ => plan,
    }
}

/// What the ConfigMap has, if that is the plan's and can be read.
pub fn decoded(ring: &Seen<Bytes>) -> Option<Ring> {
    ring.ours().and_then(|bytes| Ring::decode(bytes).ok())
}

/// The newest ring that the ConfigMap has or nodes tell, unless the status knows of a newer one.
pub fn newest_seen(plan: &Plan, seen: &Observed) -> Option<Ring> {
    let known = plan.status.revision.unwrap_or(0).unsigned_abs();
    let is_ours = |report: &&Report| report.plan_uid == plan.data_uid;
    let told =
        seen.answers.values().flatten().filter(is_ours).filter_map(|report| report.ring.as_deref().cloned());
    let all = told.chain(decoded(&seen.objects.ring)).filter(|ring| ring.revision >= known);
    all.max_by_key(|ring| ring.revision)
}

/// `replicas`: the number of the plan's nodes.
pub fn found(plan: &Plan, seen: &Observed, replicas: u16) -> Found {
    let stores = Stores::of(plan, seen, replicas);
    let state = match &seen.objects.ring {
        Seen::Absent => stores.without(plan, None),
        Seen::Going | Seen::Taken(_) => RingState::NotOurs,
        Seen::Ours(bytes) => match Ring::decode(bytes) {
            Err(error) => RingState::Unreadable(error.to_string()),
            Ok(ring) if ring.plan_uid != plan.data_uid => {
                RingState::Unreadable(format!("it is the ring of the plan with uid {}", ring.plan_uid))
            }
            Ok(ring) if stores.are_beyond(&ring) => {
                return Found { state: stores.without(plan, Some(&ring)), outdated: Some(ring.revision) };
            }
            Ok(ring) => stores.with(plan, ring),
        },
    };
    Found { state, outdated: None }
}

/// Whether it has not gone on yet with the volumes that it adopts.
pub fn is_adopting(plan: &Plan) -> bool {
    plan.has_adopted() && plan.status.revision.is_none()
}

/// What the stores of the plan's nodes say.
struct Stores<'a> {
    /// The revision in the plan's status; 0: none.
    known: u64,
    replicas: u16,
    reports: Vec<&'a Report>,
}

impl Stores<'_> {
    fn of<'a>(plan: &Plan, seen: &'a Observed, replicas: u16) -> Stores<'a> {
        let reports = seen.answers.iter().filter_map(|(ordinal, answer)| {
            let report = answer.as_ref().ok()?;
            (report.plan_uid == plan.data_uid && report.ordinal == *ordinal).then_some(report)
        });
        Stores {
            known: plan.status.revision.unwrap_or(0).unsigned_abs(),
            replicas,
            reports: reports.collect(),
        }
    }

    /// Whether this ring is not the newest: the status knows of a higher revision, or a node has that or another of the same.
    fn are_beyond(&self, ring: &Ring) -> bool {
        // Whoever holds what volumes have may hold those of another plan.
        let is_in_force = self.reports.iter().any(|report| report.ring_in_force(Some(ring)) == Some(ring));
        let is_beyond = |report: &Report| match (&report.held, &report.ring) {
            // Nothing of what is held is in force, so that a ring which is has to be newer.
            (Some(held), _) => !is_in_force && held.revision >= ring.revision,
            (None, Some(told)) => told.revision >= ring.revision && **told != *ring,
            (None, None) => report.revision > ring.revision,
        };
        ring.revision < self.known || self.reports.iter().any(|report| is_beyond(report))
    }

    /// A ring that no report contradicts.
    fn with(&self, plan: &Plan, ring: Ring) -> RingState {
        // One of the plan before may have been put back: stores tell it from the one that goes on from what they hold.
        let is_proven = !is_adopting(plan) || self.reports.iter().any(|report| report.goes_by_ring());
        let ordinals = ring.members.iter().map(|member| member.ordinal);
        let silent: Vec<u16> = ordinals.filter(|ordinal| !self.has_reported(*ordinal)).collect();
        if is_proven || silent.is_empty() { RingState::InForce(ring) } else { RingState::Adopting(silent) }
    }

    fn has_reported(&self, ordinal: u16) -> bool {
        self.reports.iter().any(|report| report.ordinal == ordinal)
    }

    /// The ConfigMap has none, or this older one.
    fn without(&self, plan: &Plan, older: Option<&Ring>) -> RingState {
        let in_force = self.reports.iter().filter(|report| report.goes_by_ring());
        let revision = in_force.map(|report| report.revision).fold(self.known, u64::max);
        let missing = |lack| RingState::Missing { revision, lack };
        match restoring(self.known, &plan.uid, older, &self.reports) {
            Some(Restoring::Ready(ring)) => RingState::ToRestore(ring),
            Some(Restoring::Waiting { ring, nodes }) => RingState::Restoring { ring, waiting: nodes },
            Some(Restoring::Untold(nodes)) => missing(Lack::Silent(nodes)),
            Some(Restoring::Differ(_)) => missing(Lack::Differ),
            Some(Restoring::Exhausted) => missing(Lack::Exhausted),
            None if is_adopting(plan) || self.reports.iter().any(|report| report.held.is_some()) => {
                self.adopted(plan)
            }
            None => self.begun().unwrap_or_else(|| missing(self.lack())),
        }
    }

    /// No node has a ring. `None`: there was one.
    fn begun(&self) -> Option<RingState> {
        if self.known > 0 {
            return None;
        }
        let reported = |report: &&Report| {
            let Report { ordinal, store, incarnation, had_ring, .. } = **report;
            Reported { member: Member { ordinal, store, incarnation }, had_ring }
        };
        match ring::first(self.replicas, &self.reports.iter().map(reported).collect::<Vec<_>>()) {
            First::Begin(members) => Some(RingState::ToBegin(members)),
            First::Waiting(nodes) => Some(RingState::Waiting(nodes)),
            First::Had(_) => None,
        }
    }

    fn lack(&self) -> Lack {
        let silent: Vec<u16> = (0..self.replicas).filter(|ordinal| !self.has_reported(*ordinal)).collect();
        if !silent.is_empty() {
            Lack::Silent(silent)
        } else if self.reports.iter().any(|report| report.had_ring) {
            Lack::Lost
        } else {
            Lack::Emptied
        }
    }

    fn adopted(&self, plan: &Plan) -> RingState {
        // Whether an invalid plan fits the volumes shows when it is mended.
        let Ok(Wish { spec, .. }) = &plan.wish else { return RingState::Adopting(Vec::new()) };
        let wished =
            Wished { replicas: spec.replicas.unsigned_abs() as u16, slots: spec.slots.unsigned_abs() };
        match adoption(wished, &plan.uid, self.known, &self.reports) {
            Adoption::Ready(ring) => RingState::ToAdopt(ring),
            Adoption::Waiting(nodes) => RingState::Adopting(nodes),
            Adoption::Unfit(unfit) => RingState::Unfit(unfit),
        }
    }
}
