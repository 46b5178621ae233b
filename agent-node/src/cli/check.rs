//! The commands that ask no node: `check` reads plans and data folders, `try` runs cases against a plan.

use super::{folder, out};
use crate::trial::{self, Report};
use proto::plan::{AgentPlanSpec, Checked, Error, Plan};
use proto::shown::{self, Exit, Output};
use std::fs;
use std::path::{Path, PathBuf};

/// Says all that is wrong in each of these files and folders.
pub fn check(paths: &[PathBuf], output: Output) -> Exit {
    let mut exit = Exit::Done;
    for path in paths {
        if path.is_dir() {
            exit = exit.max(folder::check(path, output));
            continue;
        }
        let of_file = match read(path) {
            Ok(text) => {
                let (exit, lines) = shown::check(output, &name(path), &text);
                out::answer(&lines);
                exit
            }
            Err(error) => out::wrong(output, error),
        };
        exit = exit.max(of_file);
    }
    exit
}

/// Runs the cases of all files, each from the initial state.
pub fn try_cases(plan: &Path, files: &[PathBuf], output: Output) -> Exit {
    let spec = match plan_of(plan, output) {
        Ok(spec) => spec,
        Err(exit) => return exit,
    };
    let (mut exit, mut count, mut differ) = (Exit::Done, 0, 0);
    for path in files {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => return out::wrong(output, error),
        };
        let cases = match trial::read(&text) {
            Ok(cases) => cases,
            Err(errors) => return wrong(output, path, errors),
        };
        let file = name(path);
        for case in &cases {
            let differences = match trial::run(&spec, case) {
                Ok(differences) => differences,
                Err(errors) => return wrong(output, plan, errors),
            };
            count += 1;
            if !differences.is_empty() {
                differ += 1;
                exit = Exit::Refused;
            }
            out::answer(&Report { file: &file, case, differences }.shown(output));
        }
    }
    if output == Output::Text {
        out::answer(&trial::summary(count, differ));
    }
    exit
}

fn plan_of(path: &Path, output: Output) -> Result<AgentPlanSpec, Exit> {
    let text = read(path).map_err(|error| out::wrong(output, error))?;
    let plan = Plan::from_yaml(&text);
    plan.map(|(plan, _)| plan.spec).map_err(|errors| wrong(output, path, errors))
}

/// A file with which nothing can be begun.
fn wrong(output: Output, path: &Path, errors: Vec<Error>) -> Exit {
    let checked = Checked { plans: Vec::new(), errors };
    out::note(&shown::checked(output, &name(path), &checked));
    Exit::Usage
}

/// `-` is standard input.
fn read(path: &Path) -> Result<String, String> {
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        fs::read_to_string(path)
    };
    text.map_err(|error| format!("{} can't be read: {error}", name(path)))
}

fn name(path: &Path) -> String {
    path.display().to_string()
}
