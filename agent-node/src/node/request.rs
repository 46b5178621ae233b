//! What a client asks of a node.

use bytes::Bytes;

/// A command or a change of a client.
#[derive(Debug, Clone)]
pub struct Request {
    pub agent: String,
    pub lane: String,
    pub body: Bytes,
    pub key: Option<crate::shard::Key>,
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("too many commands are unanswered")]
pub struct Full;
