//! The two Services of a plan.

use crate::names;
use proto::plan::Service;
use serde_json::{Value, json};

/// Gives every node a name of its own, also before it is ready: nodes find each other while they start.
pub fn nodes(plan: &str) -> Value {
    json!({"spec": {
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": {names::PLAN: plan},
        "ports": [
            port("client", names::CLIENT_PORT),
            port("peer", names::PEER_PORT),
            port("metrics", names::METRICS_PORT),
        ],
    }})
}

/// Any node that is ready takes any client.
pub fn client(plan: &str, wished: &Service) -> Value {
    json!({"spec": {
        "type": wished.kind,
        "selector": {names::PLAN: plan},
        "ports": [port("client", names::CLIENT_PORT)],
    }})
}

fn port(name: &str, number: u16) -> Value {
    json!({"name": name, "port": number, "targetPort": name, "protocol": "TCP"})
}
