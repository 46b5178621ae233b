//! The tables of expressions in the plan's document, row by row.

use super::{COST_MAX, Cost, Program, Value, agent, json, names};

const PLAN: &str = include_str!("../../../docs/plan.md");

/// The rows of the first table with this head.
fn rows<'d>(document: &'d str, head: &str) -> Vec<[&'d str; 2]> {
    let (_, table) = document.split_once(head).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.trim_matches('|').split_once(" | ").expect("two cells"));
    cells.map(|(text, gives)| [text, gives].map(|cell| cell.trim().trim_matches('`'))).collect()
}

#[test]
fn times_are_reckoned_with_as_the_document_says() {
    let mut agent = agent();
    agent.values[1] = Value::text("2013-01-01T09:00:00Z");
    let rows = rows(PLAN, "| with a lane `at` | |");
    assert!(rows.len() > 8, "{rows:?}");
    for [text, gives] in rows {
        let program = Program::compile(text, &names()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = match program.run(&agent, &mut Cost(COST_MAX)) {
            Ok(value) => json(&value),
            Err(fault) => format!("a fault: {fault}"),
        };
        // A fault has backquotes of its own.
        assert_eq!(found.replace('`', ""), gives.replace('`', ""), "{text}");
    }
}
