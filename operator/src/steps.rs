//! From what is wished and seen to what is done next.
//!
//! *Guarantees.* Steps taken in any number and in any order of looking again lead to the same end, at which there are
//! none. No step depends on one before it having been remembered: a crash between any two loses nothing. A node is told
//! of a ring only when it was read from its ConfigMap. *Assumptions.* What was seen of the API server is not older than
//! the operator's own last write.

use crate::drift;
use crate::names;
use crate::observed::{Observed, Seen};
use crate::outlook::{Outlook, outlook};
use crate::parts::{self, Part};
use crate::plan::{Plan, Wish};
use crate::ring;
use crate::settings::Settings;
use crate::status::{self, News};
use bytes::Bytes;
use k8s_openapi::jiff::Timestamp;
use proto::plan::AgentPlanStatus;
use proto::ring::Member;
use serde_json::Value;
use std::fmt;

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Draws the plan's token and makes its Secret.
    MakeToken,
    Apply(Part, Value),
    /// Makes the ConfigMap of the first ring, if there is none.
    BeginRing {
        members: Vec<Member>,
        slots: u32,
    },
    /// Gives a node the plan and the ring.
    Configure {
        ordinal: u16,
        configuration: Configuration,
    },
    Report {
        status: Box<AgentPlanStatus>,
        news: Vec<News>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    pub generation: u64,
    pub spec: Bytes,
    pub ring: Bytes,
    pub peers: Vec<String>,
}

/// What is to be done, and how soon to look again.
#[derive(Debug)]
pub struct Next {
    pub steps: Vec<Step>,
    pub pace: Pace,
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
    if plan.deleting {
        return Next { steps: Vec::new(), pace: Pace::Settled };
    }
    let outlook = outlook(plan, seen);
    let mut steps = Vec::new();
    let has_run = plan.wish.is_ok() || outlook.has_begun();
    if has_run && !plan.paused && outlook.obstacles.is_empty() {
        make(plan, seen, &outlook, settings, &mut steps);
    }
    let status = status::of(plan, &outlook, now);
    if status != plan.status {
        let news = status::news(&plan.status, &status);
        steps.push(Step::Report { status: Box::new(status), news });
    }
    Next { steps, pace: pace(&outlook) }
}

fn pace(outlook: &Outlook) -> Pace {
    if !outlook.obstacles.is_empty() {
        Pace::Obstructed
    } else if outlook.wait().is_some() {
        Pace::Waiting
    } else {
        Pace::Settled
    }
}

fn make(plan: &Plan, seen: &Observed, outlook: &Outlook, settings: &Settings, steps: &mut Vec<Step>) {
    if seen.objects.token == Seen::Absent {
        steps.push(Step::MakeToken);
    }
    for part in Part::ALL {
        let Some(desired) = parts::desired(part, plan, &outlook.force, settings) else { continue };
        let applied = seen.objects.parts.get(&part).and_then(Seen::ours);
        // Of a plan that is not accepted nothing is taken over, and what was lost is made again.
        let is_due = match applied {
            Some(seen) => outlook.verdict.is_ok() && !drift::is_applied(&desired, seen),
            None => true,
        };
        if is_due {
            steps.push(Step::Apply(part, desired));
        }
    }
    let Ok(wish) = outlook.verdict else { return };
    match &outlook.ring {
        ring::Stand::ToBegin(members) => {
            let slots = wish.spec.slots.unsigned_abs();
            steps.push(Step::BeginRing { members: members.clone(), slots });
        }
        ring::Stand::InForce(_) => configure(plan, wish, seen, outlook, steps),
        _ => {}
    }
}

fn configure(plan: &Plan, wish: &Wish, seen: &Observed, outlook: &Outlook, steps: &mut Vec<Step>) {
    let Seen::Ours(ring) = &seen.objects.ring else { return };
    let peer = |ordinal| names::peer(&plan.key.namespace, plan.name(), ordinal);
    for node in outlook.nodes.iter().filter(|node| node.stand.is_given()) {
        let configuration = Configuration {
            generation: plan.generation,
            spec: wish.json.clone(),
            ring: ring.clone(),
            peers: (0..outlook.force.replicas).map(peer).collect(),
        };
        steps.push(Step::Configure { ordinal: node.ordinal, configuration });
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::MakeToken => write!(out, "make the token"),
            Step::Apply(part, object) => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                write!(out, "apply {} {name}", part.resource().kind)
            }
            Step::BeginRing { members, slots } => {
                write!(out, "begin a ring of {slots} slots on {} nodes", members.len())
            }
            Step::Configure { ordinal, configuration } => {
                write!(out, "give node {ordinal} generation {}", configuration.generation)
            }
            Step::Report { .. } => write!(out, "report"),
        }
    }
}

#[cfg(test)]
mod tests;
