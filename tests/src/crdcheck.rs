//! Kubernetes' own validator for CRDs and what is applied under them, kubectl's readers of YAML, and what tools make of a
//! status, without a cluster: the program in `tests/crdcheck`, built with Go the first time.

use crate::{cache, project};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// One line for each case; the program answers with so many lines.
fn ask(arguments: &[&OsStr], cases: &[impl Serialize], expected: usize) -> Result<String> {
    let mut child = Command::new(program()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("crdcheck does not start")?;
    let mut input = child.stdin.take().context("crdcheck has no input")?;
    let text = cases
        .iter()
        .map(|case| Ok(serde_json::to_string(case)? + "\n"))
        .collect::<Result<Vec<_>>>()?
        .concat();
    // Beside reading: both pipes have bounds.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(text.as_bytes()));
        child.wait_with_output()
    })?;
    ensure!(output.status.success(), "crdcheck failed: what it said stands above");
    let answers = String::from_utf8(output.stdout)?;
    let count = answers.lines().count();
    ensure!(count == expected, "{count} answers where {expected} are expected");
    Ok(answers)
}

fn program() -> Result<PathBuf> {
    let mut sources = project::files("");
    sources.retain(|path| path.starts_with("tests/crdcheck/"));
    let folder = project::root().join("tests/crdcheck");
    let made = cache::folder("crdcheck", &sources, "", |new| build(&folder, &new.join("crdcheck")))?;
    Ok(made.join("crdcheck"))
}

fn build(sources: &Path, out: &Path) -> Result<()> {
    eprintln!("building crdcheck (2 minutes the first time)");
    let status = Command::new("nice")
        .args(["-n", "5", "go", "build", "-trimpath", "-o"])
        .arg(out)
        .arg(".")
        .current_dir(sources)
        .env("CGO_ENABLED", "0")
        .status();
    let status = status.context("go (1.24 or newer) is missing: https://go.dev/dl")?;
    ensure!(status.success(), "crdcheck was not built: what go said stands above");
    Ok(())
}
