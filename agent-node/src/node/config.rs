//! What a node is told before it starts.

use crate::log::Progress;
use crate::snapshot::Limits;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Config {
    pub data: PathBuf,
    pub ordinal: u16,
    /// What the data are called: the uid of the plan that they were written for.
    pub plan_uid: String,
    /// The uid of the plan that has adopted them, if it is another.
    pub adopted_by: Option<String>,
    /// The folder with this node's certificate, its key, and the CAs that it trusts.
    pub certificates: PathBuf,
    pub peer_listen: SocketAddr,
    pub shards: usize,
    /// When snapshots are taken.
    pub snapshots: Limits,
    /// Told while the log is read.
    pub reading: Arc<Progress>,
}
