//! A node: its store, its log, its shards on their threads, and the way to every other node.

pub use crate::link::Links;
pub use crate::shard::{Body, Got};

use crate::refusal::Refusal;
use bytes::Bytes;
use proto::plan::LaneKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Config {
    pub data: PathBuf,
    pub ordinal: u16,
    pub plan_uid: String,
    pub token: String,
    pub peer_listen: SocketAddr,
    pub shards: usize,
}

/// A plan and a ring, as the operator gives them and as the node keeps them.
#[derive(Debug, Clone)]
pub struct Configuration {
    pub plan_name: String,
    pub plan_uid: String,
    pub generation: u64,
    /// The plan's spec as JSON.
    pub spec: Bytes,
    /// `Ring::encode`.
    pub ring: Bytes,
    /// Where each ordinal answers peers.
    pub peers: Vec<String>,
}

/// What a node says of itself to those who configure it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub plan_uid: String,
    pub ordinal: u16,
    pub store: String,
    pub incarnation: u64,
    pub revision: u64,
    pub generation: u64,
    pub slots_owned: u32,
    pub slots_serving: u32,
    pub had_ring: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Status {
    pub plan: String,
    pub ordinal: u16,
    pub store: String,
    pub incarnation: u64,
    pub revision: u64,
    pub generation: u64,
    pub slots_owned: u32,
    pub slots_serving: u32,
    pub agents: u64,
    pub links: u64,
    /// Sends of agents that took effect here.
    pub messages: u64,
    /// Sends of agents that were refused here.
    pub faults: u64,
    /// Events given to links.
    pub delivered: u64,
    pub nodes: Vec<NodeStatus>,
}

#[derive(Debug, Clone, Default)]
pub struct NodeStatus {
    pub ordinal: u16,
    pub store: String,
    pub slots: u32,
    pub reached: bool,
    pub peer_at: String,
}

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

/// Clones are handles to the same node.
#[derive(Clone)]
pub struct Node {}

impl Node {
    /// Opens the store, replays the log, and answers peers. The address is where it does.
    pub async fn start(config: Config) -> anyhow::Result<(Node, SocketAddr)> {
        let _ = config;
        unimplemented!()
    }

    pub fn report(&self) -> Report {
        unimplemented!()
    }

    /// Takes a newer plan or ring, durably; older ones are refused.
    pub async fn configure(&self, configuration: Configuration) -> Result<Report, Refusal> {
        let _ = configuration;
        unimplemented!()
    }

    /// Why this node can't serve all that it owns.
    pub fn ready(&self) -> Result<(), String> {
        unimplemented!()
    }

    pub fn status(&self) -> Status {
        unimplemented!()
    }

    /// The lanes that clients can see.
    pub fn lanes_of(&self, agent: &str) -> Result<Vec<(String, LaneKind)>, Refusal> {
        let _ = agent;
        unimplemented!()
    }

    pub async fn get(
        &self,
        agent: &str,
        lane: &str,
        local: bool,
        if_none_match: Option<u64>,
    ) -> Result<Got, Refusal> {
        let _ = (agent, lane, local, if_none_match);
        unimplemented!()
    }

    pub async fn send(&self, request: Request) -> Result<u64, Refusal> {
        let _ = request;
        unimplemented!()
    }

    /// One client's stream of commands.
    pub fn commands(&self) -> Commands {
        unimplemented!()
    }

    /// One client's links.
    pub fn links(&self) -> Links {
        unimplemented!()
    }

    /// Ends peers, shards and the log; what was taken is answered first.
    pub async fn stop(&self) {
        unimplemented!()
    }
}

pub struct Commands {}

impl Commands {
    /// How many may be submitted now.
    pub fn room(&self) -> usize {
        unimplemented!()
    }

    pub fn submit(&mut self, id: u64, request: Request) -> Result<(), Full> {
        let _ = (id, request, Arc::new(()));
        unimplemented!()
    }

    /// Waits until something is answered, and adds all that is. May be dropped at any await.
    pub async fn answers(&mut self, out: &mut Vec<(u64, Result<u64, Refusal>)>) {
        let _ = out;
        unimplemented!()
    }
}
