//! Prometheus' own code over the series of a run: which alerts fire at which moment, and what queries find. The program in
//! `tests/rulecheck`.

use crate::go_program;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What was scraped at one moment of a run. All rules are evaluated then.
#[derive(Debug, Serialize)]
pub struct Moment {
    pub at_ms: u64,
    pub targets: Vec<Target>,
    pub queries: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Target {
    pub labels: BTreeMap<String, String>,
    /// `None`: it did not answer.
    pub text: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Answer {
    pub firing: Vec<Firing>,
    /// How many series each query finds.
    pub found: Vec<usize>,
}

#[derive(Debug, Deserialize)]
pub struct Firing {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

impl Firing {
    pub fn name(&self) -> &str {
        &self.labels["alertname"]
    }
}

/// What Prometheus says at each moment. Rules that it does not take, or whose texts it cannot fill in, are an error.
pub fn judge(rules: &Path, moments: &[Moment]) -> Result<Vec<Answer>> {
    let answers = go_program::ask("rulecheck", &[rules.as_os_str()], moments, moments.len())?;
    answers.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
