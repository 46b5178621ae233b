//! What is counted of agents' timers.

use super::{counter, gauge};
use crate::shard::TimerCounts;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub struct TimerGauges {
    timers: Gauge,
    timer_bytes: Gauge,
    fired: Counter,
    late_seconds: Counter<f64, AtomicU64>,
}

impl TimerGauges {
    pub fn register(registry: &mut Registry) -> Self {
        let late = "Seconds by which timers that have fired were late, in all";
        Self {
            timers: gauge(registry, "timers", "Timers of agents in this node's slots that are scheduled"),
            timer_bytes: gauge(registry, "timer_bytes", "Memory that they take, of the room for them"),
            fired: counter(registry, "timers_fired", "Timers of agents that have fired in this node's slots"),
            late_seconds: counter(registry, "timers_late_seconds", late),
        }
    }

    pub fn set(&self, counts: &TimerCounts) {
        let TimerCounts { scheduled, bytes, fired, late_ms } = counts;
        self.timers.set(*scheduled as i64);
        self.timer_bytes.set(*bytes as i64);
        self.fired.inner().store(*fired, Relaxed);
        self.late_seconds.inner().store((*late_ms as f64 / 1e3).to_bits(), Relaxed);
    }
}
