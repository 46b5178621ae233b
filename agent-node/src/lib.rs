//! The node: durable agents, their lanes, and the ways in.

pub mod answer;
pub mod cli;
pub mod client;
pub mod connections;
pub mod dev;
pub mod grpc;
pub mod holds;
pub mod http;
pub mod link;
pub mod log;
pub mod logging;
pub mod metrics;
pub mod node;
pub mod peer;
pub mod port;
pub mod refusal;
pub mod running;
pub mod serve;
pub mod shard;
pub mod signals;
pub mod store;
