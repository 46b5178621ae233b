//! A machine: a disk, and the process of a node that runs on it, its threads as steps.

use crate::disk::simulated::{Disk, End};
use crate::log::Loops;
use crate::node::backlog::Backlog;
use crate::node::core::{Core, Reply, Watch};
use crate::node::handle::Node;
use crate::node::look;
use crate::node::start::{self, Parts};
use crate::node::threads::{Thread, Turns};
use crate::node::{Config, configure, turn};
use crate::peer::certificates::Certificates;
use crate::snapshot::{Limits, Taker};
use std::sync::Arc;
use std::time::Duration;

/// What a start comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    Runs,
    /// The process was ended in the middle of it.
    Ended,
    /// It refuses, and says why.
    Refused(String),
}

pub struct Machine {
    pub ordinal: u16,
    pub disk: Disk,
    pub process: Option<Process>,
}

pub struct Process {
    pub node: Node,
    shards: Vec<(Thread, Turns<Reply, Watch>)>,
    backlog: Backlog,
    snapshots: Taker,
    loops: Loops,
}

/// A loop of a node that is stepped by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loop {
    Shard(usize),
    Commit,
    /// The log goes on in its next segment, though this one is not full.
    Roll,
    Prepare,
    Backlog,
    Snapshots,
    /// What is looked at ten times a second.
    Late,
}

/// Whatever is in a segment that is not written any more is due.
const LIMITS: Limits = Limits { period: 1, round: 4 << 10, garbage: 4 << 10, segment: 1 };

/// The shards of each node.
pub const SHARDS: usize = 2;

impl Machine {
    pub fn new(ordinal: u16, seed: u64) -> Machine {
        Machine { ordinal, disk: Disk::new(seed), process: None }
    }

    pub fn start(&mut self, plan_uid: &str, certificates: &Arc<Certificates>) -> Start {
        let config = Config {
            data: self.disk.root().join("data"),
            ordinal: self.ordinal,
            plan_uid: plan_uid.to_owned(),
            adopted_by: None,
            certificates: "none".into(),
            peer_listen: ([127, 0, 0, 1], 0).into(),
            shards: SHARDS,
            snapshots: LIMITS,
            reading: Arc::default(),
        };
        // What `check` would say of the folder is what the start then says.
        let looked = look::look(&config.data).refusals.into_iter().next().map(|why| format!("{why:#}"));
        let loaded = match start::load(&config) {
            Ok(_) if let Some(why) = looked => {
                return Start::Refused(format!("it starts, though a look says: {why}"));
            }
            Ok(loaded) => loaded,
            Err(_) if self.disk.has_failed() => return Start::Ended,
            Err(why) => return Start::Refused(format!("{why:#}")),
        };
        let Parts { core, hold, shards, backlog, snapshots, loops } =
            start::assemble(loaded, certificates.clone(), String::new());
        let now = crate::clock::now();
        let shards = shards.into_iter().map(|thread| (thread, Turns::new(now))).collect();
        self.process = Some(Process { node: Node { core, hold }, shards, backlog, snapshots, loops });
        Start::Runs
    }

    pub fn core(&self) -> Option<&Arc<Core>> {
        Some(&self.process.as_ref()?.node.core)
    }

    pub fn node(&self) -> Option<&Node> {
        Some(&self.process.as_ref()?.node)
    }

    /// The process ends. What it was doing is not finished.
    pub fn end(&mut self, end: End) {
        self.process = None;
        self.disk.end(end);
    }
}

impl Process {
    /// Whether it did something. An error: the process ends by it.
    pub fn step(&mut self, step: Loop, now_ms: u64) -> Result<bool, String> {
        let core = &self.node.core;
        match step {
            Loop::Shard(index) => {
                let (thread, turns) = &mut self.shards[index];
                let inbox = &core.inboxes[index];
                match inbox.try_turn(&mut turns.events, &turns.waits, std::mem::take(&mut turns.done)) {
                    Ok(turn) => turns.take(turn, thread),
                    Err(turn::Next::End | turn::Next::Run) => return Err("a shard has ended".into()),
                    Err(turn::Next::Sleep) => return Ok(false),
                }
                Ok(true)
            }
            Loop::Commit => self.loops.commit().map_err(|error| error.to_string()),
            Loop::Roll => self.loops.roll().map_err(|error| error.to_string()),
            Loop::Prepare => Ok(self.loops.prepare()),
            Loop::Backlog => Ok(self.backlog.turn()),
            Loop::Snapshots => Ok(self.snapshots.turn(Duration::ZERO)),
            Loop::Late => {
                core.look_for_late(now_ms);
                let again = configure::again(core);
                let tries = again.is_some();
                if let Some(given) = again {
                    configure::by_peer_now(core, given);
                }
                Ok(tries)
            }
        }
    }
}
