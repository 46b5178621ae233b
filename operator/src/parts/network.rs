//! Who may reach the nodes, and how many of them may be evicted at once.

use crate::names;
use crate::settings::Settings;
use serde_json::{Value, json};

/// Clients and those who read metrics may come from anywhere; to the peers' port come nodes of the plan and operators.
pub fn policy(plan: &str, settings: &Settings) -> Value {
    let (label, value) = names::OPERATOR_POD;
    let operator = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.operator_namespace}},
        "podSelector": {"matchLabels": {label: value}},
    });
    let peers = json!({"podSelector": {"matchLabels": {names::PLAN: plan}}});
    json!({"spec": {
        "podSelector": {"matchLabels": {names::PLAN: plan}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [port(names::CLIENT_PORT), port(names::METRICS_PORT)]},
            {"ports": [port(names::PEER_PORT)], "from": [peers, operator]},
        ],
    }})
}

/// One at a time; a node that is not ready anyway stands in nobody's way.
pub fn disruption_budget(plan: &str) -> Value {
    json!({"spec": {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": {names::PLAN: plan}},
    }})
}

fn port(number: u16) -> Value {
    json!({"port": number, "protocol": "TCP"})
}
