//! Plans that are right, plans that are wrong, and the files that are made of the plan's types.
#![allow(clippy::needless_raw_string_hashes)] // expect-test writes them

mod beside;
mod files;
mod laws;
mod reference;
mod right;
mod rules;
mod wrong;
mod yaml;

use super::{AgentPlan, Error, Plan};

const HEAD: &str = "apiVersion: shoal.dev/v1alpha1\nkind: AgentPlan\nmetadata: {name: p}\n";

fn read(yaml: &str) -> Result<Plan, Vec<Error>> {
    Plan::parse(&AgentPlan::from_yaml(yaml)?.spec.to_json())
}

/// What is said of a plan: a line per error.
fn faults(yaml: &str) -> String {
    let errors = read(yaml).err().unwrap_or_default();
    errors
        .iter()
        .map(|error| format!("{} {error}\n", &error.reason.as_str()[..1]))
        .collect::<Vec<_>>()
        .concat()
}
