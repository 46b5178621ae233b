//! The ways in: what clients and probes speak, each on a port of the node.

pub mod grpc;
pub mod http;
mod latency;
pub mod metrics;
pub mod port;
pub mod site;
