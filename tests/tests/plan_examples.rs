//! The worked examples of the plan's document: each plan is parsed, refused with the text that stands below it, or run
//! by `agent-node dev` with the commands that stand below it.

use proto::plan::Plan;
use std::process::Command;
use tests::dev::{Dev, program};
use tests::plans;
use tests::project::read;

/// A fenced block: its language, and what is in it.
struct Block<'a> {
    language: &'a str,
    text: &'a str,
}

fn blocks(document: &str) -> Vec<Block<'_>> {
    let fenced = document.split("\n```").skip(1).step_by(2);
    fenced
        .map(|block| {
            let (language, text) = block.split_once('\n').expect("a block has lines");
            Block { language, text }
        })
        .collect()
}

/// What the parser says of a plan, a fault a line.
fn faults(plan: &str) -> String {
    let errors = Plan::from_yaml(plan).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Whether a line is as documented: times and versions are others each time.
fn same(found: &str, documented: &str) -> bool {
    let shape = |line: &str| {
        let time = line.len() > 21 && line.starts_with("\"20") && line.ends_with("Z\"") && line.contains('T');
        let done = line.strip_prefix("done, version ");
        match done.map(|rest| rest.split_once(", answer ").unwrap_or((rest, "nothing"))) {
            Some((version, answer)) if version.parse::<u64>().is_ok() => format!("a version, and {answer}"),
            _ if time => "a time".to_owned(),
            _ => line.to_owned(),
        }
    };
    found.lines().map(shape).eq(documented.lines().map(shape))
}

/// Runs what stands behind each `$ `, and compares what it prints.
fn play(plan: &str, console: &str) {
    let data = tempfile::tempdir().unwrap();
    let plan = plans::write(data.path(), plan).unwrap();
    let dev = Dev::start(&plan, 2, &data.path().join("data")).unwrap();
    let programs = program("agent-node").parent().unwrap().display().to_string();
    let path = programs + ":" + &std::env::var("PATH").unwrap();
    let commands: Vec<_> = console.trim_start_matches("$ ").split("\n$ ").collect();
    for (turn, command) in (0..).zip(commands) {
        let (command, expected) = command.split_once('\n').unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).env("PATH", &path).env("SHOAL_AT", dev.at(turn % 2));
        let ended = shell.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
        assert!(same(&said, expected), "`{command}` prints\n{said}\nand not\n{expected}");
    }
}

#[test]
fn the_worked_examples_of_the_plans_document_do_what_they_say() {
    let document = read("proto/docs/plan.md");
    let (_, examples) = document.split_once("\n## 8. Worked examples").expect("the part with examples");
    let mut plan = "";
    let (mut played, mut refused) = (0, 0);
    for Block { language, text } in blocks(examples) {
        match language {
            "yaml" => plan = text,
            "text" => {
                let (begin, _) = text.split_once("..").expect("the text of a fault is cut");
                let found = faults(plan);
                assert!(found.starts_with(begin), "{found}\nand not\n{begin}");
                refused += 1;
            }
            "console" => {
                assert_eq!(faults(plan), "", "{plan}");
                play(plan, text);
                played += 1;
            }
            other => panic!("a block of `{other}`"),
        }
    }
    assert_eq!((played, refused), (4, 1));
}
