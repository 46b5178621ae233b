//! The fields of an `AgentPlan`: one definition for the CRD, the node and dev mode. Descriptions become those of the
//! CRD and of its reference; bounds and rules become its schema, by which dev mode and nodes check as well.
//!
//! *Guarantees*: what is here is what the schema lets through; the rest is checked by [`super::Plan::of`].

use super::agent::Agent;
use super::pods::Pods;
use super::quantity::Quantity;
use super::status::AgentPlanStatus;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A page's origin, as browsers name it.
pub(super) const ORIGIN: &str = r"^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$";

/// A uid, which is part of the names in certificates.
const UID: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";

/// What the plan's agents are, on how many nodes they live, and how durably.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "shoal.dev",
    version = "v1alpha1",
    kind = "AgentPlan",
    plural = "agentplans",
    shortname = "aplan",
    namespaced,
    status = "AgentPlanStatus",
    derive = "PartialEq",
    doc = "A stateful streaming application: kinds of agents, their lanes and rules, and the nodes that run them.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentPlanSpec {
    /// How many nodes run the plan. A change of it is not there yet: a condition says so.
    #[serde(default = "default::replicas")]
    #[schemars(range(min = 1, max = 256))]
    pub replicas: i32,

    /// Into how many hash partitions the agents are divided: the units that nodes own and that move between them.
    /// Many more than nodes, so that loads are even.
    #[serde(default = "default::slots")]
    #[schemars(extend(
        "enum" = [256, 512, 1024, 2048, 4096, 8192, 16384],
        "x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "slots cannot change"}]
    ))]
    pub slots: i32,

    /// Whether the operator acts on this plan.
    #[serde(default)]
    pub management: Management,

    /// What an acknowledged command survives.
    #[serde(default, skip_serializing_if = "Durability::is_unset")]
    pub durability: Durability,

    /// Each node's volume.
    #[serde(default)]
    pub storage: Storage,

    /// What the nodes' pods have beside what Shoal gives them. A pod takes a change of it when it is deleted.
    #[serde(default, skip_serializing_if = "Pods::is_unset")]
    pub pods: Pods,

    /// Where the plan's data come from, if not from itself.
    #[serde(default, skip_serializing_if = "Recovery::is_unset")]
    pub recovery: Recovery,

    /// The Service by which clients reach the nodes.
    #[serde(default, skip_serializing_if = "Service::is_unset")]
    pub service: Service,

    /// What nodes take over HTTP.
    #[serde(default, skip_serializing_if = "Http::is_unset")]
    pub http: Http,

    /// The kinds of agents.
    #[schemars(
        length(min = 1, max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["route"])
    )]
    pub agents: Vec<Agent>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Management {
    /// The operator makes the cluster as the plan says.
    #[default]
    Managed,
    /// The operator changes nothing but the status; the nodes go on.
    Paused,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Durability {
    /// Unset: chosen once when the plan is made, kept in the status, and never changed by scaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Mode")]
    pub mode: Option<Mode>,
}

impl Durability {
    fn is_unset(&self) -> bool {
        self == &Durability::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// A command is acknowledged when it is on the disk of the node that owns its agent.
    Local,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.storageClassName) == has(oldSelf.storageClassName)",
    "message": "storageClassName cannot be added or removed",
    "fieldPath": ".storageClassName"
}]))]
pub struct Storage {
    /// The size of each node's volume, at least 1Gi. It only grows, which is not there yet: a condition says so.
    #[serde(default = "default::size")]
    #[schemars(extend("maxLength" = 32, "x-kubernetes-validations" = [
        {
            "rule": "isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('1Gi')) >= 0",
            "message": "size is a quantity of at least 1Gi"
        },
        {
            "rule": "!isQuantity(string(self)) || !isQuantity(string(oldSelf)) || quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",
            "message": "size only grows"
        }
    ]))]
    pub size: Quantity,

    /// `ReadWriteOncePod` keeps every second pod away from the volume; some drivers have only `ReadWriteOnce`.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "accessMode cannot change"}
    ]))]
    pub access_mode: AccessMode,

    /// Unset: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 253), extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "storageClassName cannot change"}
    ]))]
    pub storage_class_name: Option<String>,

    /// What becomes of volumes that are not needed any more.
    #[serde(default)]
    pub retention: Retention,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            size: default::size(),
            access_mode: AccessMode::default(),
            storage_class_name: None,
            retention: Retention::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    #[default]
    ReadWriteOncePod,
    ReadWriteOnce,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// When the plan is deleted. `Delete`: each node's claim belongs to the plan, and goes with it and its data. A
    /// StatefulSet that is deleted or scaled by someone takes no volume with it.
    #[serde(default)]
    pub when_deleted: Keep,
    /// When the plan has fewer nodes than before. `Delete` has no effect yet: volumes stay, and a condition says so.
    #[serde(default)]
    pub when_scaled: Keep,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Keep {
    #[default]
    Retain,
    Delete,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recovery {
    /// The uid that the volumes of the plan's name were written for: their claims' label `shoal.dev/plan-uid`. The plan
    /// goes on with what they hold, of as many nodes and slots as they were written by. `kubectl shoal adopt` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 63), regex(pattern = UID))]
    pub adopt_volumes_of: Option<String>,
}

impl Recovery {
    fn is_unset(&self) -> bool {
        self == &Recovery::default()
    }
}

/// The Service by which clients reach the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// How it is reached: `ClusterIP` from within the cluster, the others from outside as well. Port 7777 has neither
    /// authentication nor TLS yet.
    #[serde(rename = "type", default, skip_serializing_if = "is_default")]
    pub kind: ServiceType,

    /// Annotations of it, as load balancers and DNS controllers read them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
}

impl Service {
    fn is_unset(&self) -> bool {
        self == &Service::default()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Http {
    /// The web pages of other hosts that may ask nodes, each as a browser names it: `https://shop.example`. Pages of
    /// any other host than the one that a node is asked by are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(max = 262), regex(pattern = ORIGIN)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub origins: Vec<String>,
}

impl Http {
    fn is_unset(&self) -> bool {
        self == &Http::default()
    }
}

mod default {
    use super::Quantity;

    pub fn replicas() -> i32 {
        3
    }

    pub fn slots() -> i32 {
        4096
    }

    pub fn size() -> Quantity {
        Quantity("10Gi".into())
    }
}
