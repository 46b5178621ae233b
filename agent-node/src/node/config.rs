//! What a node is told before it starts.

use crate::log::Progress;
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
    /// Told while the log is read.
    pub reading: Arc<Progress>,
}
