//! What a plan and what was seen of it come to. Steps and status are both taken from this, so that they never disagree.

use crate::names;
use crate::node::{Meant, Node, Stand};
use crate::observed::{Observed, Seen};
use crate::parts::{InForce, Part};
use crate::plan::{Plan, Wish};
use crate::reason::Reason;
use crate::ring;
use proto::plan::{Error, Quantity};
use proto::ring::Ring;
use serde_json::Value;

/// Of names in one text.
const NAMED_MAX: usize = 8;

/// A cause that a condition names; the text says what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub reason: Reason,
    pub text: String,
}

#[derive(Debug)]
pub struct Outlook<'a> {
    /// What is to be run, or why it is not.
    pub verdict: Result<&'a Wish, Vec<Error>>,
    pub force: InForce,
    pub ring: ring::Stand,
    pub nodes: Vec<Node>,
    /// How many serve all that is theirs.
    pub nodes_serving: usize,
    pub slots_total: u32,
    pub slots_serving: u32,
    /// Made from an older template than the StatefulSet's.
    pub outdated: Vec<String>,
    /// Nothing is made while these stand; the gravest first.
    pub obstacles: Vec<Cause>,
    /// Something is wrong.
    pub faults: Vec<Cause>,
}

pub fn outlook<'a>(plan: &'a Plan, seen: &Observed) -> Outlook<'a> {
    let force = in_force(plan, seen);
    let verdict = verdict(plan, &force);
    let stand = ring::stand(plan, seen, force.replicas);
    let ring = match &stand {
        ring::Stand::InForce(ring) | ring::Stand::Older { ring, .. } => Some(ring),
        _ => None,
    };
    let loads = ring.map(Ring::loads).unwrap_or_default();
    let generation = if verdict.is_ok() { plan.generation } else { 0 };
    let meant = Meant { plan_uid: &plan.uid, latest: plan.generation, generation, ring, loads: &loads };
    let nodes: Vec<Node> = (0..force.replicas).map(|ordinal| meant.node(ordinal, seen)).collect();
    let reports = || nodes.iter().filter_map(|node| node.report.as_ref());
    let wished = plan.wish.as_ref().map_or(0, |wish| wish.spec.slots.unsigned_abs());
    let mut faults = ring_faults(plan, &stand);
    faults.extend(node_faults(plan, &nodes));
    faults.extend(rejections(seen));
    faults.extend(other_size(plan, &force));
    faults.sort_by_key(|cause| cause.reason);
    Outlook {
        nodes_serving: nodes.iter().filter(|node| meant.serves(node)).count(),
        slots_total: ring.map_or(wished, |ring| ring.slots.len() as u32),
        slots_serving: reports().map(|report| report.slots_serving).sum(),
        outdated: outdated(plan, seen),
        obstacles: obstacles(plan, seen),
        verdict,
        force,
        nodes,
        faults,
        ring: stand,
    }
}

impl Outlook<'_> {
    pub fn wait(&self) -> Option<Cause> {
        let first = self.nodes.iter().filter_map(|node| node.stand.wait()).min()?;
        let of_it = self.nodes.iter().filter(|node| node.stand.wait() == Some(first));
        let text = listed(of_it.map(|node| match &node.stand {
            Stand::Starting(why) | Stand::Silent(why) if !why.is_empty() => {
                format!("node {}: {why}", node.ordinal)
            }
            _ => format!("node {}", node.ordinal),
        }));
        let what = match first {
            Reason::NodesStarting => "starting",
            Reason::NodesSilent => "silent",
            Reason::NodesLoading => "reading their stores",
            _ => "waiting for the plan and the ring",
        };
        Some(Cause { reason: first, text: format!("{what}: {text}") })
    }

    pub fn serves_all(&self) -> bool {
        self.slots_total > 0 && self.slots_serving >= self.slots_total
    }

    /// Whether the plan has run before.
    pub fn has_begun(&self) -> bool {
        !matches!(self.ring, ring::Stand::Waiting(_) | ring::Stand::ToBegin(_) | ring::Stand::NotOurs)
    }
}

/// A ring fixes the number of nodes, and so do stores that had one; the StatefulSet fixes the size of volumes.
fn in_force(plan: &Plan, seen: &Observed) -> InForce {
    let set = seen.objects.parts.get(&Part::StatefulSet).and_then(Seen::ours);
    let ring = seen.objects.ring.ours().and_then(|bytes| Ring::decode(bytes).ok());
    let had_ring =
        plan.status.revision.is_some() || seen.answers.values().flatten().any(|report| report.had_ring);
    let of_set = |pointer: &str| set.and_then(|set| set.pointer(pointer));
    let running =
        of_set("/spec/replicas").and_then(Value::as_u64).filter(|_| had_ring).map(|count| count as u16);
    let wished = plan.wish.as_ref().ok().map(|wish| &wish.spec);
    let replicas = ring.map(|ring| ring.members.len() as u16).or(running);
    let size = of_set("/spec/volumeClaimTemplates/0/spec/resources/requests/storage").and_then(Value::as_str);
    InForce {
        replicas: replicas.or(wished.map(|spec| spec.replicas as u16)).unwrap_or(0),
        size: size.map(str::to_owned).or(wished.map(|spec| spec.storage.size.0.clone())).unwrap_or_default(),
    }
}

fn verdict<'a>(plan: &'a Plan, force: &InForce) -> Result<&'a Wish, Vec<Error>> {
    let wish = plan.wish.as_ref().map_err(Clone::clone)?;
    let replicas = force.replicas;
    if wish.spec.replicas == i32::from(replicas) {
        return Ok(wish);
    }
    let text =
        format!("{replicas} nodes run; changing their number is not there yet: set it back to {replicas}");
    Err(vec![Error::not_yet("spec.replicas", text)])
}

/// The wish can't be taken back, since the API server lets sizes only grow: so the rest of the plan goes on.
fn other_size(plan: &Plan, force: &InForce) -> Option<Cause> {
    let (wished, size) = (&plan.wish.as_ref().ok()?.spec.storage.size, &force.size);
    let same = wished.0 == *size || wished.value() == Quantity(size.clone()).value();
    let text = format!(
        "spec.storage.size: the volumes have {size}, and growing them to {wished} is not there yet; the rest of the \
         plan goes on"
    );
    (!same).then_some(Cause { reason: Reason::NotSupportedYet, text })
}

fn obstacles(plan: &Plan, seen: &Observed) -> Vec<Cause> {
    let mut causes: Vec<Cause> = volumes_of_another_plan(plan, seen).into_iter().collect();
    causes.extend(taken(plan, seen));
    causes.sort_by_key(|cause| cause.reason);
    causes
}

/// Only before there is a StatefulSet: it would give these volumes to the new plan's nodes.
fn volumes_of_another_plan(plan: &Plan, seen: &Observed) -> Option<Cause> {
    let objects = &seen.objects;
    if objects.parts.get(&Part::StatefulSet).is_some_and(|set| set.ours().is_some()) {
        return None;
    }
    let is_other = |uid: &String| *uid != plan.uid;
    let others: Vec<_> =
        objects.volumes.iter().filter(|one| one.plan_uid.as_ref().is_some_and(is_other)).collect();
    let uid = others.first()?.plan_uid.as_ref()?;
    let names = listed(others.iter().map(|one| one.name.clone()));
    let reason = if others.iter().all(|one| one.is_going) {
        Reason::LeftoversGoing
    } else {
        Reason::VolumesOfAnotherPlan
    };
    let text = format!(
        "the claims {names} hold the data of an earlier plan of this name (uid {uid}); nothing is started over them. \
         To begin anew, delete these claims, and with them that data: kubectl delete pvc -n {} -l {}",
        plan.key.namespace,
        names::selector(plan.name()),
    );
    Some(Cause { reason, text })
}

fn taken(plan: &Plan, seen: &Observed) -> Vec<Cause> {
    let objects = &seen.objects;
    let parts = objects
        .parts
        .iter()
        .map(|(part, seen)| (format!("{} {}", part.resource().kind, part.name(plan.name())), whose(seen)));
    let others = [
        (format!("Secret {}", names::token(plan.name())), whose(&objects.token)),
        (format!("ConfigMap {}", names::ring(plan.name())), whose(&objects.ring)),
    ];
    let cause = |(name, whose): (String, Option<Whose>)| match whose? {
        Whose::Going => Some(Cause {
            reason: Reason::LeftoversGoing,
            text: format!(
                "{name} belongs to an earlier plan of this name, or is being deleted: waiting until it is gone"
            ),
        }),
        Whose::Taken(owner) => Some(Cause {
            reason: Reason::NameTaken,
            text: format!(
                "{name} exists and belongs to {owner}; it is left as it is. Delete or rename it, or give the plan \
                 another name"
            ),
        }),
    };
    parts.chain(others).filter_map(cause).collect()
}

enum Whose {
    Going,
    Taken(String),
}

fn whose<T>(seen: &Seen<T>) -> Option<Whose> {
    match seen {
        Seen::Absent | Seen::Ours(_) => None,
        Seen::Going => Some(Whose::Going),
        Seen::Taken(owner) => Some(Whose::Taken(owner.clone())),
    }
}

fn ring_faults(plan: &Plan, stand: &ring::Stand) -> Vec<Cause> {
    let object = format!("the ConfigMap {}", names::ring(plan.name()));
    let (reason, text) = match stand {
        ring::Stand::Missing(revision) => (
            Reason::RingMissing,
            format!(
                "{object} is gone, and the nodes' stores have had a ring (revision {revision} at least): none is begun \
                 anew over them, and the nodes go on with theirs. Put the ConfigMap back from a backup; or, to give \
                 all data up, delete the plan and its volumes and apply it again"
            ),
        ),
        ring::Stand::Unreadable(why) => (
            Reason::RingUnreadable,
            format!(
                "{object} is left as it is, for {why}. Put it back from a backup; the nodes go on with theirs"
            ),
        ),
        ring::Stand::Older { ring, nodes } => (
            Reason::RingOlder,
            format!(
                "{object} has revision {}, and nodes have {nodes}: it has been put back from an old backup. Put the \
                 newest one back; the nodes go on with theirs",
                ring.revision
            ),
        ),
        _ => return Vec::new(),
    };
    vec![Cause { reason, text }]
}

fn node_faults<'a>(plan: &'a Plan, nodes: &'a [Node]) -> impl Iterator<Item = Cause> + 'a {
    nodes.iter().filter_map(move |node| {
        let reason = node.stand.fault()?;
        Some(Cause { reason, text: fault_text(plan, node) })
    })
}

fn rejections(seen: &Observed) -> Vec<Cause> {
    let cause = |(object, why): (&String, &String)| Cause {
        reason: Reason::PartRefused,
        text: format!("the API server refuses {object}: {why}"),
    };
    seen.rejections.iter().map(cause).collect()
}

fn fault_text(plan: &Plan, node: &Node) -> String {
    let (name, ordinal) = (plan.name(), node.ordinal);
    let (pod, claim) = (names::pod(name, ordinal), names::claim(name, ordinal));
    match &node.stand {
        Stand::Failing(words) => format!("pod {pod} ends soon after each start: {words}"),
        Stand::TokenRefused => format!(
            "pod {pod} was started with another token than the Secret {} has: delete the pod, so that it starts again",
            names::token(name)
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
        _ => String::new(),
    }
}

/// Once the StatefulSet's controller has seen its template.
fn outdated(plan: &Plan, seen: &Observed) -> Vec<String> {
    let Some(set) = seen.objects.parts.get(&Part::StatefulSet).and_then(Seen::ours) else {
        return Vec::new();
    };
    let is_known = set["status"]["observedGeneration"] == set["metadata"]["generation"];
    let Some(latest) = set["status"]["updateRevision"].as_str().filter(|_| is_known) else {
        return Vec::new();
    };
    let older = seen.objects.pods.iter().filter(|(_, pod)| pod.revision != latest);
    older.map(|(ordinal, _)| names::pod(plan.name(), *ordinal)).collect()
}

/// The first few, and how many more.
pub fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    let text = names[..names.len() - more].join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}
