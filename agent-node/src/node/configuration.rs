//! Plans and rings: decides whether one that comes is taken.
//!
//! *Guarantees.* Neither generation nor revision in force ever goes back. What does not parse, belongs to another plan
//! or does not fit together is refused, and what was in force stays. Two rings of one revision end the process. What a
//! store was given before its volume was adopted is never in force again, and only a newer ring takes its place.

use crate::node::routing::Routing;
use crate::peer::Configuration;
use crate::peer::{Identity, Numbers};
use crate::refusal::Refusal;
use proto::plan::{self, AgentPlanSpec, Lane, Plan};
use proto::ring::Ring;
use std::sync::Arc;

/// What to do with a configuration that came.
#[derive(Debug)]
pub enum Verdict {
    /// It is in force.
    Same,
    /// Save it, then let it be in force.
    Take(Box<Routing>),
}

/// What another node gave, and could not be taken just then. It is not asked for again.
pub struct Again {
    pub given: Configuration,
    /// When it is tried again.
    pub at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{}", .0.error)]
    Refused(Refusal),
    /// The node must not go on.
    #[error("{0}")]
    Fatal(String),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Refused(refusal)
    }
}

/// The node that is given something.
pub struct Own<'a> {
    pub identity: &'a Identity,
    /// The plan that has adopted its volume; empty: the plan that it was made for.
    pub adopted_by: &'a str,
    /// Revision and generation of what it holds from before that.
    pub held: Numbers,
    /// The plan that wrote what it holds.
    pub plan: Option<&'a Plan>,
}

pub fn judge(own: &Own, has: Option<&Routing>, given: Configuration) -> Result<Verdict, Error> {
    let ours = own.identity;
    if given.plan_uid != ours.plan_uid {
        let text = format!(
            "this configuration belongs to the plan with uid {}, but this node belongs to the plan with uid {}",
            given.plan_uid, ours.plan_uid
        );
        return Err(Refusal::new(409, text, "plan_uid").into());
    }
    if given.adopted_by != own.adopted_by {
        let text = "it comes from another plan than the one that has adopted the volume of this node";
        return Err(Refusal::new(409, text, "adopted_by").into());
    }
    let ring = Ring::decode(&given.ring).map_err(|error| Refusal::bad(error.to_string(), "ring"))?;
    if ring.plan_uid != ours.plan_uid {
        let text = format!("the ring is of the plan with uid {}", ring.plan_uid);
        return Err(Refusal::new(409, text, "ring.plan_uid").into());
    }
    if own.held != Numbers::default() {
        newer_than_held(own.held, Numbers { revision: ring.revision, generation: given.generation })?;
    }
    if let Some(has) = has
        && let Some(verdict) = compare(has, &given, &ring)?
    {
        return Ok(verdict);
    }
    rolled_back(ours, &ring)?;
    let plan = match has {
        Some(has) if has.given.spec == given.spec => has.plan.clone(),
        _ => Arc::new(Plan::parse(&given.spec).map_err(|errors| refused_plan(&errors))?),
    };
    if let Some(refusal) = own.plan.and_then(|before| retyped(before, &plan)) {
        return Err(refusal.into());
    }
    if ring.slots.len() != plan.slots as usize {
        let text = format!("the ring has {} slots, and the plan {}", ring.slots.len(), plan.slots);
        return Err(Refusal::bad(text, "ring").into());
    }
    Ok(Verdict::Take(Box::new(Routing::new(given, plan, ring, ours.store))))
}

/// A lane of another type than the adopted volumes hold it: its first change would take away what there is.
fn retyped(before: &Plan, plan: &Plan) -> Option<Refusal> {
    let was = |lane: &Lane| before.kinds.iter().flat_map(|kind| &kind.lanes).find(|was| was.id == lane.id);
    for (n, kind) in plan.kinds.iter().enumerate() {
        let changed = kind
            .lanes
            .iter()
            .find_map(|lane| Some((lane, was(lane)?)).filter(|(lane, was)| lane.kind != was.kind));
        if let Some((Lane { name, kind, .. }, was)) = changed {
            let text = format!(
                "lane `{name}` is a {kind:?} lane, and the adopted volumes have it as a {:?} lane; give it that type, or \
                 another name",
                was.kind
            );
            return Some(Refusal::new(409, text, format!("spec.agents[{n}].lanes")));
        }
    }
    None
}

fn newer_than_held(held: Numbers, given: Numbers) -> Result<(), Refusal> {
    if given.revision > held.revision && given.generation > held.generation {
        return Ok(());
    }
    let text = format!(
        "generation {} and revision {} are not both newer than what the adopted volume holds: {} and {}",
        given.generation, given.revision, held.generation, held.revision
    );
    Err(Refusal::new(409, text, "revision"))
}

/// `None`: it is newer.
fn compare(has: &Routing, given: &Configuration, ring: &Ring) -> Result<Option<Verdict>, Error> {
    let (revision, generation) = (has.numbers.revision, has.numbers.generation);
    if ring.revision == revision && *ring != has.ring {
        return Err(Error::Fatal(format!(
            "two different rings have the same revision {revision}: something other than the operator (or `dev`) has \
             written a ring; stop it, then restore the ring (its ConfigMap, or the file of `dev`) from a backup"
        )));
    }
    if ring.revision < revision || given.generation < generation {
        let text = format!(
            "generation {} and revision {} are older than what this node has: {generation} and {revision}",
            given.generation, ring.revision
        );
        return Err(Refusal::new(409, text, "revision").into());
    }
    if given.generation == generation && !is_same_spec(&has.given.spec, &given.spec) {
        let text = format!("this node has another plan of generation {generation}");
        return Err(Refusal::new(409, text, "generation").into());
    }
    if ring.slots.len() != has.ring.slots.len() {
        let text = format!("this plan has {} slots, which never changes", has.ring.slots.len());
        return Err(Refusal::bad(text, "ring").into());
    }
    let same = (ring.revision, given.generation) == (revision, generation);
    Ok((same && given.peers == has.given.peers).then_some(Verdict::Same))
}

/// Two texts of one plan may differ in what they leave to its defaults, and in what is no matter of nodes.
fn is_same_spec(has: &[u8], given: &[u8]) -> bool {
    let parse = |spec: &[u8]| serde_json::from_slice::<AgentPlanSpec>(spec).ok().map(|spec| spec.for_nodes());
    has == given || parse(has).is_some_and(|has| parse(given) == Some(has))
}

/// The ring knows a later start of this store than this one is: the volume was put back, or this is an old process.
fn rolled_back(ours: &Identity, ring: &Ring) -> Result<(), Error> {
    let member = ring.members.iter().find(|member| member.store == ours.store);
    let Some(member) = member.filter(|member| member.incarnation > ours.incarnation) else { return Ok(()) };
    Err(Error::Fatal(format!(
        "store {} was restored to an earlier state: the ring records incarnation {}, but this start has incarnation \
         {}; restore the newest state of its data folder",
        ours.store, member.incarnation, ours.incarnation
    )))
}

fn refused_plan(errors: &[plan::Error]) -> Refusal {
    let first = errors.first();
    let more = if errors.len() > 1 { format!(", and {} more", errors.len() - 1) } else { String::new() };
    let text = first.map_or("the plan does not parse", |error| error.error.as_str());
    Refusal::bad(format!("{text}{more}"), first.map_or("spec", |error| error.at.as_str()))
}

#[cfg(test)]
mod tests;
