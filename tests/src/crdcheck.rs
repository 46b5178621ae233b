//! Kubernetes' own validator for CRDs and what is applied under them, kubectl's readers of YAML, and what tools make of a
//! status, without a cluster: the program in `tests/crdcheck`.

use crate::go_program;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;

/// A plan that is applied, over an old one if there is one. Both are YAML.
#[derive(Serialize)]
pub struct Case {
    pub plan: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub old: String,
}

#[derive(Debug, Deserialize)]
pub struct Verdict {
    pub refused: Vec<Fault>,
    /// The cost of the CEL rules; the API server allows ten million.
    pub cost: u64,
}

#[derive(Debug, Deserialize)]
pub struct Fault {
    pub at: String,
    pub error: String,
}

/// What is said of the CRD, and of each case.
pub fn judge(crd: &Path, cases: &[Case]) -> Result<(Verdict, Vec<Verdict>)> {
    let lines = ask(&[crd.as_os_str()], cases, cases.len() + 1)?;
    let mut verdicts = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Verdict>, _>>()?;
    Ok((verdicts.remove(0), verdicts))
}

/// A line for each YAML text, with what `kubectl apply -f` and `kubectl apply -k` send of it:
/// `{"file": JSON, "kustomization": JSON}`, or `{"error": ..}` in the place of one that is refused.
pub fn read(texts: &[String]) -> Result<String> {
    ask(&["--read".as_ref()], texts, texts.len())
}

/// What tools make of an object.
#[derive(Debug, Deserialize)]
pub struct Health {
    /// By kstatus: of Flux, kpt and others.
    pub kstatus: String,
    pub message: String,
    /// By the health check for Argo CD.
    pub argo: String,
}

/// The health of each object, as an API server with this CRD hands it out.
pub fn health(crd: &Path, script: &Path, objects: &[Value]) -> Result<Vec<Health>> {
    let arguments = ["--health".as_ref(), crd.as_os_str(), script.as_os_str()];
    let answers = ask(&arguments, objects, objects.len())?;
    answers.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn ask(arguments: &[&OsStr], cases: &[impl Serialize], expected: usize) -> Result<String> {
    go_program::ask("crdcheck", arguments, cases, expected)
}
