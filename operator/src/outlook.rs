//! What a plan and what was seen of it come to. Steps and status are both taken from this, so that they never disagree.
//! It judges; [`crate::words`] says it.

use crate::answers::{self, Standing};
use crate::certificates;
use crate::claims::{self, Amiss};
use crate::drift::{Difference, Kind};
use crate::names;
use crate::node::{Meant, Node, Stand};
use crate::observed::{Observed, Seen, Volume};
use crate::parts::{self, InForce, Part};
use crate::plan::{Plan, Wish};
use crate::reason::Reason;
use crate::ring::{self, RingState};
use crate::settings::Settings;
use proto::plan::{Error, Keep, Quantity};
use proto::ring::Ring;
use serde_json::Value;
use std::collections::BTreeMap;

/// Nothing is made while it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Claims of the nodes' names hold the data of an earlier plan.
    VolumesOfAnotherPlan { claims: Vec<String>, plan_uid: String, are_going: bool },
    /// An object of a name that the plan needs is someone else's.
    NameTaken { object: String, owner: String },
    /// An object of such a name is being deleted.
    NameGoing { object: String },
}

/// Something that is wrong. The rest goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    Ring {
        state: RingState,
        /// The ConfigMap has a ring of this revision, which is too old.
        outdated: Option<u64>,
        /// It is put back again and again.
        comes_back: bool,
    },
    /// The plan's CA cannot be used, and why.
    Authority(String),
    Node {
        ordinal: u16,
        stand: Stand,
    },
    /// The API server refuses an object, and why.
    Part {
        object: String,
        why: String,
    },
    /// An object is changed where only the operator may change it, on its way or again and again.
    Changed {
        object: String,
        fields: Vec<String>,
    },
    /// The plan wishes for larger volumes.
    Size {
        has: String,
        wished: String,
    },
    /// The plan wishes for another number of nodes.
    Nodes {
        has: u16,
        wished: i32,
    },
    /// The plan wishes that volumes go with nodes that are not needed any more.
    KeepsVolumes,
}

impl Obstacle {
    pub fn reason(&self) -> Reason {
        match self {
            Obstacle::VolumesOfAnotherPlan { are_going: true, .. } | Obstacle::NameGoing { .. } => {
                Reason::LeftoversGoing
            }
            Obstacle::VolumesOfAnotherPlan { .. } => Reason::VolumesOfAnotherPlan,
            Obstacle::NameTaken { .. } => Reason::NameTaken,
        }
    }
}

impl Fault {
    /// `None`: a state of the ring or of a node that is no fault.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Fault::Ring { state: RingState::Unfit(_), .. } => Some(Reason::VolumesUnfit),
            Fault::Ring { outdated: Some(_), .. } => Some(Reason::RingOlder),
            Fault::Ring { state, .. } => match state {
                RingState::ToRestore(_) | RingState::Restoring { .. } | RingState::Missing { .. } => {
                    Some(Reason::RingMissing)
                }
                RingState::Unreadable(_) => Some(Reason::RingUnreadable),
                _ => None,
            },
            Fault::Authority(_) => Some(Reason::CertificatesUnusable),
            Fault::Node { stand, .. } => stand.fault(),
            Fault::Part { .. } => Some(Reason::PartRefused),
            Fault::Changed { .. } => Some(Reason::PartChanged),
            Fault::Size { .. } | Fault::Nodes { .. } | Fault::KeepsVolumes => Some(Reason::NotSupportedYet),
        }
    }
}

/// An object of the plan as it is to be.
#[derive(Debug)]
pub struct Planned {
    pub part: Part,
    /// With the uid of the one that is there.
    pub desired: Value,
    /// How that one stands to it; `None`: there is none.
    pub standing: Option<Standing>,
}

#[derive(Debug)]
pub struct Outlook<'a> {
    /// What is to be run, or why it is not.
    pub verdict: Result<&'a Wish, Vec<Error>>,
    pub force: InForce,
    /// What is there of a plan that is refused stays as it is, and is not among them.
    pub parts: Vec<Planned>,
    /// The claims that are not as the plan wishes, and how each stands to what it was patched to.
    pub claims: Vec<(Amiss, Standing)>,
    /// What others have set in the plan's objects; `None`: these are not looked at now.
    pub adjusted: Option<Vec<String>>,
    pub ring: RingState,
    /// The revision of an older ring that lies in its place, and how that stands to what is to be written over it.
    pub older_ring: Option<(u64, Standing)>,
    pub certificates: certificates::Renewal,
    pub nodes: Vec<Node>,
    /// How many serve all that is theirs, with a pod that passes its readiness.
    pub nodes_serving: usize,
    pub slots_total: u32,
    pub slots_serving: u32,
    /// There is a Service by which clients reach the nodes.
    pub has_client_service: bool,
    /// Made from an older template than the StatefulSet's.
    pub outdated: Vec<String>,
    /// Nothing is made while these stand; the gravest first.
    pub obstacles: Vec<Obstacle>,
    /// The gravest first.
    pub faults: Vec<Fault>,
}

pub fn outlook<'a>(plan: &'a Plan, seen: &Observed, settings: &Settings, now_s: u64) -> Outlook<'a> {
    let force = in_force(plan, seen);
    let verdict = plan.wish.as_ref().map_err(Clone::clone);
    let ring::Found { state, outdated: older } = ring::found(plan, seen, force.replicas);
    let ring = state.of_nodes();
    let older_ring = older.map(|revision| (revision, overwriting(plan, seen, &state)));
    let loads = ring.map(Ring::loads).unwrap_or_default();
    let generation = if verdict.is_ok() && !plan.paused { plan.generation } else { 0 };
    let meant = Meant { data_uid: &plan.data_uid, latest: plan.generation, generation, ring, loads: &loads };
    let nodes: Vec<Node> = (0..force.replicas).map(|ordinal| meant.node(ordinal, seen)).collect();
    let reports = || nodes.iter().filter_map(|node| node.report.as_ref());
    let wished = plan.wish.as_ref().map_or(0, |wish| wish.spec.slots.unsigned_abs());
    let certificates = certificates::renewal(plan, seen, now_s);
    let parts = planned(plan, seen, settings, &force);
    let mut faults = faults(plan, seen, &force, &nodes);
    faults.push(ring_fault(&state, older_ring.as_ref()));
    faults.extend(certificates.unusable.clone().map(Fault::Authority));
    faults.extend(parts.iter().filter_map(|part| changed(plan, part)));
    let claims = claims_amiss(plan, seen, &state);
    faults.extend(claims.iter().filter_map(|(amiss, standing)| changed_to(amiss.mend.object(), standing)));
    faults.retain(|fault| fault.reason().is_some());
    faults.sort_by_key(Fault::reason);
    let obstacles = obstacles(plan, seen);
    let is_looked_at = verdict.is_ok() && !plan.paused && obstacles.is_empty();
    Outlook {
        nodes_serving: nodes.iter().filter(|node| node.has_ready_pod && meant.serves(node)).count(),
        slots_total: ring.map_or(wished, |ring| ring.slots.len() as u32),
        slots_serving: reports().map(|report| report.slots_serving).sum(),
        has_client_service: seen
            .objects
            .parts
            .get(&Part::ClientService)
            .is_some_and(|one| one.ours().is_some()),
        outdated: outdated(plan, seen),
        adjusted: is_looked_at.then(|| adjusted(plan, &parts, &claims)),
        obstacles,
        parts,
        claims,
        verdict,
        force,
        nodes,
        faults,
        ring: state,
        older_ring,
        certificates,
    }
}

impl Outlook<'_> {
    /// What is waited for first, and the nodes that keep it.
    pub fn wait(&self) -> Option<(Reason, Vec<&Node>)> {
        let behind = &self.certificates.behind;
        let wait = |node: &Node| {
            let spreading = behind.contains(&node.ordinal).then_some(Reason::CertificatesSpreading);
            node.wait().or(spreading)
        };
        let first = self.nodes.iter().filter_map(wait).min()?;
        Some((first, self.nodes.iter().filter(|node| wait(node) == Some(first)).collect()))
    }

    /// Every slot is served, and clients reach a node.
    pub fn is_available(&self) -> bool {
        let serves_all = self.slots_total > 0 && self.slots_serving >= self.slots_total;
        serves_all && self.has_client_service && self.nodes.iter().any(|node| node.has_ready_pod)
    }

    /// Every node serves what it should, of this plan and ring, and has a pod that passes its readiness.
    pub fn is_ready(&self) -> bool {
        self.is_available() && self.nodes.iter().all(|node| node.has_ready_pod && node.stand.is_current())
    }

    /// How an older ring that lies in the place of the plan's stands to that.
    pub fn overwriting(&self) -> Option<&Standing> {
        self.older_ring.as_ref().map(|(_, standing)| standing)
    }

    /// Whether the plan has run before.
    pub fn has_begun(&self) -> bool {
        match self.ring {
            RingState::InForce(_)
            | RingState::ToRestore(_)
            | RingState::Restoring { .. }
            | RingState::Missing { .. }
            | RingState::Unreadable(_) => true,
            RingState::Waiting(_)
            | RingState::ToBegin(_)
            | RingState::ToAdopt(_)
            | RingState::Adopting(_)
            | RingState::Unfit(_)
            | RingState::NotOurs => false,
        }
    }
}

/// A plan that is not accepted changes nothing; what was lost is made again.
fn planned(plan: &Plan, seen: &Observed, settings: &Settings, force: &InForce) -> Vec<Planned> {
    let planned = |part: Part| {
        let mut desired = parts::desired(part, plan, force, settings)?;
        let Some(live) = seen.objects.parts.get(&part).and_then(Seen::ours) else {
            return Some(Planned { part, desired, standing: None });
        };
        parts::keep_immutable(part, &mut desired, live);
        let answered = seen.answered.get(&part.object(plan.name()));
        let standing = answers::standing(&desired, live, answered);
        desired["metadata"]["uid"] = live["metadata"]["uid"].clone();
        plan.wish.is_ok().then_some(Planned { part, desired, standing: Some(standing) })
    };
    Part::ALL.into_iter().filter_map(planned).collect()
}

/// Until they are adopted, volumes do not go with the plan.
fn claims_amiss(plan: &Plan, seen: &Observed, ring: &RingState) -> Vec<(Amiss, Standing)> {
    let is_held = plan.has_adopted() && !matches!(ring, RingState::InForce(_));
    let Some(wish) = plan.wish.as_ref().ok().filter(|_| !is_held) else { return Vec::new() };
    let standing = |amiss: &Amiss| {
        let answered = seen.answered.get(&amiss.mend.object());
        answers::standing_of(amiss.differences.clone(), &amiss.mend.wished.hash(), answered)
    };
    let with_standing = |amiss: Amiss| {
        let standing = standing(&amiss);
        (amiss, standing)
    };
    claims::amiss(plan, wish, &seen.objects.volumes).into_iter().map(with_standing).collect()
}

fn changed(plan: &Plan, planned: &Planned) -> Option<Fault> {
    changed_to(planned.part.object(plan.name()), planned.standing.as_ref()?)
}

fn changed_to(object: String, standing: &Standing) -> Option<Fault> {
    let (Standing::Contradicted(wrong) | Standing::Held(wrong)) = standing else { return None };
    Some(Fault::Changed { object, fields: wrong.iter().map(ToString::to_string).collect() })
}

fn adjusted(plan: &Plan, parts: &[Planned], claims: &[(Amiss, Standing)]) -> Vec<String> {
    let of_parts = parts.iter().map(|part| (part.part.object(plan.name()), part.standing.as_ref()));
    let of_claims = claims.iter().map(|(amiss, standing)| (amiss.mend.object(), Some(standing)));
    let said = |(object, standing): (String, Option<&Standing>)| match standing {
        Some(Standing::Applied(differences)) => {
            differences.iter().map(|difference: &Difference| format!("{object}: {difference}")).collect()
        }
        _ => Vec::new(),
    };
    of_parts.chain(of_claims).flat_map(said).collect()
}

/// A ring fixes the number of nodes, and so do stores that had one; claims fix the size of volumes, and the StatefulSet
/// that of those to come.
fn in_force(plan: &Plan, seen: &Observed) -> InForce {
    let set = seen.objects.parts.get(&Part::StatefulSet).and_then(Seen::ours);
    let ring = ring::newest_seen(plan, seen);
    // What adopted volumes were written by, they say themselves.
    let stores_had = || seen.answers.values().flatten().any(|report| report.had_ring);
    let had_ring = plan.status.revision.is_some() || (!ring::is_adopting(plan) && stores_had());
    let of_set = |pointer: &str| set.and_then(|set| set.pointer(pointer));
    let running =
        of_set("/spec/replicas").and_then(Value::as_u64).filter(|_| had_ring).map(|count| count as u16);
    let wished = plan.wish.as_ref().ok().map(|wish| &wish.spec);
    let replicas = ring.map(|ring| ring.members.len() as u16).or(running);
    let size = of_set("/spec/volumeClaimTemplates/0/spec/resources/requests/storage").and_then(Value::as_str);
    let smallest = smallest(plan, &seen.objects.volumes).or(size.map(str::to_owned));
    InForce {
        replicas: replicas.or(wished.map(|spec| spec.replicas as u16)).unwrap_or(0),
        size: smallest.or(wished.map(|spec| spec.storage.size.0.clone())).unwrap_or_default(),
    }
}

/// The size of the smallest volume of the plan, if there is any.
fn smallest(plan: &Plan, volumes: &[Volume]) -> Option<String> {
    let ours = volumes.iter().filter(|volume| volume.plan_uid.as_ref() == Some(&plan.data_uid));
    let sizes = ours.filter_map(|volume| volume.size.as_ref());
    sizes.min_by_key(|size| size.value()).map(|size| size.0.clone())
}

/// What is wished and cannot be done yet; it waits, and the rest of the plan goes on.
fn waiting_wishes(plan: &Plan, force: &InForce) -> impl Iterator<Item = Fault> {
    other_number(plan, force).into_iter().chain(other_size(plan, force)).chain(keeps_volumes(plan))
}

fn keeps_volumes(plan: &Plan) -> Option<Fault> {
    let retention = &plan.wish.as_ref().ok()?.spec.storage.retention;
    (retention.when_scaled == Keep::Delete).then_some(Fault::KeepsVolumes)
}

fn other_number(plan: &Plan, force: &InForce) -> Option<Fault> {
    let wished = plan.wish.as_ref().ok()?.spec.replicas;
    (wished != i32::from(force.replicas)).then_some(Fault::Nodes { has: force.replicas, wished })
}

/// The wish cannot be taken back, since the API server lets sizes only grow.
fn other_size(plan: &Plan, force: &InForce) -> Option<Fault> {
    let (wished, has) = (&plan.wish.as_ref().ok()?.spec.storage.size, &force.size);
    let same = wished.0 == *has || wished.value() == Quantity(has.clone()).value();
    (!same).then(|| Fault::Size { has: has.clone(), wished: wished.0.clone() })
}

fn obstacles(plan: &Plan, seen: &Observed) -> Vec<Obstacle> {
    let mut obstacles = volumes_of_other_plans(plan, seen);
    obstacles.extend(taken(plan, seen));
    obstacles.sort_by_key(Obstacle::reason);
    obstacles
}

/// By plan, and only before there is a StatefulSet: it would give these volumes to the new plan's nodes.
fn volumes_of_other_plans(plan: &Plan, seen: &Observed) -> Vec<Obstacle> {
    let objects = &seen.objects;
    if objects.parts.get(&Part::StatefulSet).is_some_and(|set| set.ours().is_some()) {
        return Vec::new();
    }
    let mut others: BTreeMap<&String, Vec<&Volume>> = BTreeMap::new();
    for volume in &objects.volumes {
        if let Some(uid) = volume.plan_uid.as_ref().filter(|uid| **uid != plan.data_uid) {
            others.entry(uid).or_default().push(volume);
        }
    }
    let obstacle = |(uid, volumes): (&String, Vec<&Volume>)| Obstacle::VolumesOfAnotherPlan {
        claims: volumes.iter().map(|one| one.name.clone()).collect(),
        plan_uid: uid.clone(),
        are_going: volumes.iter().all(|one| one.is_going),
    };
    others.into_iter().map(obstacle).collect()
}

fn taken(plan: &Plan, seen: &Observed) -> Vec<Obstacle> {
    let objects = &seen.objects;
    let parts = objects.parts.iter().map(|(part, seen)| (part.object(plan.name()), whose(seen)));
    let others = [
        (format!("Secret {}", names::authority(plan.name())), whose(&objects.authority)),
        (format!("Secret {}", names::certificates(plan.name())), whose(&objects.certificates)),
        (format!("ConfigMap {}", names::ring(plan.name())), whose(&objects.ring)),
    ];
    let obstacle = |(object, whose): (String, Option<Whose>)| match whose? {
        Whose::Going => Some(Obstacle::NameGoing { object }),
        Whose::Taken(owner) => Some(Obstacle::NameTaken { object, owner }),
    };
    parts.chain(others).filter_map(obstacle).collect()
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

/// How an older ring stands to the one that is to be written over it.
fn overwriting(plan: &Plan, seen: &Observed, state: &RingState) -> Standing {
    let (RingState::ToAdopt(ring) | RingState::ToRestore(ring)) = state else { return Standing::Due };
    let older = Difference {
        path: format!("binaryData.{}", names::RING_KEY),
        kind: Kind::Changed,
        applied: Value::Null,
        seen: Value::Null,
    };
    let object = format!("ConfigMap {}", names::ring(plan.name()));
    answers::standing_of(vec![older], &ring::hash(ring), seen.answered.get(&object))
}

fn ring_fault(state: &RingState, outdated: Option<&(u64, Standing)>) -> Fault {
    Fault::Ring {
        state: state.clone(),
        outdated: outdated.map(|(revision, _)| *revision),
        comes_back: outdated.is_some_and(|(_, standing)| *standing != Standing::Due),
    }
}

fn faults(plan: &Plan, seen: &Observed, force: &InForce, nodes: &[Node]) -> Vec<Fault> {
    let of_nodes = nodes.iter().map(|node| Fault::Node { ordinal: node.ordinal, stand: node.stand.clone() });
    let of_parts =
        seen.rejections.iter().map(|(object, why)| Fault::Part { object: object.clone(), why: why.clone() });
    of_nodes.chain(of_parts).chain(waiting_wishes(plan, force)).collect()
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
