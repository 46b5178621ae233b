//! Counters of the log, which its threads raise and the metrics read.

use std::sync::atomic::AtomicU64;

/// What has been written since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub records: AtomicU64,
    pub batches: AtomicU64,
    /// Given to the disk: batches, openings, and the zeros of segments made ahead. Marks are not counted, since the
    /// next batch mostly overwrites them in memory.
    pub bytes: AtomicU64,
    pub syncs: AtomicU64,
    pub sync_us: AtomicU64,
    pub segments: AtomicU64,
    /// Files of segments that have gone and were used again.
    pub recycled: AtomicU64,
}
