//! What a node says of itself: how it stands, and what it has counted.

use crate::peer::Report;
use crate::shard::{Held, RouteCounts, TimerCounts};
use std::time::Duration;

/// What a node says of itself to anyone.
#[derive(Debug, Clone, Default)]
pub struct Status {
    pub plan: String,
    pub report: Report,
    pub agents: u64,
    pub links: u64,
    pub nodes: Vec<NodeStatus>,
}

/// What a node has counted since its start, and what it holds.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Messages of agents that took effect here.
    pub messages: u64,
    /// Messages of agents that were refused here.
    pub faults: u64,
    /// Messages of agents here that their receivers have not committed.
    pub outbox: u64,
    /// Names of clients, and of nodes that pass commands on, each in one slot.
    pub client_names: Held,
    pub node_names: Held,
    /// Commands passed on to other nodes that are not answered.
    pub forwards: u64,
    /// Slots in which a stream is held back after a refusal.
    pub holds: u64,
    pub timers: TimerCounts,
    /// For each route of the plan.
    pub routes: Vec<RouteCounts>,
    /// Events given to links.
    pub delivered: u64,
    /// Bytes of memory that answers to reads hold.
    pub read_bytes: u64,
    /// Connections to the port for peers whose handshake came to nothing.
    pub handshakes_refused: u64,
    /// When this node's certificate ends, in seconds since 1970.
    pub certificate_ends_s: u64,
    pub log: LogMeasured,
}

/// The log, from this start on.
#[derive(Debug, Clone, Default)]
pub struct LogMeasured {
    pub records: u64,
    pub bytes: u64,
    pub syncs: u64,
    pub sync_time: Duration,
    /// What commands may still take.
    pub free_bytes: u64,
    /// No room for more can be made.
    pub full: bool,
    pub disk_free_bytes: u64,
    pub disk_size_bytes: u64,
    /// Bytes of all files of the log.
    pub held_bytes: u64,
    pub snapshots: SnapshotsMeasured,
}

/// Snapshots, from this start on.
#[derive(Debug, Clone, Default)]
pub struct SnapshotsMeasured {
    pub taken: u64,
    pub bytes: u64,
    /// Rounds that were given up.
    pub failed: u64,
    /// The last round was given up, and it is tried again.
    pub failing: bool,
    /// Broken places that were found.
    pub faults: u64,
    /// Bytes of all files, and of one snapshot of everything.
    pub held_bytes: u64,
    pub whole_bytes: u64,
    /// Since the last ones were taken; 0 before the first.
    pub age: Duration,
}

#[derive(Debug, Clone, Default)]
pub struct NodeStatus {
    pub ordinal: u16,
    pub store: String,
    pub slots: u32,
    pub reached: bool,
    pub peer_at: String,
}
