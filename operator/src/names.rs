//! What the objects of a plan are called, and the labels that find them again.

use serde_json::{Value, json};

pub const API_VERSION: &str = "shoal.dev/v1alpha1";
pub const KIND: &str = "AgentPlan";
/// The conditions of a plan, in their order.
pub const CONDITIONS: [&str; 8] =
    ["Accepted", "Ready", "Available", "Reconciling", "Stalled", "Degraded", "Adjusted", "Paused"];
/// The manager of the fields that the operator applies.
pub const FIELD_MANAGER: &str = "shoal-operator";
pub const STATUS_FIELD_MANAGER: &str = "shoal-operator-status";
/// The condition of a plan that more than one release looks after, which those write who leave it alone.
pub const CONTESTED: &str = "Contested";
pub const CONTESTED_FIELD_MANAGER: &str = "shoal-operator-contested";

/// By it the operator finds what it has made.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const MANAGED_BY_US: &str = "app.kubernetes.io/managed-by=shoal-operator";
pub const PLAN: &str = "shoal.dev/plan";
/// On no object of ours: tools that delete what is not wished for find by it what is theirs.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// On volumes, which outlive their plan.
pub const PLAN_UID: &str = "shoal.dev/plan-uid";
/// On a plan: by it a person names the operator that is to run it.
pub const OPERATOR: &str = "shoal.dev/operator";
/// A hash of what was applied last.
pub const APPLIED: &str = "shoal.dev/applied";
/// Kubernetes' own, on pods: the template that they were made from.
pub const POD_REVISION: &str = "controller-revision-hash";
/// The label of the operator's pods, as the chart writes it.
pub const OPERATOR_POD: (&str, &str) = ("app.kubernetes.io/name", "shoal-operator");

pub const CLIENT_PORT: u16 = 7777;
pub const PEER_PORT: u16 = 7778;
pub const METRICS_PORT: u16 = 7779;

/// The user and the group that nodes run as.
pub const NODE_USER: i64 = 65532;
pub const CONTAINER: &str = "node";
pub const CLAIM: &str = "data";
/// The volume by which a pod has its certificates.
pub const CERTIFICATES: &str = "certificates";
/// The member of the ring's ConfigMap.
pub const RING_KEY: &str = "ring";
/// The members of the Secret of the CA.
pub const AUTHORITY_CERTIFICATE: &str = "ca.crt";
pub const AUTHORITY_KEY: &str = "ca.key";
pub const AUTHORITY_TRUSTED: &str = "trusted.crt";

pub fn nodes_service(plan: &str) -> String {
    format!("{plan}-nodes")
}

pub fn service_account(plan: &str) -> String {
    format!("{plan}-node")
}

/// The Secret of the plan's CA, which no pod mounts.
pub fn authority(plan: &str) -> String {
    format!("{plan}-ca")
}

/// The Secret with what nodes show and whom they trust, which their pods mount.
pub fn certificates(plan: &str) -> String {
    format!("{plan}-certificates")
}

pub fn ring(plan: &str) -> String {
    format!("{plan}-ring")
}

pub fn pod(plan: &str, ordinal: u16) -> String {
    format!("{plan}-{ordinal}")
}

pub fn claim(plan: &str, ordinal: u16) -> String {
    format!("{CLAIM}-{plan}-{ordinal}")
}

/// The ordinal of a pod of this plan.
pub fn ordinal(plan: &str, pod: &str) -> Option<u16> {
    let digits = pod.strip_prefix(plan)?.strip_prefix('-')?;
    let plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain)
}

/// Where a node answers its peers: a name that stays when its pod gets another address.
pub fn peer(namespace: &str, plan: &str, ordinal: u16) -> String {
    format!("{}.{}.{namespace}.svc:{PEER_PORT}", pod(plan, ordinal), nodes_service(plan))
}

pub fn selector(plan: &str) -> String {
    format!("{PLAN}={plan}")
}

pub fn labels(plan: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "shoal-node",
        "app.kubernetes.io/component": "node",
        "app.kubernetes.io/part-of": "shoal",
        MANAGED_BY: FIELD_MANAGER,
        PLAN: plan,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_ordinal_is_read_from_its_name_and_nothing_else_is_one() {
        let cases =
            [("flights-0", Some(0)), ("flights-12", Some(12)), ("flights-01", None), ("flights-", None)];
        let foreign = [("flights", None), ("other-0", None), ("flights-0-0", None), ("flights-70000", None)];
        for (pod, expected) in cases.into_iter().chain(foreign) {
            assert_eq!(ordinal("flights", pod), expected, "{pod}");
        }
    }
}
