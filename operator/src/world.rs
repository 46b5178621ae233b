//! A small model of a cluster with one plan, for tests: an API server, a StatefulSet's controller, and nodes. It takes
//! steps as the real ones do, and is seen as they are.

use crate::answers::{Answered, Answers};
use crate::authority::AuthorityPems;
use crate::claims::Mend;
use crate::names;
use crate::observed::{Life, Objects, Observed, Pod, Report, Seen, Version, Volume};
use crate::parts::{self, Part};
use crate::plan::Plan;
use crate::ring;
use crate::settings::Settings;
use crate::steps::{self, Given, NewStatus, Next, Step};
use crate::undeclared::Undeclared;
use bytes::Bytes;
use k8s_openapi::jiff::Timestamp;
use kube::core::DynamicObject;
use proto::plan::{AgentPlanStatus, Quantity};
use proto::ring::{Ring, StoreId};
use proto::trust::{Authority, Credentials, Digests, Pems, Role};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub const UID: &str = "3f0e1c52-9a40-4d0b-8e57-4a1c7a1a6f10";

pub fn settings() -> Settings {
    Settings {
        node_image: "docker.io/shoal/agent-node:0.1.0".to_owned(),
        node_image_pull_policy: None,
        operator_namespace: "shoal-system".to_owned(),
    }
}

/// The sample, as the API server has it.
pub fn flights() -> Value {
    let mut object: Value = serde_yaml_ng::from_str(include_str!("../../crds/samples/flights.yaml")).unwrap();
    object["metadata"]["namespace"] = "default".into();
    object["metadata"]["uid"] = UID.into();
    object["metadata"]["generation"] = 1.into();
    object["metadata"]["resourceVersion"] = "1".into();
    object
}

pub fn plan(object: &Value) -> Plan {
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    Plan::of(&object)
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub store: u128,
    /// The plan that the store was written for.
    pub plan_uid: String,
    pub incarnation: u64,
    pub revision: u64,
    pub generation: u64,
    pub had_ring: bool,
    pub slots_owned: u32,
    pub life: Life,
    /// What it has in force.
    pub pems: Pems,
    pub digests: Digests,
    pub has_certificates: bool,
    /// The ring that it was given last, and the uid of the plan that gave it.
    pub given: Option<(Bytes, String)>,
}

impl Node {
    /// Its kubelet has brought these, and it has read them.
    pub fn mount(&mut self, pems: &Pems) {
        if self.pems != *pems {
            (self.pems, self.digests) = (pems.clone(), digests(pems));
        }
    }
}

fn digests(pems: &Pems) -> Digests {
    Credentials::load(UID, Role::Node, pems).map(|read| read.digests).unwrap_or_default()
}

#[derive(Debug, Clone)]
pub struct World {
    pub object: Value,
    pub parts: BTreeMap<Part, Value>,
    pub authority: Option<AuthorityPems>,
    pub certificates: Option<Pems>,
    pub ring: Option<Bytes>,
    pub volumes: Vec<Volume>,
    pub nodes: BTreeMap<u16, Node>,
    /// Nodes of a plan that was deleted, whose volumes are there.
    pub ended: BTreeMap<u16, Node>,
    /// Whether pods that are made come up.
    pub pods_start: bool,
    pub taken: BTreeMap<Part, String>,
    /// What a webhook makes of a StatefulSet that is written.
    pub webhook: fn(&mut Value),
    /// What has come back of them.
    pub answered: BTreeMap<String, Answered>,
    /// The time.
    pub second: i64,
}

impl World {
    pub fn new(object: Value) -> World {
        World {
            object,
            parts: BTreeMap::new(),
            authority: None,
            certificates: None,
            ring: None,
            volumes: Vec::new(),
            nodes: BTreeMap::new(),
            ended: BTreeMap::new(),
            pods_start: true,
            taken: BTreeMap::new(),
            webhook: |_| {},
            answered: BTreeMap::new(),
            second: 0,
        }
    }

    /// The sample, with everything made and nothing left to do.
    pub fn settled() -> World {
        let mut world = World::new(flights());
        world.settle();
        world
    }

    pub fn plan(&self) -> Plan {
        ring::identified(plan(&self.object), &self.ring.clone().map_or(Seen::Absent, Seen::Ours))
    }

    pub fn status(&self) -> AgentPlanStatus {
        self.plan().status
    }

    /// `True NodesStarting: ...`
    pub fn condition(&self, name: &str) -> String {
        let status = self.status();
        let found =
            status.conditions.iter().find(|condition| condition.type_ == name).expect("such a condition");
        format!("{} {}: {}", found.status, found.reason, found.message)
    }

    pub fn seen(&self) -> Observed {
        let part = |part: Part| match (self.taken.get(&part), self.parts.get(&part)) {
            (Some(owner), _) => (part, Seen::Taken(owner.clone())),
            (None, Some(object)) => (part, Seen::Ours(object.clone())),
            (None, None) => (part, Seen::Absent),
        };
        let ip = |ordinal: u16| Some(format!("198.18.0.{ordinal}"));
        let revision = |ordinal: &u16| self.revision_of(*ordinal);
        let pod = |(ordinal, node): (&u16, &Node)| {
            let (ip, revision) = (ip(*ordinal), revision(ordinal));
            let (has_certificates, life) = (node.has_certificates, node.life.clone());
            (*ordinal, Pod { uid: format!("pod-{ordinal}"), ip, revision, has_certificates, life })
        };
        let objects = Objects {
            parts: Part::ALL.map(part).into(),
            authority: self.authority.clone().map_or(Seen::Absent, Seen::Ours),
            certificates: self.certificates.clone().map_or(Seen::Absent, Seen::Ours),
            certificates_uid: self.certificates.as_ref().map(|_| "the-secret".to_owned()),
            ring: self.ring.clone().map_or(Seen::Absent, Seen::Ours),
            ring_version: self.ring.as_ref().map(|ring| Version {
                uid: "the-ring".to_owned(),
                resource_version: xxhash_rust::xxh3::xxh3_64(ring).to_string(),
            }),
            volumes: self.volumes.clone(),
            pods: self.nodes.iter().map(pod).collect(),
        };
        let alive = self.nodes.iter().filter(|(_, node)| matches!(node.life, Life::Ready | Life::Starting));
        let answers = alive.map(|(ordinal, node)| (*ordinal, self.answer(*ordinal, node)));
        Observed {
            answers: answers.collect(),
            objects,
            refusals: BTreeMap::new(),
            rejections: BTreeMap::new(),
            answered: self.answered.clone(),
            warnings: BTreeMap::new(),
            missed: std::collections::BTreeSet::new(),
            undeclared: Undeclared::default(),
        }
    }

    fn answer(&self, ordinal: u16, node: &Node) -> crate::observed::Answer {
        let ca = self.authority.as_ref().map_or("no CA", |authority| authority.pair.certificate.trim());
        if !node.pems.bundle.contains(ca) {
            return Err(crate::observed::Silence::Untrusted("it does not know the CA".to_owned()));
        }
        let certificates = node.digests;
        let Node { store, plan_uid, incarnation, revision, generation, had_ring, slots_owned, .. } =
            node.clone();
        let store = StoreId(store);
        let by_another = node.given.as_ref().filter(|(_, plan)| *plan != self.plan().uid);
        let held = by_another.map(|(ring, _)| Arc::new(Ring::decode(ring).unwrap()));
        let slots_owned = if held.is_some() { 0 } else { slots_owned };
        let slots_serving = slots_owned;
        let ring =
            node.given.as_ref().filter(|_| held.is_none()).map(|(ring, _)| Ring::decode(ring).unwrap());
        let has = ring::decoded(&self.ring.clone().map_or(Seen::Absent, Seen::Ours));
        let is_told = |ring: &Ring| has.as_ref() != Some(ring);
        let ring = ring.filter(|ring| revision > 0 && is_told(ring)).map(Arc::new);
        Ok(Report {
            plan_uid,
            ordinal,
            store,
            incarnation,
            revision,
            generation,
            slots_owned,
            slots_serving,
            had_ring,
            certificates,
            held,
            ring,
        })
    }

    fn revision_of(&self, ordinal: u16) -> String {
        let pods =
            self.parts.get(&Part::StatefulSet).and_then(|set| set["pods"][ordinal.to_string()].as_str());
        pods.unwrap_or_default().to_owned()
    }

    pub fn next(&self) -> Next {
        steps::toward(&self.plan(), &self.seen(), &settings(), at(self.second))
    }

    /// Does one thing of what is next, as the real ones do.
    pub fn does(&mut self, done: Done) {
        match done {
            Done::Step(Step::MakeAuthority { trusted }) => {
                let pair = Authority::make(UID, self.now_s()).unwrap();
                self.authority.get_or_insert(AuthorityPems { pair, trusted });
            }
            Done::Step(Step::GiveCertificates { authority, pair, why: _, uid: _ }) => {
                let issue = || authority.load(UID).unwrap().issue(Role::Node, self.now_s()).unwrap();
                let pair = pair.unwrap_or_else(issue);
                self.certificates = Some(Pems { pair, bundle: authority.bundle() });
            }
            Done::Step(Step::Apply(part, desired)) => self.apply(part, &desired),
            Done::Step(Step::Mend(Mend { claim, patch, wished: _ })) => {
                let claim = self.volumes.iter_mut().find(|volume| volume.name == claim).unwrap();
                let owners = &patch["metadata"]["ownerReferences"];
                if !owners.is_null() {
                    claim.owners = serde_json::from_value(owners.clone()).unwrap();
                }
                if patch["metadata"]["labels"].is_object() {
                    claim.instance = None;
                }
            }
            Done::Step(Step::BeginRing { members, slots }) => {
                let ring = Ring::begin(&self.plan().data_uid, members, slots, 1);
                self.ring.get_or_insert_with(|| ring.encode().into());
            }
            Done::Step(Step::AdoptRing(written) | Step::RestoreRing(written)) => {
                let version = self.seen().objects.ring_version;
                if written.over == version {
                    self.ring = Some(written.ring.encode().into());
                }
            }
            Done::Given(given) => {
                let ring = Ring::decode(&given.ring).unwrap();
                let plan_uid = self.plan().uid;
                let node = self.nodes.get_mut(&given.ordinal).unwrap();
                let mine = ring.members.iter().position(|member| member.store.0 == node.store);
                node.slots_owned = mine.map_or(0, |index| ring.loads()[index]);
                node.revision = node.revision.max(ring.revision);
                node.generation = node.generation.max(given.generation);
                node.had_ring = true;
                node.given = Some((given.ring, plan_uid));
                node.life = Life::Ready;
            }
            Done::Report(NewStatus { status, .. }) => {
                self.object["status"] = serde_json::to_value(status).unwrap();
            }
        }
    }

    /// As the API server merges it, and the StatefulSet's controller follows.
    fn apply(&mut self, part: Part, desired: &Value) {
        if let (Part::StatefulSet, Some(live)) = (part, self.parts.get(&part)) {
            let fixed = |set: &Value| parts::IMMUTABLE.map(|field| set["spec"][field].clone());
            assert_eq!(fixed(desired), fixed(live), "the API server refuses it");
        }
        let mut stored = desired.clone();
        if part == Part::StatefulSet {
            (self.webhook)(&mut stored);
        }
        let mut answers = Answers::default();
        answers.note(part.object("flights"), desired, &stored, Duration::ZERO);
        self.answered.extend(answers.seen(Duration::ZERO));
        let old = self.parts.insert(part, stored).unwrap_or_default();
        if part == Part::StatefulSet {
            self.follow(&old);
        }
    }

    fn follow(&mut self, old: &Value) {
        let set = self.parts.get_mut(&Part::StatefulSet).unwrap();
        let template = set["spec"]["template"].to_string();
        let revision = format!("{:x}", xxhash_rust::xxh3::xxh3_64(template.as_bytes()));
        set["metadata"]["generation"] = 1.into();
        set["status"] = json!({"observedGeneration": 1, "updateRevision": revision});
        set["pods"] = old["pods"].clone();
        let replicas = set["spec"]["replicas"].as_u64().unwrap() as u16;
        if self.pods_start {
            (0..replicas).for_each(|ordinal| self.start(ordinal));
        }
    }

    /// Makes a pod where there is none, of the newest template.
    pub fn start(&mut self, ordinal: u16) {
        let Some(set) = self.parts.get_mut(&Part::StatefulSet) else { return };
        if set["pods"][ordinal.to_string()].is_null() {
            set["pods"][ordinal.to_string()] = set["status"]["updateRevision"].clone();
        }
        let name = names::claim("flights", ordinal);
        if !self.volumes.iter().any(|volume| volume.name == name) {
            let asked =
                set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"].as_str();
            let size = asked.map(|size| Quantity(size.to_owned()));
            let plan_uid = Some(self.plan().data_uid);
            self.volumes.push(Volume { name, plan_uid, size, ..Volume::default() });
        }
        let Some(pems) = self.certificates.clone() else { return };
        if let Some(node) = self.ended.remove(&ordinal) {
            let incarnation = node.incarnation + 1;
            let node = Node { incarnation, digests: digests(&pems), pems, life: Life::Starting, ..node };
            self.nodes.insert(ordinal, node);
            return;
        }
        let plan_uid = self.plan().data_uid;
        self.nodes.entry(ordinal).or_insert_with(|| Node {
            store: 100 + u128::from(ordinal),
            plan_uid,
            incarnation: 1,
            revision: 0,
            generation: 0,
            had_ring: false,
            slots_owned: 0,
            life: Life::Starting,
            digests: digests(&pems),
            pems,
            has_certificates: true,
            given: None,
        });
    }

    /// The plan is deleted, all that it owns goes, and it is applied again.
    pub fn apply_again(&mut self, uid: &str) {
        self.object["metadata"]["uid"] = uid.into();
        self.object["metadata"]["generation"] = 1.into();
        self.object["status"].take();
        (self.authority, self.certificates, self.ring) = (None, None, None);
        self.parts.clear();
        self.ended.append(&mut self.nodes);
    }

    /// Deletes a pod, and the StatefulSet makes it again; its volume stays.
    pub fn restart(&mut self, ordinal: u16) {
        let set = self.parts.get_mut(&Part::StatefulSet).unwrap();
        set["pods"][ordinal.to_string()] = set["status"]["updateRevision"].clone();
        let pems = self.certificates.clone();
        let node = self.nodes.get_mut(&ordinal).unwrap();
        node.incarnation += 1;
        node.has_certificates = true;
        if let Some(pems) = &pems {
            node.mount(pems);
        }
    }

    /// Kubelets bring the newest files, and nodes read them.
    pub fn spread(&mut self) {
        let Some(pems) = &self.certificates else { return };
        self.nodes.values_mut().for_each(|node| node.mount(pems));
    }

    pub fn now_s(&self) -> u64 {
        at(self.second).as_second().unsigned_abs()
    }

    /// Changes the spec as `kubectl apply` does.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.object["spec"]);
        let generation = self.object["metadata"]["generation"].as_u64().unwrap();
        self.object["metadata"]["generation"] = (generation + 1).into();
    }

    /// Does all that is next, and what follows, until there is nothing. What it was.
    pub fn settle(&mut self) -> Vec<String> {
        let mut taken = Vec::new();
        for _ in 0..20 {
            let next = self.next();
            if next.is_empty() {
                return taken;
            }
            for done in all_of(next) {
                taken.push(done.to_string());
                self.does(done);
            }
        }
        panic!("there is no end to it: {taken:#?}");
    }
}

/// One thing of those that are next.
#[derive(Debug)]
pub enum Done {
    Step(Step),
    Given(Given),
    Report(NewStatus),
}

/// What is next, in its order.
pub fn all_of(next: Next) -> impl Iterator<Item = Done> {
    let Next { steps, given, report, pace: _, unexplained: _ } = next;
    let steps = steps.into_iter().map(Done::Step);
    steps.chain(given.into_iter().map(Done::Given)).chain(report.map(Done::Report))
}

impl std::fmt::Display for Done {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Done::Step(step) => write!(out, "{step}"),
            Done::Given(given) => write!(out, "{given}"),
            Done::Report(_) => write!(out, "report"),
        }
    }
}
