//! On a real Kubernetes: what `helm install` and `kubectl apply` make of a plan, and what becomes of it when pods, the
//! operator, the ring and the plan itself are changed or lost.

mod certificates;
mod change;
mod hindered;
mod history;
mod lifecycle;
mod loss;
mod operator;
mod serve;
mod tools;

use std::fmt::Write as _;
use tests::plans;

/// A plan of counters with this name, `add` adding so many times what it is told.
fn plan(name: &str, times: u32) -> String {
    let mut text = format!(
        "apiVersion: shoal.dev/v1alpha1\n\
         kind: AgentPlan\n\
         metadata: {{name: {name}}}\n\
         spec:\n  \
           replicas: 3\n  \
           slots: 256\n  \
           storage: {{size: 1Gi}}\n  \
           agents:"
    );
    let agent = plans::FED.trim_end().replace("event.n}", &format!("event.n * {times}}}"));
    let _ = writeln!(text, "{agent}");
    text
}

/// The plan with more under its spec.
fn with(plan: &str, spec: &str) -> String {
    plan.replace("  storage: {size: 1Gi}\n", &format!("  storage: {{size: 1Gi}}\n  {spec}\n"))
}
