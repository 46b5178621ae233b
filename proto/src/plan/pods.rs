//! What the nodes' pods have beside what Shoal gives them.

use super::quantity::Quantity;
use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, PodSecurityContext, Toleration, TopologySpreadConstraint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Labels that begin so are the operator's.
pub(super) const RESERVED_LABELS: [&str; 2] = ["shoal.dev/", "app.kubernetes.io/"];

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pods {
    /// The image of the nodes. Unset: the one that belongs to the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 1024))]
    pub image: Option<String>,

    /// When kubelets fetch the image. Unset: Kubernetes decides by its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PullPolicy")]
    pub image_pull_policy: Option<PullPolicy>,

    /// Secrets with which the image is fetched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub image_pull_secrets: Vec<LocalObjectReference>,

    /// Further labels of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-validations" = [{
        "rule": "self.all(name, !name.startsWith('shoal.dev/') && !name.startsWith('app.kubernetes.io/'))",
        "message": "labels of shoal.dev and app.kubernetes.io are the operator's"
    }]))]
    pub labels: BTreeMap<String, String>,

    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,

    /// What each pod may use and has reserved for it. Where neither `requests` nor `limits` name it, 100m of CPU and
    /// 256Mi of memory are requested: pods that request nothing are the first to be evicted.
    #[serde(default, skip_serializing_if = "Resources::is_unset")]
    pub resources: Resources,

    /// Labels that a machine has to have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of machines that keep no pod away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,

    /// Which machines pods prefer or need, also by the pods that are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Affinity")]
    pub affinity: Option<Affinity>,

    /// How pods are spread. If there are any, they replace the operator's, which spread them over machines and zones
    /// where there are some. One without a `labelSelector` counts the plan's pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,

    /// The PriorityClass of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,

    /// The ServiceAccount of the pods, which has to be there. No token of it is mounted. Unset: one of the plan's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 253))]
    pub service_account_name: Option<String>,

    /// Replaces the operator's, which runs nodes as user and group 65532 and gives them their volume by `fsGroup`.
    /// `{}`: user and groups are the cluster's to choose, as on OpenShift; without an `fsGroup` nodes cannot read their
    /// certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PodSecurityContext")]
    pub security_context: Option<PodSecurityContext>,
}

impl Pods {
    pub(super) fn is_unset(&self) -> bool {
        self == &Pods::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// The most that a pod may use of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Quantity>,
    /// What is reserved for a pod of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Quantity>,
}

impl Resources {
    fn is_unset(&self) -> bool {
        self == &Resources::default()
    }
}
