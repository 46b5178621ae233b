//! The node: durable agents, their lanes, and the ways in.

pub mod answer;
pub mod grpc;
pub mod http;
pub mod link;
pub mod log;
pub mod metrics;
pub mod node;
pub mod peer;
pub mod port;
pub mod refusal;
pub mod shard;
pub mod store;
