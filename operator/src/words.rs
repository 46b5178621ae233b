//! What is wrong with a plan or waited for, in words for people: what it is, where, and what to do.

use crate::adoption::Unfit;
use crate::names;
use crate::node::{Node, Stand};
use crate::outlook::{Fault, Obstacle, Outlook};
use crate::plan::Plan;
use crate::reason::Reason;
use crate::ring::{Lack, RingState};

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
        Obstacle::VolumesOfAnotherPlan { claims, plan_uid, are_going: _ } => {
            volumes_of_another_plan(plan, claims, plan_uid)
        }
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

fn volumes_of_another_plan(plan: &Plan, claims: &[String], uid: &str) -> String {
    let (name, namespace) = (plan.name(), &plan.key.namespace);
    let claims = listed(claims.iter().cloned());
    let whose = if plan.has_adopted() {
        format!(
            "another plan (uid {uid}) than the one whose volumes are adopted; nothing is started over them"
        )
    } else {
        format!(
            "an earlier plan of this name (uid {uid}); nothing is started over them. To go on with that data: kubectl \
             shoal adopt {name} -n {namespace} --volumes-of {uid}"
        )
    };
    format!(
        "the claims {claims} hold the data of {whose}. To begin anew, delete these claims, and with them that data: \
         kubectl delete pvc -n {namespace} -l {},{}={uid}",
        names::selector(name),
        names::PLAN_UID,
    )
}

/// `None`: it is none.
pub fn fault(plan: &Plan, fault: &Fault) -> Option<Cause> {
    let text = match fault {
        Fault::Ring { state, outdated, comes_back } => ring_fault(plan, state, *outdated, *comes_back),
        Fault::Authority(why) => format!(
            "the Secret {} cannot be used: {why}. It is left as it is, and nodes go on with the certificates that \
             they have. Put it back from a backup; or delete it, and another CA is made",
            names::authority(plan.name()),
        ),
        Fault::Node { ordinal, stand } => node_fault(plan, *ordinal, stand),
        Fault::Part { object, why } => format!("the API server refuses {object}: {why}"),
        Fault::Changed { object, fields } => format!(
            "{object} is not as the operator applies it: {}. Find the mutating webhook, policy or controller that sets \
             this, and exempt objects with the label {} from it",
            listed(fields.iter().cloned()),
            names::PLAN,
        ),
        Fault::Size { has, wished } => format!(
            "spec.storage.size: the volumes have {has}; growing them to {wished} is not supported yet. The volumes \
             keep their size; the rest of the plan is applied"
        ),
        Fault::Nodes { has, wished } => format!(
            "spec.replicas: the plan has {has} nodes; changing their number to {wished} is not supported yet. Set it \
             back to {has}; the rest of the plan is applied"
        ),
        Fault::KeepsVolumes => {
            "spec.storage.retention.whenScaled: Delete has no effect yet: the volumes stay. Set it \
                                to Retain; the rest of the plan is applied"
                .to_owned()
        }
    };
    Some(Cause { reason: fault.reason()?, text })
}

fn ring_fault(plan: &Plan, state: &RingState, outdated: Option<u64>, comes_back: bool) -> String {
    let object = format!("the ConfigMap {}", names::ring(plan.name()));
    let what = match (state, outdated) {
        (RingState::Unreadable(why), _) => {
            return format!(
                "{object} cannot be used: {why}. The operator does not change it. Restore it from a backup; until then, \
                 the nodes continue with the ring that they have"
            );
        }
        (RingState::Unfit(unfit), None) => return self::unfit(plan, unfit),
        (RingState::Unfit(unfit), Some(revision)) => {
            return format!(
                "{}; {object} has revision {revision}, which is not in force",
                self::unfit(plan, unfit)
            );
        }
        (_, None) => format!("{object} is missing"),
        (_, Some(revision)) => format!(
            "{object} has revision {revision}, which is older than the ring that was in force last, and is not used: it was \
             put back from a backup, or by a tool that keeps objects as they once were"
        ),
    };
    format!("{what}. {}", ring_follows(plan, state, comes_back))
}

/// What nodes do without the ConfigMap of their ring, and what is waited for.
fn ring_follows(plan: &Plan, state: &RingState, comes_back: bool) -> String {
    let object = format!("the ConfigMap {}", names::ring(plan.name()));
    match state {
        RingState::ToRestore(ring) if comes_back => format!(
            "It comes back each time that the operator writes the ring of the nodes over it, which it does ever more \
             rarely: exempt {object} from that tool. The nodes continue with revision {}, and changes of the plan wait",
            ring.revision
        ),
        RingState::ToRestore(ring) => format!(
            "The nodes continue with the ring that they have, and the operator writes it there again, at revision {}{}",
            ring.revision,
            if plan.paused { ", when the plan is Managed again" } else { "" }
        ),
        RingState::Restoring { ring, waiting } => format!(
            "The nodes that run continue with the ring that they have (revision {}), and changes of the plan wait. The \
             operator writes it there again when the stores of these claims, which it names, have reported: {}. A claim \
             whose pod runs has another volume than before: bind it to the former one. Or restore the ConfigMap from a \
             backup",
            ring.revision,
            claims(plan, waiting)
        ),
        RingState::ToAdopt(_) if comes_back => format!(
            "It comes back each time that the operator writes the ring that follows over it, which it does ever more \
             rarely: exempt {object} from that tool. The nodes hold what the adopted volumes have and serve nothing"
        ),
        RingState::ToAdopt(_) | RingState::Adopting(_) => {
            "The nodes hold what the adopted volumes have and serve nothing until they are given the ring that follows"
                .to_owned()
        }
        RingState::Missing { revision, lack } => ring_lacks(plan, *revision, lack),
        RingState::InForce(_)
        | RingState::ToBegin(_)
        | RingState::Waiting(_)
        | RingState::Unfit(_)
        | RingState::Unreadable(_)
        | RingState::NotOurs => String::new(),
    }
}

fn ring_lacks(plan: &Plan, revision: u64, lack: &Lack) -> String {
    let was = format!("There was a ring of revision {revision} or higher");
    match lack {
        Lack::Silent(nodes) => format!(
            "{was}. Nodes that have it continue with it, and the operator writes it there again when these have said \
             which they have: {}. A node of an earlier version does not say it: delete its pod, so that it starts with the \
             newer image; or restore the ConfigMap from a backup",
            listed(nodes.iter().map(|ordinal| names::pod(plan.name(), *ordinal)))
        ),
        Lack::Lost => format!(
            "{was}. All nodes have reported, and none has it any more (the file `configuration` in their data folders), so \
             that nothing is served. Nothing of their data is lost: restore the ConfigMap from a backup, with this plan as \
             its owner"
        ),
        Lack::Emptied => format!(
            "{was}. All nodes have reported, and their volumes are new: nothing is served, and the operator does not begin \
             anew over data that are missing. Bind the claims to the former volumes and restore the ConfigMap from a \
             backup; or, to begin anew, delete the plan with its claims and apply it again"
        ),
        Lack::Differ => format!(
            "Nodes have two different rings of revision {revision}: something other than the operator has written one. \
             Nodes continue with the ring that they have. Stop it, then restore the newest ConfigMap from a backup"
        ),
        Lack::Exhausted => {
            "The nodes continue with an older ring, and the histories of its slots have no room to rise: \
                            restore the newest ConfigMap from a backup"
                .to_owned()
        }
    }
}

fn claims(plan: &Plan, nodes: &[u16]) -> String {
    listed(nodes.iter().map(|ordinal| names::claim(plan.name(), *ordinal)))
}

fn unfit(plan: &Plan, unfit: &Unfit) -> String {
    let claims = |nodes: &[u16]| claims(plan, nodes);
    let of = format!("the volumes of the plan with uid {}", plan.data_uid);
    match unfit {
        Unfit::Nodes(count) => {
            format!("spec.replicas: {of} were written by {count} nodes. Set it to {count}")
        }
        Unfit::Slots(count) => format!(
            "spec.slots: {of} were written in {count} slots. Delete the plan, which leaves them as they are, and apply \
             it again with {count}"
        ),
        Unfit::Nothing => format!(
            "spec.recovery.adoptVolumesOf: no node has found anything in {of}: they are new, or that plan has never \
             served. Bind the nodes' claims to the volumes that are meant; or, to begin anew, delete the plan and its \
             claims, and apply it without adoptVolumesOf"
        ),
        Unfit::Lost => format!(
            "the stores of {of} have had a ring, and none holds it any more (the file `configuration` in their data \
             folders). Nothing of them is lost: restore the ConfigMap {} from a backup, with this plan as its owner",
            names::ring(plan.name()),
        ),
        Unfit::Stores(nodes) => format!(
            "{of} miss the stores of these claims, which have others: {}. Nothing is served without them: bind each to \
             its former volume, or restore that volume, then delete its pod",
            claims(nodes)
        ),
        Unfit::Older(nodes) => format!(
            "the stores of these claims are of an earlier moment than the others of {of}: {}. Restore all of them of \
             one moment",
            claims(nodes)
        ),
        Unfit::Differ(revision) => format!(
            "{of} hold two different rings of revision {revision}: they are not of one plan. Restore all of them from \
             one"
        ),
        Unfit::Exhausted => {
            format!("{of} were adopted too often: the histories of their slots have no room to rise")
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
            "pod {pod} has a volume that belongs to the plan with uid {uid}; the operator gives this pod neither the \
             plan nor the ring. Bind the claim {claim} to its former volume; or, to start with an empty volume, delete \
             the claim {claim} and the pod"
        ),
        Stand::Exchanged { has, ring_has } => format!(
            "pod {pod} has store {has}, but the ring expects {ring_has}: the pod has another volume than before, or \
             the volume was emptied. The operator gives this pod neither the plan nor the ring, and its slots are not \
             served. Bind the claim {claim} to its former volume, or restore that volume"
        ),
        Stand::RolledBack { has, was } => format!(
            "pod {pod} has incarnation {has} of its store, but the ring already records incarnation {was}: the volume \
             was restored to an earlier state. The operator gives this pod neither the plan nor the ring. Restore the \
             newest state of the volume of the claim {claim}"
        ),
        Stand::AheadOfPlan(generation) => format!(
            "pod {pod} runs generation {generation} of the plan, but the plan in the API server has generation {}: the \
             plan was restored from a backup. Change the plan (any change of its spec raises the generation) until its \
             generation is higher than that of the pod",
            plan.generation
        ),
        Stand::NoPod(_)
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

/// What keeps adopted volumes from being served.
fn adopting(plan: &Plan, outlook: &Outlook) -> Option<String> {
    let RingState::Adopting(missing) = &outlook.ring else { return None };
    if missing.is_empty() {
        return None;
    }
    Some(format!(
        "the adopted volumes are served when the stores of these claims have reported too: {}",
        claims(plan, missing)
    ))
}

/// What is waited for, if anything is.
pub fn wait(plan: &Plan, outlook: &Outlook) -> Option<Cause> {
    let (reason, nodes) = outlook.wait()?;
    let named = |node: &&Node| match &node.stand {
        Stand::NoPod(why) | Stand::Starting(why) | Stand::Silent(why) | Stand::Untrusted(why)
            if !why.is_empty() =>
        {
            format!("node {}: {why}", node.ordinal)
        }
        stand if stand.is_current() && reason == Reason::NodesStarting => {
            format!("node {}: its pod does not pass its readiness yet", node.ordinal)
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
    let text = format!("{what}: {}", listed(nodes.iter().map(named)));
    let text = match adopting(plan, outlook) {
        Some(why) => format!("{text}; {why}"),
        None => text,
    };
    Some(Cause { reason, text })
}

/// The first few, and how many more.
pub fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    let text = names[..names.len() - more].join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}
