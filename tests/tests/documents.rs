//! What the documents name is there: files, headings, tests, benches.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tests::project::{files, read, root};

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

fn anchors(path: &str) -> BTreeSet<String> {
    let text = read(path);
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

/// The targets of a document's links. What stands in backquotes is none.
fn links(text: &str) -> Vec<String> {
    let prose: String = text.split('`').step_by(2).collect();
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned)).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    for path in files(".md") {
        let text = read(&path);
        let folder = Path::new(&path).parent().expect("a folder");
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link.as_str(), ""));
            let target = if file.is_empty() { PathBuf::from(&path) } else { folder.join(file) };
            let target = target.to_str().expect("a path");
            if !root().join(target).exists() || !heading.is_empty() && !anchors(target).contains(heading) {
                broken.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What stands in backquotes in the part of README under this heading.
fn named(readme: &str, heading: &str) -> Vec<String> {
    let part = readme.split(&format!("\n## {heading}")).nth(1).unwrap_or_else(|| panic!("no part {heading}"));
    let part = part.split("\n## ").next().expect("a part");
    part.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_promise_names_a_test() {
    let sources: String = files(".rs").iter().map(|path| read(path)).collect();
    let named = named(&read("README.md"), "Promises");
    let (paths, tests): (Vec<_>, Vec<_>) = named.iter().partition(|name| name.contains('/'));
    assert!(tests.len() > 10, "{tests:?}");
    let missing: Vec<_> = tests.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let missing: Vec<_> = paths.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_figure_names_its_bench() {
    let named = named(&read("README.md"), "Figures");
    let known: Vec<String> = files(".rs")
        .iter()
        .filter_map(|path| Some(path.strip_prefix("tests/benches/")?.strip_suffix(".rs")?.to_owned()))
        .collect();
    let missing: Vec<_> = known.iter().filter(|bench| !named.contains(bench)).collect();
    assert!(missing.is_empty(), "README has no figures of {missing:?}");
}
