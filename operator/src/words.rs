//! What is wrong with a plan or waited for, in words for people: what it is, where, and what to do.

use crate::names;
use crate::node::{Node, Stand};
use crate::outlook::{Fault, Obstacle, Outlook};
use crate::plan::Plan;
use crate::reason::Reason;
use crate::ring::RingState;

/// The most names in one text.
const NAMED_MAX: usize = 8;

/// A cause that a condition names; the text says what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub reason: Reason,
    pub text: String,
}

pub fn obstacle(plan: &Plan, obstacle: &Obstacle) -> Cause {
    let text = match obstacle {
        Obstacle::VolumesOfAnotherPlan { claims, plan_uid, are_going: _ } => format!(
            "the claims {} hold the data of an earlier plan of this name (uid {plan_uid}); nothing is started over \
             them. To begin anew, delete these claims, and with them that data: kubectl delete pvc -n {} -l {}",
            listed(claims.iter().cloned()),
            plan.key.namespace,
            names::selector(plan.name()),
        ),
        Obstacle::NameGoing { object } => format!(
            "{object} belongs to an earlier plan of this name, or is being deleted: waiting until it is gone"
        ),
        Obstacle::NameTaken { object, owner } => format!(
            "{object} exists and belongs to {owner}; it is left as it is. Delete or rename it, or give the plan \
             another name"
        ),
    };
    Cause { reason: obstacle.reason(), text }
}

/// `None`: it is none.
pub fn fault(plan: &Plan, fault: &Fault) -> Option<Cause> {
    let text = match fault {
        Fault::Ring(state) => ring_fault(plan, state),
        Fault::Authority(why) => format!(
            "the Secret {} cannot be used: {why}. It is left as it is, and nodes go on with the certificates that \
             they have. Put it back from a backup; or delete it, and another CA is made",
            names::authority(plan.name()),
        ),
        Fault::Node { ordinal, stand } => node_fault(plan, *ordinal, stand),
        Fault::Part { object, why } => format!("the API server refuses {object}: {why}"),
        Fault::Size { has, wished } => format!(
            "spec.storage.size: the volumes have {has}, and growing them to {wished} is not there yet; the rest of the \
             plan goes on"
        ),
    };
    Some(Cause { reason: fault.reason()?, text })
}

fn ring_fault(plan: &Plan, state: &RingState) -> String {
    let object = format!("the ConfigMap {}", names::ring(plan.name()));
    match state {
        RingState::Missing(revision) => format!(
            "{object} is gone, and the nodes' stores have had a ring (revision {revision} at least): none is begun \
             anew over them, and the nodes go on with theirs. Put the ConfigMap back from a backup; or, to give all \
             data up, delete the plan and its volumes and apply it again"
        ),
        RingState::Unreadable(why) => format!(
            "{object} is left as it is, for {why}. Put it back from a backup; the nodes go on with theirs"
        ),
        RingState::Older { ring, nodes } => format!(
            "{object} has revision {}, and nodes have {nodes}: it has been put back from an old backup. Put the newest \
             one back; the nodes go on with theirs",
            ring.revision
        ),
        RingState::InForce(_) | RingState::ToBegin(_) | RingState::Waiting(_) | RingState::NotOurs => {
            String::new()
        }
    }
}

fn node_fault(plan: &Plan, ordinal: u16, stand: &Stand) -> String {
    let name = plan.name();
    let (pod, claim) = (names::pod(name, ordinal), names::claim(name, ordinal));
    match stand {
        Stand::Failing(words) => format!("pod {pod} ends soon after each start: {words}"),
        Stand::NoCertificates => format!(
            "pod {pod} was started before nodes had certificates, and neither other nodes nor the operator speak to \
             it: delete the pod, so that it starts again"
        ),
        Stand::Refuses(why) => format!("pod {pod} refuses what it is given: {why}"),
        Stand::OtherPlan(uid) => format!(
            "pod {pod} has a volume of the plan with uid {uid}; it is given nothing. Give it the volume that it had; \
             or, to begin anew, delete the claim {claim} and the pod"
        ),
        Stand::Exchanged { has, ring_has } => format!(
            "pod {pod} has the store {has}, and the ring's is {ring_has}: its volume is another one, or has been \
             emptied. It is given nothing, and its slots wait. Give the claim {claim} the volume that it had"
        ),
        Stand::RolledBack { has, was } => format!(
            "pod {pod} has incarnation {has} of its store, which was at {was} already: its volume has been put back \
             to an earlier state. It is given nothing. Give the claim {claim} the volume as it was"
        ),
        Stand::AheadOfPlan(generation) => format!(
            "pod {pod} runs generation {generation}, and the plan is at {}: it has been put back from a backup. Apply \
             it with changes until its generation is higher",
            plan.generation
        ),
        Stand::NoPod
        | Stand::Starting(_)
        | Stand::Silent(_)
        | Stand::Untrusted(_)
        | Stand::Empty
        | Stand::Behind
        | Stand::Loading
        | Stand::Serving
        | Stand::Keeping => String::new(),
    }
}

/// What is waited for, if anything is.
pub fn wait(outlook: &Outlook) -> Option<Cause> {
    let (reason, nodes) = outlook.wait()?;
    let named = |node: &&Node| match &node.stand {
        Stand::Starting(why) | Stand::Silent(why) | Stand::Untrusted(why) if !why.is_empty() => {
            format!("node {}: {why}", node.ordinal)
        }
        _ => format!("node {}", node.ordinal),
    };
    let what = match reason {
        Reason::NodesStarting => "starting",
        Reason::NodesSilent => "silent",
        Reason::NodesLoading => "reading their stores",
        Reason::CertificatesSpreading => {
            "waiting until kubelets have brought the newest certificates, which takes up to two minutes"
        }
        _ => "waiting for the plan and the ring",
    };
    Some(Cause { reason, text: format!("{what}: {}", listed(nodes.iter().map(named))) })
}

/// The first few, and how many more.
pub fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    let text = names[..names.len() - more].join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}
