//! How one node stands: what its pod does, what it says, and whether it is the one that the ring means.

use crate::observed::{Answer, Life, Observed, Pod, Report, Silence};
use crate::reason::Reason;
use proto::ring::{Member, Ring};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub ordinal: u16,
    pub stand: Stand,
    /// Its pod passes its readiness, so that clients are sent to it.
    pub has_ready_pod: bool,
    /// What it says, if it is the node that is meant.
    pub report: Option<Report>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stand {
    /// Why it has none, if that is known.
    NoPod(String),
    /// Its pod is on its way; why it is not there yet, if that is known.
    Starting(String),
    /// Its container ends soon after each start; its last words.
    Failing(String),
    /// Its pod is ready, and it does not answer the operator.
    Silent(String),
    /// Its pod was started before nodes had certificates, and speaks to nobody.
    NoCertificates,
    /// It and the operator do not trust each other yet.
    Untrusted(String),
    /// Its store was written for the plan of this uid.
    OtherPlan(String),
    /// Another store than the ring's.
    Exchanged {
        has: String,
        ring_has: String,
    },
    /// Its store has an incarnation that it has left behind already.
    RolledBack {
        has: u64,
        was: u64,
    },
    /// It has a newer generation of the plan.
    AheadOfPlan(u64),
    /// It waits for a first ring.
    Empty,
    /// It lacks the ring or the plan as they are now.
    Behind,
    /// So it does, and it has refused them.
    Refuses(String),
    /// It has both, and does not serve all its slots yet.
    Loading,
    Serving,
    /// It has a ring, and the operator does not.
    Keeping,
}

impl Node {
    /// What is waited for, if that is all.
    pub fn wait(&self) -> Option<Reason> {
        let unready = (self.stand.is_current() && !self.has_ready_pod).then_some(Reason::NodesStarting);
        self.stand.wait().or(unready)
    }
}

impl Stand {
    /// What a person has to mend, if it is that.
    pub fn fault(&self) -> Option<Reason> {
        match self {
            Stand::Failing(_) => Some(Reason::NodeFails),
            Stand::NoCertificates => Some(Reason::PodsWithoutCertificates),
            Stand::Refuses(_) => Some(Reason::ConfigurationRefused),
            Stand::OtherPlan(_) => Some(Reason::VolumesOfAnotherPlan),
            Stand::Exchanged { .. } => Some(Reason::StoreExchanged),
            Stand::RolledBack { .. } => Some(Reason::RolledBack),
            Stand::AheadOfPlan(_) => Some(Reason::PlanOlder),
            Stand::NoPod(_)
            | Stand::Starting(_)
            | Stand::Silent(_)
            | Stand::Untrusted(_)
            | Stand::Empty
            | Stand::Behind
            | Stand::Loading
            | Stand::Serving
            | Stand::Keeping => None,
        }
    }

    fn wait(&self) -> Option<Reason> {
        match self {
            Stand::NoPod(_) | Stand::Starting(_) => Some(Reason::NodesStarting),
            Stand::Silent(_) => Some(Reason::NodesSilent),
            Stand::Untrusted(_) => Some(Reason::CertificatesSpreading),
            Stand::Empty | Stand::Behind => Some(Reason::Configuring),
            Stand::Loading => Some(Reason::NodesLoading),
            _ => None,
        }
    }

    /// Whether it is given the plan and the ring.
    pub fn is_given(&self) -> bool {
        matches!(self, Stand::Behind | Stand::Refuses(_))
    }

    /// Whether it serves what it should, of the plan and the ring as far as the operator has them.
    pub fn is_current(&self) -> bool {
        matches!(self, Stand::Serving | Stand::Keeping)
    }

    fn is_meant(&self) -> bool {
        matches!(self, Stand::AheadOfPlan(_) | Stand::Loading) || self.is_current() || self.is_given()
    }
}

/// Why a pod is not there yet. Where it waits for its claim, that and its storage class are named.
fn pending(ordinal: u16, pod: &Pod, why: &str, seen: &Observed) -> String {
    let warning = |uid: &str| seen.warnings.get(uid).cloned().unwrap_or_default();
    let why = if why.is_empty() { warning(&pod.uid) } else { why.to_owned() };
    let waits_for_claim = why.is_empty() || why.to_ascii_lowercase().contains("persistent");
    let Some(claim) = seen.objects.unbound(ordinal).filter(|_| waits_for_claim) else { return why };
    let class = match &claim.class {
        Some(class) => format!("of the storage class {class}"),
        None => "of no storage class (the cluster has no default one)".to_owned(),
    };
    let of_claim = warning(&claim.uid);
    let why = if of_claim.is_empty() { why } else { of_claim };
    let colon = if why.is_empty() { "" } else { ": " };
    format!("its claim {} {class} is not bound{colon}{why}", claim.name)
}

/// What nodes should be and have.
pub struct Meant<'a> {
    /// What the plan's data are called.
    pub data_uid: &'a str,
    /// The generation of the plan's spec as it is now.
    pub latest: u64,
    /// The generation that nodes are given; 0: none.
    pub generation: u64,
    pub ring: Option<&'a Ring>,
    /// By the ring's members.
    pub loads: &'a [u32],
}

impl Meant<'_> {
    pub fn node(&self, ordinal: u16, seen: &Observed) -> Node {
        let stand = self.stand(ordinal, seen);
        let report = seen.answers.get(&ordinal).and_then(|answer| answer.as_ref().ok());
        let report = report.filter(|_| stand.is_meant()).cloned();
        let report = report.map(|report| Report { generation: self.of_plan(report.generation), ..report });
        let has_ready_pod = seen.objects.pods.get(&ordinal).is_some_and(|pod| pod.life == Life::Ready);
        Node { ordinal, stand, has_ready_pod, report }
    }

    /// Whether a node serves all that is its own.
    pub fn serves(&self, node: &Node) -> bool {
        let Some(report) = &node.report else { return false };
        match self.member(node.ordinal) {
            Some((_, load)) => report.slots_serving >= load,
            None => report.slots_owned > 0 && report.slots_serving >= report.slots_owned,
        }
    }

    /// The plan's generation that a node's is.
    fn of_plan(&self, generation: u64) -> u64 {
        generation.saturating_sub(self.ring.map_or(0, |ring| ring.base))
    }

    fn member(&self, ordinal: u16) -> Option<(&Member, u32)> {
        let members = self.ring.iter().flat_map(|ring| &ring.members);
        members.zip(self.loads.iter().copied()).find(|(member, _)| member.ordinal == ordinal)
    }

    fn stand(&self, ordinal: u16, seen: &Observed) -> Stand {
        let warning = |uid: &str| seen.warnings.get(uid).cloned().unwrap_or_default();
        let Some(pod) = seen.objects.pods.get(&ordinal) else {
            return Stand::NoPod(warning(seen.objects.set_uid()));
        };
        let answer: Option<&Answer> = seen.answers.get(&ordinal);
        match (answer, &pod.life) {
            (_, Life::Going) => Stand::Starting("its pod is being deleted".to_owned()),
            (_, life) if !pod.has_certificates && !matches!(life, Life::Pending(_)) => Stand::NoCertificates,
            (Some(Ok(report)), _) => match (self.answered(ordinal, report), seen.refusals.get(&ordinal)) {
                (Stand::Behind, Some(why)) => Stand::Refuses(why.clone()),
                (stand, _) => stand,
            },
            (Some(Err(Silence::Untrusted(why))), _) => Stand::Untrusted(why.clone()),
            (Some(Err(Silence::Nonsense(why))), _) => Stand::Silent(why.clone()),
            (_, Life::Failing(words)) => Stand::Failing(words.clone()),
            (_, Life::Pending(why)) => Stand::Starting(pending(ordinal, pod, why, seen)),
            (_, Life::Starting) => Stand::Starting(String::new()),
            (_, Life::Ready) => Stand::Silent("it does not answer the operator".to_owned()),
        }
    }

    fn answered(&self, ordinal: u16, report: &Report) -> Stand {
        if report.plan_uid != self.data_uid {
            return Stand::OtherPlan(report.plan_uid.clone());
        }
        let Some(ring) = self.ring else {
            if report.held.is_some() {
                return Stand::Empty;
            }
            return if report.revision > 0 || report.had_ring { Stand::Keeping } else { Stand::Empty };
        };
        let Some((member, load)) = self.member(ordinal) else {
            return Stand::Exchanged { has: report.store.to_string(), ring_has: "none".to_owned() };
        };
        if member.store != report.store {
            return Stand::Exchanged { has: report.store.to_string(), ring_has: member.store.to_string() };
        }
        if report.incarnation < member.incarnation {
            return Stand::RolledBack { has: report.incarnation, was: member.incarnation };
        }
        let generation = self.of_plan(report.generation);
        if generation > self.latest && report.held.is_none() {
            return Stand::AheadOfPlan(generation);
        }
        if report.held.is_some() || report.revision < ring.revision || generation < self.generation {
            Stand::Behind
        } else if report.slots_serving < load {
            Stand::Loading
        } else {
            Stand::Serving
        }
    }
}
