//! Programs in Go that tests ask, by which other projects' own code judges what this one writes. Each is built the first
//! time, and again when its sources have changed.

use crate::{cache, project};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Gives the program of this folder of `tests` one line for each case; it answers with so many lines.
pub fn ask(name: &str, arguments: &[&OsStr], cases: &[impl Serialize], expected: usize) -> Result<String> {
    let mut child = Command::new(built(name)?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name} does not start"))?;
    let mut input = child.stdin.take().with_context(|| format!("{name} has no input"))?;
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
    ensure!(output.status.success(), "{name} failed: what it said stands above");
    let answers = String::from_utf8(output.stdout)?;
    let count = answers.lines().count();
    ensure!(count == expected, "{count} answers where {expected} are expected");
    Ok(answers)
}

fn built(name: &str) -> Result<PathBuf> {
    let inside = format!("tests/{name}/");
    let mut sources = project::files("");
    sources.retain(|path| path.starts_with(&inside));
    let folder = project::root().join(&inside);
    let made = cache::folder(name, &sources, "", |new| build(name, &folder, &new.join(name)))?;
    Ok(made.join(name))
}

fn build(name: &str, sources: &Path, out: &Path) -> Result<()> {
    eprintln!("building {name} (2 minutes the first time)");
    let status = Command::new("nice")
        .args(["-n", "5", "go", "build", "-trimpath", "-o"])
        .arg(out)
        .arg(".")
        .current_dir(sources)
        .env("CGO_ENABLED", "0")
        .status();
    let status = status.context("go (1.24 or newer) is missing: https://go.dev/dl")?;
    ensure!(status.success(), "{name} was not built: what go said stands above");
    Ok(())
}
