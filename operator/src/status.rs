//! The status of a plan: what its conditions say, and which of their changes are news.

use crate::names::{self, CONDITIONS};
use crate::node::Stand;
use crate::outlook::{Obstacle, Outlook};
use crate::plan::Plan;
use crate::reason::{Reason, Weight};
use crate::ring::RingState;
use crate::words::{self, Cause, listed};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use proto::plan::{self, AgentPlanStatus, DurabilityStatus, SlotsStatus};

/// The most errors of a plan in one text.
const ERRORS_MAX: usize = 8;
/// The most bytes in a condition's message.
const MESSAGE_MAX: usize = 4096;

/// A condition that says something else than before; as an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub condition: &'static str,
    pub reason: Reason,
}

/// One condition, before it is compared with what it was.
struct Judged {
    name: &'static str,
    holds: bool,
    reason: Reason,
    message: String,
}

pub fn of(plan: &Plan, outlook: &Outlook, now: Timestamp) -> AgentPlanStatus {
    let old = &plan.status;
    let all = [
        accepted(outlook),
        ready(plan, outlook),
        progressing(plan, outlook),
        degraded(plan, outlook),
        paused(plan),
    ];
    let count = |count: usize| count as i32;
    let mode = DurabilityStatus { mode: "Local".to_owned(), copies: 0 };
    AgentPlanStatus {
        observed_generation: Some(plan.generation as i64),
        accepted_generation: accepted_generation(plan, outlook),
        replicas: count(outlook.nodes.iter().filter(|node| node.stand != Stand::NoPod).count()),
        ready_replicas: count(outlook.nodes_serving),
        selector: Some(names::selector(plan.name())),
        slots: Some(SlotsStatus {
            total: outlook.slots_total as i32,
            owned: outlook.slots_serving.min(outlook.slots_total) as i32,
            ..SlotsStatus::default()
        }),
        revision: revision(plan, outlook),
        durability: Some(old.durability.clone().unwrap_or(mode)),
        conditions: all.into_iter().map(|one| condition(one, plan, now)).collect(),
    }
}

/// It is never forgotten, since it says that there was a ring.
fn revision(plan: &Plan, outlook: &Outlook) -> Option<i64> {
    match &outlook.ring {
        RingState::InForce(ring) => Some((ring.revision as i64).max(plan.status.revision.unwrap_or(0))),
        RingState::Missing(revision) => Some(*revision as i64),
        _ => plan.status.revision,
    }
}

fn accepted_generation(plan: &Plan, outlook: &Outlook) -> Option<i64> {
    let run = |node: &crate::node::Node| {
        node.report.as_ref().is_some_and(|report| report.generation == plan.generation)
    };
    let all_run = !outlook.nodes.is_empty() && outlook.nodes.iter().all(run);
    if outlook.verdict.is_ok() && all_run {
        Some(plan.generation as i64)
    } else {
        plan.status.accepted_generation
    }
}

fn accepted(outlook: &Outlook) -> Judged {
    let (holds, reason, message) = match &outlook.verdict {
        Ok(_) => (true, Reason::Accepted, "the plan can be run".to_owned()),
        Err(errors) => (false, reason_of(errors), texts(errors.iter().map(ToString::to_string))),
    };
    Judged { name: CONDITIONS[0], holds, reason, message }
}

fn reason_of(errors: &[plan::Error]) -> Reason {
    match plan::Reason::of(errors) {
        plan::Reason::InvalidPlan => Reason::InvalidPlan,
        plan::Reason::NotSupportedYet => Reason::NotSupportedYet,
    }
}

fn ready(plan: &Plan, outlook: &Outlook) -> Judged {
    let (holds, Cause { reason, text }) = if outlook.serves_all() {
        let text = format!("{} slots are served by {} nodes", outlook.slots_total, outlook.nodes_serving);
        (true, Cause { reason: Reason::Serving, text })
    } else {
        (false, hindrance(plan, outlook))
    };
    Judged { name: CONDITIONS[1], holds, reason, message: text }
}

/// The first thing that keeps the plan from being ready.
fn hindrance(plan: &Plan, outlook: &Outlook) -> Cause {
    if let Err(errors) = &outlook.verdict
        && !outlook.has_begun()
    {
        return Cause { reason: reason_of(errors), text: texts(errors.iter().map(ToString::to_string)) };
    }
    let paused =
        Cause { reason: Reason::Paused, text: "it was paused before its nodes were made".to_owned() };
    let paused = (plan.paused && !outlook.has_begun()).then_some(paused);
    let starting = || Cause { reason: Reason::NodesStarting, text: "the nodes are starting".to_owned() };
    let causes = causes(plan, outlook).chain(paused).chain(words::wait(outlook));
    causes.min_by_key(|cause| cause.reason).unwrap_or_else(starting)
}

fn progressing(plan: &Plan, outlook: &Outlook) -> Judged {
    let is_stuck = outlook.verdict.is_err() || !outlook.obstacles.is_empty();
    let is_going = |obstacle: &&Obstacle| obstacle.reason() == Reason::LeftoversGoing;
    let leftovers = outlook.obstacles.iter().find(is_going).map(|going| words::obstacle(plan, going));
    let blocked =
        || Cause { reason: Reason::Blocked, text: "see the conditions Accepted and Degraded".to_owned() };
    let (holds, Cause { reason, text }) = if plan.paused {
        (false, Cause { reason: Reason::Paused, text: "the operator changes nothing".to_owned() })
    } else if let Some(cause) = leftovers {
        (true, cause)
    } else if is_stuck && !outlook.has_begun() {
        (false, blocked())
    } else if let Some(cause) = words::wait(outlook) {
        (true, cause)
    } else if !outlook.outdated.is_empty() {
        (true, outdated(outlook))
    } else if is_stuck || !outlook.faults.is_empty() {
        (false, blocked())
    } else {
        (false, Cause { reason: Reason::Settled, text: "everything is as the plan says".to_owned() })
    };
    Judged { name: CONDITIONS[2], holds, reason, message: text }
}

fn outdated(outlook: &Outlook) -> Cause {
    let pods = listed(outlook.outdated.iter().cloned());
    let text =
        format!("these pods run an older template, and each takes the new one when it is deleted: {pods}");
    Cause { reason: Reason::PodsOutdated, text }
}

/// All that stands in the way or is wrong.
fn causes<'a>(plan: &'a Plan, outlook: &'a Outlook) -> impl Iterator<Item = Cause> + 'a {
    let obstacles = outlook.obstacles.iter().map(|obstacle| words::obstacle(plan, obstacle));
    obstacles.chain(outlook.faults.iter().filter_map(|fault| words::fault(plan, fault)))
}

fn degraded(plan: &Plan, outlook: &Outlook) -> Judged {
    let wrong = causes(plan, outlook).filter(|cause| cause.reason != Reason::LeftoversGoing);
    let mut faults: Vec<Cause> = wrong.collect();
    faults.sort_by_key(|cause| cause.reason);
    let (holds, reason, message) = match faults.first() {
        Some(first) => (true, first.reason, texts(faults.iter().map(|cause| cause.text.clone()))),
        None => (false, Reason::Healthy, "nothing is wrong".to_owned()),
    };
    Judged { name: CONDITIONS[3], holds, reason, message }
}

fn paused(plan: &Plan) -> Judged {
    let (reason, message) = if plan.paused {
        (Reason::Paused, "management is Paused: nothing is changed but this status")
    } else {
        (Reason::Managed, "the operator acts on this plan")
    };
    Judged { name: CONDITIONS[4], holds: plan.paused, reason, message: message.to_owned() }
}

fn texts(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.collect();
    let more = texts.len().saturating_sub(ERRORS_MAX);
    let mut text = texts[..texts.len() - more].join("; ");
    if text.len() > MESSAGE_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_MAX));
    }
    if more == 0 { text } else { format!("{text}; and {more} more") }
}

/// The time changes only when the condition begins or ceases to hold.
fn condition(one: Judged, plan: &Plan, now: Timestamp) -> Condition {
    let Judged { name, holds, reason, message } = one;
    let status = if holds { "True" } else { "False" };
    let old = plan.status.conditions.iter().find(|old| old.type_ == name && old.status == status);
    Condition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        observed_generation: Some(plan.generation as i64),
        last_transition_time: old.map_or(Time(now), |old| old.last_transition_time.clone()),
    }
}

/// What an event says: a condition that has another status or reason, each reason once. How it begins is no news.
pub fn news(old: &AgentPlanStatus, new: &AgentPlanStatus) -> Vec<News> {
    let same = |new: &Condition| {
        let old = old.conditions.iter().find(|old| old.type_ == new.type_);
        old.map_or(!is_worth_telling(new), |old| old.status == new.status && old.reason == new.reason)
    };
    let named = |new: &Condition| {
        let condition = CONDITIONS.into_iter().find(|name| *name == new.type_)?;
        Some(News { condition, reason: Reason::of(&new.reason)? })
    };
    let mut news: Vec<News> = Vec::new();
    for one in new.conditions.iter().filter(|new| !same(new)).filter_map(named) {
        if !news.iter().any(|told| told.reason == one.reason) {
            news.push(one);
        }
    }
    news
}

fn is_worth_telling(condition: &Condition) -> bool {
    Reason::of(&condition.reason).is_some_and(|reason| reason.weight() == Weight::Warning)
        || (condition.type_ == "Accepted" && condition.status == "True")
}

#[cfg(test)]
mod tests;
