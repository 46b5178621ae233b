//! From what is wished and seen to what is done next.
//!
//! *Guarantees.* Steps taken in any number and in any order of looking again lead to the same end, at which there are
//! none. No step depends on one before it having been remembered: a crash between any two loses nothing. A node is told
//! of a ring only when it was read from its ConfigMap. *Assumptions.* What was seen of the API server is not older than
//! the operator's own last write.

use crate::answers::Standing;
use crate::authority::AuthorityPems;
use crate::certificates::Due;
use crate::claims::Mend;
use crate::drift;
use crate::names;
use crate::node::Node;
use crate::observed::{Life, Observed, Seen, Version};
use crate::outlook::{Outlook, Planned, outlook};
use crate::parts::Part;
use crate::plan::Plan;
use crate::ring::{self, RingState};
use crate::settings::Settings;
use crate::status::{self, News};
use crate::undeclared::Undeclared;
use bytes::Bytes;
use k8s_openapi::jiff::Timestamp;
use proto::plan::AgentPlanStatus;
use proto::ring::{Member, Ring};
use proto::trust::Pair;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// Events are looked for of so many at a time.
const EXPLAINED_MAX: usize = 8;

/// What is made on the API server, one after the other: each needs those before it.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Makes the plan's CA, if there is none; these are trusted beside it.
    MakeAuthority {
        trusted: String,
    },
    /// Writes the Secret that pods mount. Without a pair a new one is made.
    GiveCertificates {
        authority: AuthorityPems,
        pair: Option<Pair>,
        why: &'static str,
        /// The uid of the Secret that is there.
        uid: Option<String>,
    },
    /// Makes the object, or applies it to the one whose uid stands in it.
    Apply(Part, Value),
    Mend(Mend),
    /// Makes the ConfigMap of the first ring, if there is none.
    BeginRing {
        members: Vec<Member>,
        slots: u32,
    },
    /// Writes the ring that adopted volumes go on with.
    AdoptRing(Written),
    /// Writes the ring that nodes go by.
    RestoreRing(Written),
}

/// A ring and where it is written: into a ConfigMap that is made, if there is none, or into this one that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub ring: Box<Ring>,
    pub over: Option<Version>,
}

impl Written {
    /// Tells it from other rings.
    pub fn hash(&self) -> String {
        ring::hash(&self.ring)
    }
}

/// The plan and the ring for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub ordinal: u16,
    pub generation: u64,
    pub spec: Bytes,
    pub ring: Bytes,
    pub peers: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewStatus {
    pub status: AgentPlanStatus,
    pub news: Vec<News>,
}

/// What is to be done, and how soon to look again. Steps come first, then nodes are given what is theirs, all at once,
/// then the status is written: it says how all stands that was seen, before anything of this was done.
#[derive(Debug)]
pub struct Next {
    pub steps: Vec<Step>,
    pub given: Vec<Given>,
    pub report: Option<NewStatus>,
    pub pace: Pace,
    /// The uids of what is waited for and does not say itself why: its events may.
    pub unexplained: BTreeSet<String>,
}

impl Step {
    /// The kind and the name of what it makes.
    pub fn object(&self, plan: &Plan) -> String {
        let name = plan.name();
        match self {
            Step::MakeAuthority { .. } => format!("Secret {}", names::authority(name)),
            Step::GiveCertificates { .. } => format!("Secret {}", names::certificates(name)),
            Step::Apply(part, _) => part.object(name),
            Step::Mend(mend) => mend.object(),
            Step::BeginRing { .. } | Step::AdoptRing(_) | Step::RestoreRing(_) => {
                format!("ConfigMap {}", names::ring(name))
            }
        }
    }

    /// Tells one form of the object from another.
    pub fn hash(&self) -> &str {
        match self {
            Step::Apply(_, desired) => drift::hash_of(desired),
            Step::MakeAuthority { .. }
            | Step::GiveCertificates { .. }
            | Step::Mend(_)
            | Step::BeginRing { .. }
            | Step::AdoptRing(_)
            | Step::RestoreRing(_) => "",
        }
    }
}

impl Next {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.given.is_empty() && self.report.is_none()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All is as it should be; or only a person can change it.
    Settled,
    /// Nodes are on their way.
    Waiting,
    /// Objects are in the way; not all of them are watched.
    Obstructed,
}

pub fn toward(plan: &Plan, seen: &Observed, settings: &Settings, now: Timestamp) -> Next {
    let mut next = Next {
        steps: Vec::new(),
        given: Vec::new(),
        report: None,
        pace: Pace::Settled,
        unexplained: BTreeSet::new(),
    };
    if plan.deleting {
        return next;
    }
    let outlook = outlook(plan, seen, settings, now.as_second().unsigned_abs());
    next.pace = pace(seen, &outlook);
    next.unexplained = unexplained(seen, &outlook);
    let has_run = plan.wish.is_ok() || outlook.has_begun();
    if has_run && !plan.paused && outlook.obstacles.is_empty() {
        next.steps = steps(seen, &outlook);
        next.given = given(plan, seen, &outlook);
    }
    let status = status::of(plan, &outlook, now);
    if is_news(&status, &plan.status, &seen.undeclared) {
        next.report = Some(NewStatus { news: status::news(&plan.status, &status), status });
    }
    next
}

/// Whether a status differs from the one that is there in what the CRD has.
fn is_news(status: &AgentPlanStatus, before: &AgentPlanStatus, undeclared: &Undeclared) -> bool {
    let stored = |status| serde_json::to_value(status).map(|status| undeclared.left_out(status)).ok();
    status != before && (undeclared.is_empty() || stored(status) != stored(before))
}

fn pace(seen: &Observed, outlook: &Outlook) -> Pace {
    let of_parts = outlook.parts.iter().filter_map(|part| part.standing.as_ref());
    let of_claims = outlook.claims.iter().map(|(_, standing)| standing);
    let mut all = of_parts.chain(of_claims).chain(outlook.overwriting());
    let is_held = all.any(|standing| matches!(standing, Standing::Held(_)));
    if !outlook.obstacles.is_empty() || is_held {
        Pace::Obstructed
    } else if outlook.wait().is_some() || !seen.missed.is_empty() {
        Pace::Waiting
    } else {
        Pace::Settled
    }
}

fn unexplained(seen: &Observed, outlook: &Outlook) -> BTreeSet<String> {
    let pods = &seen.objects.pods;
    let uid = |node: &Node| match pods.get(&node.ordinal) {
        None => Some(seen.objects.set_uid().to_owned()),
        Some(pod) => (pod.life == Life::Pending(String::new())).then(|| pod.uid.clone()),
    };
    let is_pending =
        |node: &&Node| pods.get(&node.ordinal).is_some_and(|pod| matches!(pod.life, Life::Pending(_)));
    let unbound = outlook.nodes.iter().filter(is_pending);
    let claims = unbound.filter_map(|node| Some(seen.objects.unbound(node.ordinal)?.uid.clone()));
    let uids = outlook.nodes.iter().filter_map(uid).chain(claims).filter(|uid| !uid.is_empty());
    uids.take(EXPLAINED_MAX).collect()
}

fn steps(seen: &Observed, outlook: &Outlook) -> Vec<Step> {
    let mut steps = Vec::new();
    match outlook.certificates.due.clone() {
        Due::Nothing => {}
        Due::Authority { trusted } => steps.push(Step::MakeAuthority { trusted }),
        Due::Nodes { authority, pair, why } => {
            let uid = seen.objects.certificates_uid.clone();
            steps.push(Step::GiveCertificates { authority, pair, why, uid });
        }
    }
    // A pod that has to wait for its Secret is tried again ever more rarely.
    let has_certificates = seen.objects.certificates.ours().is_some();
    let can_be = |part: Part| part != Part::StatefulSet || has_certificates;
    let is_due =
        |planned: &&Planned| can_be(planned.part) && matches!(planned.standing, None | Some(Standing::Due));
    let apply = |planned: &Planned| Step::Apply(planned.part, planned.desired.clone());
    steps.extend(outlook.parts.iter().filter(is_due).map(apply));
    let to_mend = outlook.claims.iter().filter(|(_, standing)| *standing == Standing::Due);
    steps.extend(to_mend.map(|(amiss, _)| Step::Mend(amiss.mend.clone())));
    steps.extend(ring_step(seen, outlook));
    steps
}

fn ring_step(seen: &Observed, outlook: &Outlook) -> Option<Step> {
    if outlook.overwriting().is_some_and(|standing| *standing != Standing::Due) {
        return None;
    }
    let over = seen.objects.ring_version.clone();
    match &outlook.ring {
        RingState::ToBegin(members) => Some(Step::BeginRing {
            members: members.clone(),
            slots: outlook.verdict.as_ref().ok()?.spec.slots.unsigned_abs(),
        }),
        RingState::ToAdopt(ring) => Some(Step::AdoptRing(Written { ring: ring.clone(), over })),
        RingState::ToRestore(ring) => Some(Step::RestoreRing(Written { ring: ring.clone(), over })),
        _ => None,
    }
}

fn given(plan: &Plan, seen: &Observed, outlook: &Outlook) -> Vec<Given> {
    let (Ok(wish), RingState::InForce(Ring { base, .. }), Seen::Ours(ring)) =
        (&outlook.verdict, &outlook.ring, &seen.objects.ring)
    else {
        return Vec::new();
    };
    let peer = |ordinal| names::peer(&plan.key.namespace, plan.name(), ordinal);
    let nodes = outlook.nodes.iter().filter(|node| node.stand.is_given());
    let given = nodes.map(|node| Given {
        ordinal: node.ordinal,
        generation: base + plan.generation,
        spec: wish.json.clone(),
        ring: ring.clone(),
        peers: (0..outlook.force.replicas).map(peer).collect(),
    });
    given.collect()
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::MakeAuthority { .. } => write!(out, "make the CA"),
            Step::GiveCertificates { pair: None, why, .. } => {
                write!(out, "make the nodes' certificate: {why}")
            }
            Step::GiveCertificates { pair: Some(_), why, .. } => write!(out, "give nodes other CAs: {why}"),
            Step::Apply(part, object) => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                write!(out, "apply {} {name}", part.resource().kind)
            }
            Step::Mend(mend) => write!(out, "patch PersistentVolumeClaim {}", mend.claim),
            Step::BeginRing { members, slots } => {
                write!(out, "begin a ring of {slots} slots on {} nodes", members.len())
            }
            Step::RestoreRing(Written { ring, over }) => {
                let instead = if over.is_some() { ", in place of an older one" } else { "" };
                write!(out, "write the ring that nodes go by, at revision {}{instead}", ring.revision)
            }
            Step::AdoptRing(Written { ring, over: _ }) => write!(
                out,
                "go on with the ring of the adopted volumes, at revision {}, of {} slots on {} nodes",
                ring.revision,
                ring.slots.len(),
                ring.members.len()
            ),
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "give node {} generation {}", self.ordinal, self.generation)
    }
}

#[cfg(test)]
mod tests;
