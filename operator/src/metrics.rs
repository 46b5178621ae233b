//! What the operator counts.

use crate::queue::Outcome;
use crate::steps::Step;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Label = [(&'static str, &'static str); 1];

/// Each is a field, registered once. No label carries a plan's name.
pub struct Metrics {
    /// Whether this operator holds the Lease.
    pub leader: Gauge,
    pub plans: Gauge,
    looks: Family<Label, Counter>,
    steps: Family<Label, Counter>,
    pub duration_s: Histogram,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("shoal_operator");
        let durations = [0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0];
        let metrics = Metrics {
            leader: Gauge::default(),
            plans: Gauge::default(),
            looks: Family::default(),
            steps: Family::default(),
            duration_s: Histogram::new(durations),
            registry: Registry::default(),
        };
        registry.register("leader", "Whether this operator acts", metrics.leader.clone());
        registry.register("plans", "Plans that it looks after", metrics.plans.clone());
        registry.register("reconciles", "Looks at a plan, by how they ended", metrics.looks.clone());
        registry.register("steps", "Steps taken, by what they do", metrics.steps.clone());
        registry.register(
            "reconcile_seconds",
            "How long one look at a plan takes",
            metrics.duration_s.clone(),
        );
        Metrics { registry, ..metrics }
    }
}

impl Metrics {
    pub fn ended(&self, outcome: Outcome) {
        let name = match outcome {
            Outcome::Settled => "settled",
            Outcome::Waiting => "waiting",
            Outcome::Obstructed => "obstructed",
            Outcome::Overtaken => "overtaken",
            Outcome::Failed => "failed",
            Outcome::Gone => "gone",
        };
        self.looks.get_or_create(&[("outcome", name)]).inc();
    }

    pub fn took(&self, step: &Step) {
        self.count_step(match step {
            Step::MakeAuthority { .. } => "make_ca",
            Step::GiveCertificates { .. } => "give_certificates",
            Step::Apply(..) => "apply",
            Step::BeginRing { .. } => "begin_ring",
            Step::AdoptRing(_) => "adopt_ring",
            Step::Mend(_) => "patch_claim",
        });
    }

    pub fn gave(&self) {
        self.count_step("configure");
    }

    pub fn reported(&self) {
        self.count_step("report");
    }

    fn count_step(&self, name: &'static str) {
        self.steps.get_or_create(&[("step", name)]).inc();
    }

    /// As Prometheus reads them.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a text takes every write");
        text
    }
}
