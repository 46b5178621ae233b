//! What else is wrong in a plan whose text its schema refuses: the wrong parts are left out, and the rest is looked at
//! as if it were the plan. Pure.
//!
//! *Guarantees*: nothing is said that comes only from what was left out, and every path is that of the text.

use super::{Error, parse};
use crate::value::Value;
use std::collections::BTreeSet;

/// What is left out can leave something else without a part that it needs, for as many turns as a plan has levels.
const TURNS: usize = 16;

/// A place below `spec`, as a plan's text has it.
type Path = Vec<Step>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    Item(usize),
}

/// The errors of expressions and of all else that no schema says, beside those that are `known`.
pub fn more(spec: &Value, known: &[Error]) -> Vec<Error> {
    let mut left_out = BTreeSet::new();
    for _ in 0..TURNS {
        let errors = match parse::typed(&without(spec, &mut Vec::new(), &left_out)) {
            Ok(rest) => {
                let errors = parse::of(&rest).err().unwrap_or_default();
                let errors = errors.into_iter().map(|error| in_text(error, &left_out));
                return errors.filter(|error| stands(error, spec, &left_out, known)).collect();
            }
            Err(errors) => errors,
        };
        for error in errors {
            let Some((path, _)) = path(&in_text(error, &left_out).at) else { return Vec::new() };
            let Some(wrong) = least_part(spec, path, &left_out) else { return Vec::new() };
            left_out.insert(wrong);
        }
    }
    Vec::new()
}

/// The path below `spec`, and what stands behind it: `:12` in an expression.
fn path(at: &str) -> Option<(Path, &str)> {
    let below = at.strip_prefix("spec")?;
    let (fields, rest) = below.split_at(below.find(':').unwrap_or(below.len()));
    let mut path = Vec::new();
    for field in fields.split('.').skip(1) {
        let mut parts = field.split('[');
        path.push(Step::Field(parts.next()?.to_owned()));
        for item in parts {
            path.push(Step::Item(item.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some((path, rest))
}

fn at(path: &[Step], rest: &str) -> String {
    let steps = path.iter().map(|step| match step {
        Step::Field(name) => format!(".{name}"),
        Step::Item(n) => format!("[{n}]"),
    });
    format!("spec{}{rest}", steps.collect::<String>())
}

fn found<'a>(spec: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(spec, |value, step| match (value, step) {
        (Value::Record(record), Step::Field(name)) => record.get(name),
        (Value::List(items), Step::Item(n)) => items.get(*n),
        _ => None,
    })
}

/// What is to be left out for an error at the path: what stands there; if that is nothing, the item of a list that
/// lacks it; outside of lists, the field of the spec. `None`: nothing less than the agents.
fn least_part(spec: &Value, path: Path, left_out: &BTreeSet<Path>) -> Option<Path> {
    let is_left_out = |path: &[Step]| (1..=path.len()).any(|n| left_out.contains(&path[..n]));
    if !path.is_empty() && found(spec, &path).is_some() && !is_left_out(&path) {
        return Some(path);
    }
    let items = (1..=path.len()).rev().filter(|n| matches!(path[n - 1], Step::Item(_)));
    let item = items.map(|n| &path[..n]).find(|item| !is_left_out(item));
    let field = || path.get(..1).filter(|field| found(spec, field).is_some() && !is_left_out(field));
    item.or_else(field).map(<[Step]>::to_vec)
}

/// The spec without some of its parts. A route is not left out but replaced: its agents can be looked at without it.
fn without(value: &Value, path: &mut Path, left_out: &BTreeSet<Path>) -> Value {
    let mut below = |step: Step, value: &Value| {
        path.push(step);
        let kept =
            if left_out.contains(path) { stand_in(path) } else { Some(without(value, path, left_out)) };
        path.pop();
        kept
    };
    match value {
        Value::Record(record) => {
            let members = record.members().iter();
            let kept = members.filter_map(|(name, value)| {
                below(Step::Field(name.to_string()), value).map(|value| (name.clone(), value))
            });
            Value::record(kept.collect::<Vec<_>>())
        }
        Value::List(items) => {
            let items = items.iter().enumerate();
            Value::list(items.filter_map(|(n, item)| below(Step::Item(n), item)).collect::<Vec<_>>())
        }
        other => other.clone(),
    }
}

fn stand_in(path: &[Step]) -> Option<Value> {
    match path {
        [Step::Field(agents), Step::Item(n), Step::Field(route)]
            if agents == "agents" && route == "route" =>
        {
            Some(Value::text(&format!("/left-out/{n}")))
        }
        _ => None,
    }
}

/// The error with the path that the text has: items before it may have been left out.
fn in_text(error: Error, left_out: &BTreeSet<Path>) -> Error {
    let Some((path, rest)) = path(&error.at) else { return error };
    let mut of_text: Path = Vec::new();
    for step in path {
        let step = match step {
            Step::Item(n) => {
                let is_there = |k: &usize| !left_out.contains(&[&of_text[..], &[Step::Item(*k)]].concat());
                Step::Item((0..).filter(is_there).nth(n).unwrap_or(n))
            }
            field @ Step::Field(_) => field,
        };
        of_text.push(step);
    }
    Error { at: at(&of_text, rest), ..error }
}

/// Whether the error would be there if all else were right.
fn stands(error: &Error, spec: &Value, left_out: &BTreeSet<Path>, known: &[Error]) -> bool {
    // It names another agent by its place among those that are left.
    if error.error.contains("spec.agents[") {
        return false;
    }
    let Some((path, _)) = path(&error.at) else { return true };
    if known.iter().filter_map(|known| self::path(&known.at)).any(|(known, _)| path.starts_with(&known)) {
        return false;
    }
    let has_no_route = |agent: &[Step]| left_out.contains(&[agent, &[Step::Field("route".into())]].concat());
    if path.len() > 2 && path[2] == Step::Field("partitionBy".into()) && has_no_route(&path[..2]) {
        return false;
    }
    !left_out.iter().any(|lost| misses(error, &path, lost, spec))
}

/// Whether an error at a path may only say that a lane or a timer is not there, since it was left out, or all of its agent;
/// or that one of some fields is.
fn misses(error: &Error, path: &[Step], lost: &[Step], spec: &Value) -> bool {
    if error.error.starts_with("exactly one of")
        && lost.split_last().is_some_and(|(_, parent)| parent == path)
    {
        return true;
    }
    // What begins the rule says whether there is a `key`.
    if let [rule @ .., Step::Field(timer)] = lost
        && (timer == "timer" && error.error.contains("`key`") && path.starts_with(rule))
    {
        return true;
    }
    let sends =
        matches!(path, [.., Step::Field(send), Step::Field(lane)] if send == "send" && lane == "lane");
    let (agent, part) = match lost {
        [_, Step::Item(_)] => return sends,
        [_, agent, Step::Field(lists), part @ ..] if lists == "lanes" || lists == "timers" => (agent, part),
        _ => return false,
    };
    if !sends && path.get(1) != Some(agent) {
        return false;
    }
    let name = match found(spec, lost) {
        Some(Value::Record(lane)) => lane.get("name"),
        _ => None,
    };
    match (part, name) {
        // A lane that has a name is missed by who names it.
        ([_], Some(Value::Text(name))) => error.error.contains(&format!("`{name}`")),
        ([] | [_], _) => true,
        // Of a lane that is there, a part.
        _ => false,
    }
}
