//! How long commands took: a histogram that many threads count into.
//!
//! *Guarantees*: an observation is two relaxed additions to a part that few threads share; nothing is looked up, locked or
//! allocated.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Buckets end at 64 us, and at twice that of the one before, up to 16.8 s; the last has what took longer.
const FIRST: u32 = 6;
const BUCKETS: usize = 20;
/// Threads that count at once are mostly fewer.
const PARTS: usize = 8;

/// Clones count into the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Latency(Arc<[Part; PARTS]>);

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part {
    buckets: [AtomicU64; BUCKETS],
    total_us: AtomicU64,
}

thread_local! {
    static PART: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The part of this thread.
fn part() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    PART.with(|part| {
        part.get().unwrap_or_else(|| {
            let new = NEXT.fetch_add(1, Relaxed) % PARTS;
            part.set(Some(new));
            new
        })
    })
}

fn bucket(micros: u64) -> usize {
    let bits = u64::BITS - micros.saturating_sub(1).leading_zeros();
    (bits.saturating_sub(FIRST) as usize).min(BUCKETS - 1)
}

/// In seconds; the last has none.
fn end(bucket: usize) -> f64 {
    if bucket + 1 == BUCKETS { f64::INFINITY } else { (1_u64 << (FIRST as usize + bucket)) as f64 / 1e6 }
}

impl Latency {
    pub fn observe(&self, micros: u64) {
        let part = &self.0[part()];
        part.buckets[bucket(micros)].fetch_add(1, Relaxed);
        part.total_us.fetch_add(micros, Relaxed);
    }

    /// The end of each bucket in seconds with how many are in it, and the sum of all in seconds.
    fn sum(&self) -> ([(f64, u64); BUCKETS], f64) {
        let count = |bucket: usize| self.0.iter().map(|part| part.buckets[bucket].load(Relaxed)).sum();
        let total: u64 = self.0.iter().map(|part| part.total_us.load(Relaxed)).sum();
        (std::array::from_fn(|bucket| (end(bucket), count(bucket))), total as f64 / 1e6)
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), fmt::Error> {
        let (buckets, total) = self.sum();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(total, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn each_bucket_ends_where_it_says() {
        for (micros, expected) in
            [(0, 0), (1, 0), (64, 0), (65, 1), (128, 1), (129, 2), (1 << 24, 18), ((1 << 24) + 1, 19)]
        {
            assert_eq!(bucket(micros), expected, "{micros}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        for bucket in 0..BUCKETS - 1 {
            let micros = (end(bucket) * 1e6) as u64;
            assert_eq!((self::bucket(micros), self::bucket(micros + 1)), (bucket, bucket + 1));
        }
    }

    #[test]
    fn what_all_threads_observe_is_counted() {
        let latency = Latency::default();
        thread::scope(|scope| {
            for _ in 0..3 * PARTS {
                scope.spawn(|| (0..1_000).for_each(|n| latency.observe(n)));
            }
        });
        let (buckets, total) = latency.sum();
        let count: u64 = buckets.iter().map(|(_, count)| count).sum();
        assert_eq!((count, buckets[0].1), (24_000, 24 * 65));
        assert!((total - 24.0 * 0.4995).abs() < 1e-9, "{total}");
    }
}
