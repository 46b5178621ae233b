//! What the operator counts.

use crate::names::CONDITIONS;
use crate::plan::Key;
use crate::queue::Outcome;
use crate::steps::Step;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use proto::plan::AgentPlanStatus;

type Label = [(&'static str, &'static str); 1];
type KindLabel = [(&'static str, String); 1];
type PlanLabels = [(&'static str, String); 3];

/// Each is a field, registered once. Only `conditions` has labels with a plan's name, which go with the plan.
pub struct Metrics {
    /// Whether `/readyz` says so.
    pub ready: Gauge,
    /// Whether this operator holds the Lease.
    pub leader: Gauge,
    pub plans: Gauge,
    looks: Family<Label, Counter>,
    steps: Family<Label, Counter>,
    watch_errors: Family<KindLabel, Counter>,
    conditions: Family<PlanLabels, Gauge>,
    pub duration_s: Histogram,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("shoal_operator");
        let durations = [0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0];
        let metrics = Metrics {
            ready: Gauge::default(),
            leader: Gauge::default(),
            plans: Gauge::default(),
            looks: Family::default(),
            steps: Family::default(),
            watch_errors: Family::default(),
            conditions: Family::default(),
            duration_s: Histogram::new(durations),
            registry: Registry::default(),
        };
        registry.register("ready", "1 when /readyz says so", metrics.ready.clone());
        registry.register("leader", "Whether this operator acts", metrics.leader.clone());
        registry.register("plans", "Plans that it looks after", metrics.plans.clone());
        registry.register("reconciles", "Looks at a plan, by how they ended", metrics.looks.clone());
        registry.register("steps", "Steps taken, by what they do", metrics.steps.clone());
        let text = "Watches of objects that were refused or broke off, by kind";
        registry.register("watch_errors", text, metrics.watch_errors.clone());
        let text = "1 while this condition of the plan's status is True, else 0";
        registry.register("plan_condition", text, metrics.conditions.clone());
        registry.register(
            "reconcile_seconds",
            "How long one look at a plan takes",
            metrics.duration_s.clone(),
        );
        // From the start, so that the first one counts as a rise.
        for outcome in Outcome::ALL {
            metrics.looks.get_or_create(&[("outcome", name(outcome))]).inc_by(0);
        }
        Metrics { registry, ..metrics }
    }
}

fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Settled => "settled",
        Outcome::Waiting => "waiting",
        Outcome::Obstructed => "obstructed",
        Outcome::Elsewhere => "elsewhere",
        Outcome::Overtaken => "overtaken",
        Outcome::Failed => "failed",
        Outcome::Gone => "gone",
    }
}

impl Metrics {
    pub fn ended(&self, outcome: Outcome) {
        self.looks.get_or_create(&[("outcome", name(outcome))]).inc();
    }

    /// Counts what goes wrong with watches of a kind.
    pub fn watch_errors(&self, kind: &str) -> Counter {
        self.watch_errors.get_or_create(&[("kind", kind.to_owned())]).clone()
    }

    /// Shows what the status of a plan says.
    pub fn show(&self, key: &Key, status: &AgentPlanStatus) {
        for condition in &status.conditions {
            let gauge = self.conditions.get_or_create_owned(&labels(key, &condition.type_));
            gauge.set((condition.status == "True").into());
        }
    }

    /// The plan is gone, or another operator's to show.
    pub fn forget(&self, key: &Key) {
        for condition in CONDITIONS {
            self.conditions.remove(&labels(key, condition));
        }
    }

    pub fn took(&self, step: &Step) {
        self.count_step(match step {
            Step::MakeAuthority { .. } => "make_ca",
            Step::GiveCertificates { .. } => "give_certificates",
            Step::Apply(..) => "apply",
            Step::BeginRing { .. } => "begin_ring",
            Step::AdoptRing(_) => "adopt_ring",
            Step::RestoreRing(_) => "restore_ring",
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

/// Prometheus gives every series the namespace of the pod that it comes from: the plan's needs another name.
fn labels(key: &Key, condition: &str) -> PlanLabels {
    let Key { namespace, name } = key.clone();
    [("plan_namespace", namespace), ("plan", name), ("condition", condition.to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_explains_every_metric_and_no_other() {
        let document = include_str!("../docs/operator.md");
        let quoted =
            document.split('`').skip(1).step_by(2).filter(|name| name.starts_with("shoal_operator_"));
        let explained = quoted.map(|name| name.split('{').next().unwrap_or(name).to_owned());
        // A family without a member is not written.
        let metrics = Metrics::default();
        metrics.watch_errors("Pod");
        metrics.gave();
        let plan = World::settled().plan();
        metrics.show(&plan.key, &plan.status);
        let text = metrics.text();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let total = |kind| if kind == "counter" { "_total" } else { "" };
        let names: BTreeSet<String> = types.map(|(name, kind)| format!("{name}{}", total(kind))).collect();
        assert_eq!(names, explained.collect());
    }
}
