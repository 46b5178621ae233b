//! What a node holds until it ends: its log, threads and tasks; and how they end.

use crate::clock;
use crate::lock::lock;
use crate::log::Log;
use crate::node::core::Core;
use crate::node::status::{LogMeasured, SnapshotsMeasured};
use crate::node::turn::End;
use crate::snapshot::Sink;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::task::{self, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::warn;

/// From `stop` until commands that other owners have not answered are given up.
const DRAIN: Duration = Duration::from_secs(2);
/// From the end of the shards until streams to other nodes are cut.
const CLOSE: Duration = Duration::from_secs(2);
/// How often it is counted meanwhile what they have not answered.
const LOOK: Duration = Duration::from_millis(10);

/// What ends with the last handle to a node.
pub struct Hold {
    pub(super) core: Arc<Core>,
    pub(super) log: Mutex<Option<Arc<Log>>>,
    pub(super) snapshots: Sink,
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
    pub(super) tasks: Mutex<Option<task::JoinHandle<()>>>,
}

/// A node that nobody has stopped ends as if it had been killed.
impl Drop for Hold {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Hold {
    /// Ends threads and tasks at once: what they had not answered is not answered.
    pub fn abandon(&self) {
        for inbox in self.core.inboxes.iter() {
            inbox.end(End::Abandon);
        }
        self.snapshots.close();
        self.core.life.stopping.cancel();
        self.core.life.closing.cancel();
    }

    /// The same, and waits until the data folder is free.
    #[cfg(test)]
    pub async fn kill(&self) {
        self.abandon();
        self.let_go().await;
    }

    pub fn measured(&self) -> LogMeasured {
        let Some(log) = lock(&self.log).clone() else { return LogMeasured::default() };
        let (counts, (free_bytes, full)) = (log.counts(), log.free());
        let (disk_free_bytes, disk_size_bytes) = log.disk().unwrap_or_default();
        LogMeasured {
            records: counts.records.load(Relaxed),
            bytes: counts.bytes.load(Relaxed),
            syncs: counts.syncs.load(Relaxed),
            sync_time: Duration::from_micros(counts.sync_us.load(Relaxed)),
            free_bytes,
            full: full.is_some(),
            disk_free_bytes,
            disk_size_bytes,
            held_bytes: log.bytes(),
            snapshots: self.snapshots_measured(),
        }
    }

    fn snapshots_measured(&self) -> SnapshotsMeasured {
        let counts = &self.core.snapshots;
        let done_ms = counts.done_ms.load(Relaxed);
        let age_ms = if done_ms > 0 { clock::wall_ms().saturating_sub(done_ms) } else { 0 };
        SnapshotsMeasured {
            taken: counts.snapshots.load(Relaxed),
            bytes: counts.bytes.load(Relaxed),
            failed: counts.failed.load(Relaxed),
            failing: counts.is_failing.load(Relaxed),
            faults: counts.faults.load(Relaxed),
            held_bytes: counts.held_bytes.load(Relaxed),
            whole_bytes: counts.whole_bytes.load(Relaxed),
            age: Duration::from_millis(age_ms),
        }
    }

    /// Takes nothing new, answers what was taken, brings all to the disk, and lets the data folder go.
    pub async fn stop(&self) {
        self.core.life.stopping.cancel();
        let passed_on = async {
            while self.core.forwards(|forwards, _| forwards.count()) > 0 {
                sleep(LOOK).await;
            }
        };
        if timeout(DRAIN, passed_on).await.is_err() {
            warn!("other nodes have not answered all commands that were passed on to them");
        }
        for inbox in self.core.inboxes.iter() {
            inbox.end(End::Drain);
        }
        self.let_go().await;
    }

    async fn let_go(&self) {
        self.snapshots.close();
        let threads = std::mem::take(&mut *lock(&self.threads));
        let log = lock(&self.log).take();
        let ended = spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
            if let Some(log) = log {
                log.close();
            }
        });
        // A shard's thread that fails ends the process.
        let _ = ended.await;
        self.core.life.closing.cancel();
        let tasks = lock(&self.tasks).take();
        if let Some(mut tasks) = tasks
            && timeout(CLOSE, &mut tasks).await.is_err()
        {
            tasks.abort();
        }
        lock(&self.core.store).take();
    }
}
