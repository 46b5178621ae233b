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

/// What comes back with the answer to a command of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The client's number for it.
    pub id: u64,
    /// When it came, in microseconds on the stream's own clock, which begins anew after an hour and more.
    pub came_us: u32,
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("too many commands are unanswered")]
pub struct Full;
