//! The status of an `AgentPlan`. Unknown fields are let through here: another version of the operator may have
//! written them, and a plan must stay readable.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator has seen and done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentPlanStatus {
    /// The generation of the plan that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub observed_generation: Option<i64>,

    /// The last generation that could be parsed and that all nodes run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub accepted_generation: Option<i64>,

    /// The operator that runs the plan, by the namespace and name of its Lease. Others leave the plan alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub operator: Option<String>,

    /// How many nodes the ring has. `spec.replicas` may change until there is one, and back to this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub nodes: Option<i32>,

    /// How many nodes have a pod.
    #[serde(default)]
    pub replicas: i32,

    /// How many of them serve, with a pod that passes its readiness.
    #[serde(default)]
    pub ready_replicas: i32,

    /// Which pods are this plan's, as a label selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub selector: Option<String>,

    /// How many slots there are, and how they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SlotsStatus")]
    pub slots: Option<SlotsStatus>,

    /// The revision of the ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub revision: Option<i64>,

    /// In force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DurabilityStatus")]
    pub durability: Option<DurabilityStatus>,

    /// `Accepted`, `Ready`, `Available`, `Reconciling`, `Stalled`, `Degraded`, `Adjusted`, `Paused`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlotsStatus {
    /// All of the plan.
    #[serde(default)]
    pub total: i32,
    /// Their owner serves them.
    #[serde(default)]
    pub owned: i32,
    /// On their way from one node to another.
    #[serde(default)]
    pub moving: i32,
    /// With fewer copies than the plan wants.
    #[serde(default)]
    pub degraded: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DurabilityStatus {
    /// What an acknowledged command survives.
    pub mode: String,
    /// Nodes beside the owner that hold each slot.
    #[serde(default)]
    pub copies: i32,
}
