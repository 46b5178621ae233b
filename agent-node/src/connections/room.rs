//! How many connections a node takes, of the files that its process may have open. Decides, and asks nobody.

use proto::wire::{CONNECTION_WINDOW, STREAM_WINDOW};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;

/// Which of its ports a node is asked on. Neither takes the other's room. The port for peers counts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Clients,
    Metrics,
}

/// How many connections are taken on each port, of all nodes in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub clients: usize,
    pub peers: usize,
    pub metrics: usize,
}

impl Room {
    /// Kept back are the files that the node needs for itself: its log, its connections to other nodes, and one for a
    /// connection that is taken to be closed.
    pub fn of(files: usize) -> Room {
        let left = files.saturating_sub(OWN_MIN + (files / 8).min(OWN_MORE));
        let (peers, metrics) = ((left / 4).clamp(PEERS_MIN, PEERS_MAX), (left / 8).clamp(1, METRICS_MAX));
        Room { clients: left.saturating_sub(peers + metrics).clamp(1, CLIENTS_MAX), peers, metrics }
    }
}

/// For a node alone with its log.
const OWN_MIN: usize = 64;
/// For connections to other nodes, too, where there are many.
const OWN_MORE: usize = 4096;
/// A connection costs memory even if it is idle.
const CLIENTS_MAX: usize = 32_768;
/// A small plan's nodes reach each other however few files there are.
const PEERS_MIN: usize = 8;
const PEERS_MAX: usize = 1024;
const METRICS_MAX: usize = 64;
/// Shared out to the connections that are open when one comes.
const WINDOWS: u32 = 256 << 20;

/// Raises the number of files that this process may have open to the most that it is let, and gives it.
pub fn raise_files() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it can't be raised, what there is has to do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    files()
}

fn files() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// The places of each port. Files are of a process, and so is this.
static PLACES: LazyLock<[Arc<Semaphore>; 2]> = LazyLock::new(|| {
    let Room { clients, peers: _, metrics } = Room::of(files());
    [clients, metrics].map(|places| Arc::new(Semaphore::new(places)))
});

/// How many connections of peers leave the other ports and the node their files.
pub fn peers_max() -> usize {
    Room::of(files()).peers
}

pub fn places(port: Port) -> Arc<Semaphore> {
    PLACES[port as usize].clone()
}

/// HTTP/2's window for all that is sent on a connection and not read, as large as the others leave it.
pub fn window(open: i64) -> u32 {
    let open = u32::try_from(open).unwrap_or(1).max(1);
    (WINDOWS / open).clamp(STREAM_WINDOW, CONNECTION_WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_connections_there_are_the_less_one_may_send_ahead() {
        for (open, window) in [
            (0, CONNECTION_WINDOW),
            (16, CONNECTION_WINDOW),
            (256, 1 << 20),
            (4096, STREAM_WINDOW),
            (32_768, STREAM_WINDOW),
        ] {
            assert_eq!(super::window(open), window, "{open}");
        }
    }

    #[test]
    fn every_port_has_room_and_the_node_keeps_files_for_itself() {
        for (files, clients, peers, metrics) in [
            (0, 1, 8, 1),
            (64, 1, 8, 1),
            (100, 13, 8, 3),
            (256, 100, 40, 20),
            (1024, 560, 208, 64),
            (65_536, 32_768, 1024, 64),
            (1_048_576, 32_768, 1024, 64),
            (usize::MAX, 32_768, 1024, 64),
        ] {
            assert_eq!(Room::of(files), Room { clients, peers, metrics }, "{files}");
        }
    }
}
