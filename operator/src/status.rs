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
    /// The generation that it is about.
    generation: u64,
}

pub fn of(plan: &Plan, outlook: &Outlook, now: Timestamp) -> AgentPlanStatus {
    let old = &plan.status;
    let all = [
        accepted(plan, outlook),
        ready(plan, outlook),
        available(plan, outlook),
        reconciling(plan, outlook),
        stalled(plan, outlook),
        degraded(plan, outlook),
        adjusted(plan, outlook),
        paused(plan),
    ];
    let count = |count: usize| count as i32;
    let mode = DurabilityStatus { mode: "Local".to_owned(), copies: 0 };
    AgentPlanStatus {
        observed_generation: Some(plan.generation as i64),
        accepted_generation: accepted_generation(plan, outlook),
        operator: old.operator.clone(),
        nodes: nodes(plan, outlook),
        replicas: count(outlook.nodes.iter().filter(|node| !matches!(node.stand, Stand::NoPod(_))).count()),
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
        RingState::Missing { revision, .. } => Some(*revision as i64),
        _ => plan.status.revision,
    }
}

/// The number of the ring's nodes. Never forgotten, as its revision is not.
fn nodes(plan: &Plan, outlook: &Outlook) -> Option<i32> {
    outlook.ring.of_nodes().map(|ring| ring.members.len() as i32).or(plan.status.nodes)
}

fn accepted_generation(plan: &Plan, outlook: &Outlook) -> Option<i64> {
    let run = |node: &crate::node::Node| {
        node.report.as_ref().is_some_and(|report| report.generation == plan.generation)
    };
    // Without a ring it cannot be known from which number on the nodes count.
    let all_run = matches!(outlook.ring, RingState::InForce(_))
        && !outlook.nodes.is_empty()
        && outlook.nodes.iter().all(run);
    if outlook.verdict.is_ok() && all_run {
        Some(plan.generation as i64)
    } else {
        plan.status.accepted_generation
    }
}

fn judged(plan: &Plan, name: &'static str, holds: bool, cause: Cause) -> Judged {
    let Cause { reason, text } = cause;
    Judged { name, holds, reason, message: text, generation: plan.generation }
}

fn accepted(plan: &Plan, outlook: &Outlook) -> Judged {
    match refusal(outlook) {
        None => {
            let cause = Cause { reason: Reason::Accepted, text: "the plan can be run".to_owned() };
            judged(plan, "Accepted", true, cause)
        }
        Some(cause) => judged(plan, "Accepted", false, cause),
    }
}

/// Why the plan cannot be run.
fn refusal(outlook: &Outlook) -> Option<Cause> {
    let errors = outlook.verdict.as_ref().err()?;
    Some(Cause { reason: reason_of(errors), text: texts(errors.iter().map(ToString::to_string)) })
}

fn reason_of(errors: &[plan::Error]) -> Reason {
    match plan::Reason::of(errors) {
        plan::Reason::InvalidPlan => Reason::InvalidPlan,
        plan::Reason::NotSupportedYet => Reason::NotSupportedYet,
    }
}

fn ready(plan: &Plan, outlook: &Outlook) -> Judged {
    let judged = serving(plan, outlook, "Ready", outlook.is_ready());
    // Nodes run the plan before this one, so this one is not ready.
    let is_given = matches!(outlook.ring, RingState::InForce(_));
    let held_back = (plan.paused || outlook.verdict.is_err() || !is_given) && outlook.has_begun();
    let reports = outlook.nodes.iter().filter_map(|node| node.report.as_ref());
    let accepted = plan.status.accepted_generation.map(i64::unsigned_abs);
    let in_force = accepted.or_else(|| reports.map(|report| report.generation).min()).filter(|_| held_back);
    Judged { generation: in_force.unwrap_or(judged.generation), ..judged }
}

fn available(plan: &Plan, outlook: &Outlook) -> Judged {
    serving(plan, outlook, "Available", outlook.is_available())
}

fn serving(plan: &Plan, outlook: &Outlook, name: &'static str, holds: bool) -> Judged {
    if !holds {
        return judged(plan, name, false, hindrance(plan, outlook));
    }
    let text = format!("{} slots are served by {} nodes", outlook.slots_total, outlook.nodes_serving);
    judged(plan, name, true, Cause { reason: Reason::Serving, text })
}

/// The first thing that keeps the plan from being served.
fn hindrance(plan: &Plan, outlook: &Outlook) -> Cause {
    if let Some(cause) = refusal(outlook).filter(|_| !outlook.has_begun()) {
        return cause;
    }
    let paused =
        Cause { reason: Reason::Paused, text: "it was paused before its nodes were made".to_owned() };
    let paused = (plan.paused && !outlook.has_begun()).then_some(paused);
    let no_service = || {
        let text = format!("the Service {} for clients is not there yet", plan.name());
        Cause { reason: Reason::NodesStarting, text }
    };
    let causes = causes(plan, outlook).chain(paused).chain(under_way(plan, outlook));
    causes.min_by_key(|cause| cause.reason).unwrap_or_else(no_service)
}

/// What is waited for. Pods that wait for a person beside it are named, since they may be what is waited for.
fn under_way(plan: &Plan, outlook: &Outlook) -> Option<Cause> {
    let Cause { reason, text } = words::wait(plan, outlook)?;
    let outdated = (!outlook.outdated.is_empty()).then(|| outdated(outlook).text);
    Some(Cause { reason, text: texts(std::iter::once(text).chain(outdated)) })
}

/// Kubernetes' own words for one that goes on by itself, and one that does not: never both.
fn reconciling(plan: &Plan, outlook: &Outlook) -> Judged {
    let is_going = |obstacle: &&Obstacle| obstacle.reason() == Reason::LeftoversGoing;
    let leftovers = outlook.obstacles.iter().find(is_going).map(|going| words::obstacle(plan, going));
    let (holds, cause) = if plan.paused {
        (false, Cause { reason: Reason::Paused, text: "the operator changes nothing".to_owned() })
    } else if is_stalled(plan, outlook) {
        (false, Cause { reason: Reason::Blocked, text: "see the condition Stalled".to_owned() })
    } else if let Some(cause) = leftovers.or_else(|| under_way(plan, outlook)) {
        (true, cause)
    } else if !outlook.outdated.is_empty() {
        (false, outdated(outlook))
    } else {
        (false, Cause { reason: Reason::Settled, text: "everything is as the plan says".to_owned() })
    };
    judged(plan, "Reconciling", holds, cause)
}

fn stalled(plan: &Plan, outlook: &Outlook) -> Judged {
    gravest(plan, "Stalled", refusal(outlook).into_iter().chain(faults(plan, outlook)))
}

fn is_stalled(plan: &Plan, outlook: &Outlook) -> bool {
    outlook.verdict.is_err() || faults(plan, outlook).next().is_some()
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

/// What does not go by itself.
fn faults<'a>(plan: &'a Plan, outlook: &'a Outlook) -> impl Iterator<Item = Cause> + 'a {
    causes(plan, outlook).filter(|cause| cause.reason != Reason::LeftoversGoing)
}

fn degraded(plan: &Plan, outlook: &Outlook) -> Judged {
    gravest(plan, "Degraded", faults(plan, outlook))
}

/// Holds with the reason of the gravest, and says them all.
fn gravest(plan: &Plan, name: &'static str, causes: impl Iterator<Item = Cause>) -> Judged {
    let mut causes: Vec<Cause> = causes.collect();
    causes.sort_by_key(|cause| cause.reason);
    let Some(first) = causes.first() else {
        return judged(
            plan,
            name,
            false,
            Cause { reason: Reason::Healthy, text: "nothing is wrong".to_owned() },
        );
    };
    let reason = first.reason;
    let text = texts(causes.into_iter().map(|cause| cause.text));
    judged(plan, name, true, Cause { reason, text })
}

/// While the objects are not looked at, it stays as it was.
fn adjusted(plan: &Plan, outlook: &Outlook) -> Judged {
    let before = plan.status.conditions.iter().find(|old| old.type_ == "Adjusted");
    match (&outlook.adjusted, before) {
        (Some(fields), _) if !fields.is_empty() => {
            let text = texts(fields.iter().cloned());
            judged(plan, "Adjusted", true, Cause { reason: Reason::Adjusted, text })
        }
        (None, Some(old)) if old.status == "True" => {
            let cause = Cause { reason: Reason::Adjusted, text: old.message.clone() };
            judged(plan, "Adjusted", true, cause)
        }
        _ => {
            let text = "nobody else has set a field of the plan's objects".to_owned();
            judged(plan, "Adjusted", false, Cause { reason: Reason::AsApplied, text })
        }
    }
}

fn paused(plan: &Plan) -> Judged {
    let (reason, message) = if plan.paused {
        (Reason::Paused, "management is Paused: nothing is changed but this status")
    } else {
        (Reason::Managed, "the operator acts on this plan")
    };
    judged(plan, "Paused", plan.paused, Cause { reason, text: message.to_owned() })
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
    let Judged { name, holds, reason, message, generation } = one;
    let status = if holds { "True" } else { "False" };
    let old = plan.status.conditions.iter().find(|old| old.type_ == name && old.status == status);
    Condition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        observed_generation: Some(generation as i64),
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
