//! What was seen of a plan: its objects, its pods, and what its nodes say. Values only; `look` and `nodes` fill them.

use crate::answers::Answered;
use crate::authority::AuthorityPems;
use crate::names;
use crate::parts::Part;
use crate::plan::Plan;
use crate::undeclared::Undeclared;
use bytes::Bytes;
use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStatus, PersistentVolumeClaim, Pod as Manifest,
};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use proto::plan::Quantity;
use proto::ring::{Ring, StoreId};
use proto::trust::{Digests, Pems};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A container that ends sooner than this after its start has not run.
const RAN_S: i64 = 60;
/// The most bytes of what a node says as it ends.
const LAST_WORDS_MAX: usize = 300;

#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub objects: Objects,
    /// By ordinal: of the nodes that could be asked.
    pub answers: BTreeMap<u16, Answer>,
    /// These have not answered just now, and are asked again before that counts.
    pub missed: BTreeSet<u16>,
    /// By the uids of StatefulSet and pods that are waited for: what their newest event warns of.
    pub warnings: BTreeMap<String, String>,
    /// By ordinal: why a node did not take what it was given last.
    pub refusals: BTreeMap<u16, String>,
    /// What the API server says against a part as it was applied last.
    pub rejections: BTreeMap<String, String>,
    /// By kind and name: what came back of objects as they were written last.
    pub answered: BTreeMap<String, Answered>,
    /// The fields of the plan's status that the CRD lacks.
    pub undeclared: Undeclared,
}

/// What the API server says.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    pub parts: BTreeMap<Part, Seen<Value>>,
    /// The plan's CA.
    pub authority: Seen<AuthorityPems>,
    /// What nodes show and whom they trust.
    pub certificates: Seen<Pems>,
    /// The uid of their Secret, where it is the plan's.
    pub certificates_uid: Option<String>,
    pub ring: Seen<Bytes>,
    /// Which version of its ConfigMap that is, where it is the plan's.
    pub ring_version: Option<Version>,
    pub volumes: Vec<Volume>,
    /// By ordinal.
    pub pods: BTreeMap<u16, Pod>,
}

impl Objects {
    /// The claim of a node, if it has no volume yet.
    pub fn unbound(&self, ordinal: u16) -> Option<&Volume> {
        let is_of = |volume: &&Volume| {
            let end = volume.name.rsplit_once('-').map(|(_, end)| end.parse());
            volume.is_unbound && end == Some(Ok(ordinal))
        };
        self.volumes.iter().find(is_of)
    }

    /// The StatefulSet's; empty where there is none.
    pub fn set_uid(&self) -> &str {
        let set = self.parts.get(&Part::StatefulSet).and_then(Seen::ours);
        set.and_then(|set| set["metadata"]["uid"].as_str()).unwrap_or_default()
    }
}

/// The very object that was read, as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub uid: String,
    pub resource_version: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Seen<T> {
    Absent,
    Ours(T),
    /// It belongs to an earlier plan of this name, or to ours and is being deleted: it goes by itself.
    Going,
    /// It has the name, and is not the plan's. Whose it is.
    Taken(String),
}

impl<T> Seen<T> {
    /// By whose object it is, if there is one.
    pub fn of(found: Option<(&ObjectMeta, T)>, plan: &Plan) -> Seen<T> {
        let Some((meta, content)) = found else { return Seen::Absent };
        let owners = meta.owner_references.as_deref().unwrap_or_default();
        let is_ours = owners.iter().any(|owner| owner.uid == plan.uid);
        let of_plan = owners.iter().find(|owner| owner.kind == names::KIND && owner.name == plan.name());
        let is_leftover = of_plan.is_some() && !is_ours;
        match owners.first() {
            _ if meta.deletion_timestamp.is_some() || is_leftover => Seen::Going,
            _ if is_ours => Seen::Ours(content),
            Some(owner) => Seen::Taken(format!("{} {}", owner.kind, owner.name)),
            None => Seen::Taken("no owner (it has no ownerReferences)".to_owned()),
        }
    }

    pub fn ours(&self) -> Option<&T> {
        match self {
            Seen::Ours(content) => Some(content),
            Seen::Absent | Seen::Going | Seen::Taken(_) => None,
        }
    }
}

/// A claim of a node's volume.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Volume {
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    /// It has no volume yet.
    pub is_unbound: bool,
    /// Its storage class; the cluster's default one stands here too.
    pub class: Option<String>,
    /// As its label says: of the plan that it was made for.
    pub plan_uid: Option<String>,
    pub is_going: bool,
    /// As the claim asks for it.
    pub size: Option<Quantity>,
    pub owners: Vec<OwnerReference>,
    /// Its label of this name.
    pub instance: Option<String>,
}

impl Volume {
    pub fn of(claim: &PersistentVolumeClaim) -> Volume {
        let requests = || claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage");
        Volume {
            is_unbound: claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending"),
            class: claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()),
            size: requests().map(|size| Quantity(size.0.clone())),
            ..Volume::of_metadata(&claim.metadata)
        }
    }

    /// As far as these say it.
    pub fn of_metadata(meta: &ObjectMeta) -> Volume {
        Volume {
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            plan_uid: label(meta, names::PLAN_UID),
            is_going: meta.deletion_timestamp.is_some(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            instance: label(meta, names::INSTANCE),
            ..Volume::default()
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    pub uid: String,
    /// Where it can be asked, once it has an address.
    pub ip: Option<String>,
    /// The revision of the template that it was made from.
    pub revision: String,
    /// It was started since nodes have certificates.
    pub has_certificates: bool,
    pub life: Life,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// Waits for a machine, an image, a volume; with why, if that is known.
    Pending(String),
    /// Runs, and is not ready.
    Starting,
    Ready,
    /// Ends soon after each start; its last words.
    Failing(String),
    Going,
}

impl Pod {
    pub fn of(pod: &Manifest) -> Pod {
        let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        let revision = label(&pod.metadata, names::POD_REVISION).unwrap_or_default();
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
        let has_certificates =
            volumes.is_some_and(|all| all.iter().any(|one| one.name == names::CERTIFICATES));
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        Pod { uid, ip, revision, has_certificates, life: life(pod) }
    }

    /// Where its node can be asked how it stands. One whose pod is being deleted is not: nothing that it says counts, and
    /// its address, which may be gone by now, would keep the plan's status waiting.
    pub fn asked_at(&self) -> Option<&str> {
        self.ip.as_deref().filter(|_| self.has_certificates && self.life != Life::Going)
    }
}

fn life(pod: &Manifest) -> Life {
    if pod.metadata.deletion_timestamp.is_some() {
        return Life::Going;
    }
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let node = statuses.and_then(|all| all.iter().find(|status| status.name == names::CONTAINER));
    match node {
        Some(node) if node.ready && is_ready(pod) => Life::Ready,
        Some(node) => container(node),
        None => Life::Pending(unscheduled(pod).unwrap_or_default()),
    }
}

/// As the pod's condition says, by which Services choose; it follows its container's readiness.
fn is_ready(pod: &Manifest) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

fn container(node: &ContainerStatus) -> Life {
    let (state, last) = (node.state.as_ref(), node.last_state.as_ref());
    let ended = state.and_then(|state| state.terminated.as_ref());
    let ended = ended.or(last.and_then(|last| last.terminated.as_ref()));
    if let Some(ended) = ended.filter(|ended| has_failed(ended)) {
        return Life::Failing(last_words(ended));
    }
    match state {
        Some(state) if state.running.is_some() || state.terminated.is_some() => Life::Starting,
        Some(state) => Life::Pending(state.waiting.as_ref().map_or_else(String::new, |waiting| {
            let reason = waiting.reason.clone().unwrap_or_default();
            stable(&reason, &node.image)
        })),
        None => Life::Pending(String::new()),
    }
}

/// A node that has run for a while and is killed comes back; one that ends as soon as it starts says why.
fn has_failed(ended: &ContainerStateTerminated) -> bool {
    let seconds = |time: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
        time.as_ref().map_or(0, |time| time.0.as_second())
    };
    ended.exit_code != 0 && seconds(&ended.finished_at) - seconds(&ended.started_at) < RAN_S
}

fn last_words(ended: &ContainerStateTerminated) -> String {
    let message = ended.message.as_deref().unwrap_or_default();
    let line = message.lines().rev().map(str::trim).find(|line| !line.is_empty());
    // Without the time, or each end would be told as another.
    match line.map(|line| line.split_once(" ERROR ").map_or(line, |(_, words)| words)) {
        Some(line) => line.chars().take(LAST_WORDS_MAX).collect(),
        None => format!("it ended with status {}", ended.exit_code),
    }
}

/// Kubelets say the same trouble in turns by different words.
fn stable(reason: &str, image: &str) -> String {
    match reason {
        "ErrImagePull" | "ImagePullBackOff" => format!("the image {image} cannot be fetched"),
        "ErrImageNeverPull" => format!("the image {image} is not on the machine, and must not be fetched"),
        "ContainerCreating" | "PodInitializing" | "" => String::new(),
        other => other.to_owned(),
    }
}

fn unscheduled(pod: &Manifest) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|one| one.type_ == "PodScheduled" && one.status == "False")?;
    condition.message.clone()
}

/// What the newest of an object's events warns of, if it is a warning.
pub fn warning(events: &[Event]) -> Option<String> {
    let newest = events.iter().max_by_key(|event| told(event))?;
    let note = newest.note.as_deref().filter(|_| newest.type_.as_deref() == Some("Warning"))?;
    Some(note.chars().take(LAST_WORDS_MAX).collect())
}

/// When an event was told last; each of those who make events writes another field.
fn told(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let last = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    series.or(last).or(event.event_time.as_ref().map(|time| time.0))
}

fn label(meta: &ObjectMeta, name: &str) -> Option<String> {
    meta.labels.as_ref()?.get(name).cloned()
}

/// What a node has answered, or why it has not.
pub type Answer = Result<Report, Silence>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub plan_uid: String,
    pub ordinal: u16,
    pub store: StoreId,
    pub incarnation: u64,
    /// 0: it has no ring.
    pub revision: u64,
    pub generation: u64,
    pub slots_owned: u32,
    pub slots_serving: u32,
    pub had_ring: bool,
    /// Digests of the certificates that it uses.
    pub certificates: Digests,
    /// The ring that its store was given before its volume was adopted; nothing of it is in force.
    pub held: Option<Arc<Ring>>,
    /// The ring that it goes by, where that is not the one that the operator has.
    pub ring: Option<Arc<Ring>>,
}

impl Report {
    /// Whether it has a ring in force.
    pub fn goes_by_ring(&self) -> bool {
        self.revision > 0 && self.held.is_none()
    }

    /// The ring that it has in force, if that is known: it does not tell the one of the ConfigMap.
    pub fn ring_in_force<'a>(&'a self, of_map: Option<&'a Ring>) -> Option<&'a Ring> {
        let is_that = |ring: &&Ring| self.goes_by_ring() && ring.revision == self.revision;
        self.ring.as_deref().or(of_map.filter(is_that))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// Not reached, or not within the time.
    Unreached,
    /// One of the two does not take the other's certificate.
    Untrusted(String),
    /// What it says cannot be understood.
    Nonsense(String),
}

#[cfg(test)]
mod tests;
