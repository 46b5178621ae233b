//! The node.

pub mod log;
pub mod store;
