//! `check FOLDER`: what a start of a data folder would find and say, as text and as JSON. Nothing in the folder changes.

use super::out;
use crate::log::{Damage, Lost, Opened};
use crate::node::look::{self, Configuration, Look};
use crate::peer::Numbers;
use crate::run::dev::look as dev;
use crate::store::Owner;
use anyhow::Error;
use proto::shown::{Exit, Output};
use serde_json::{Value, json};
use std::path::Path;

/// Each row: what an error says, what it means, and the way out.
const PAGE: &str = include_str!("../../docs/not-starting.md");
const WAITS: &str = "the node waits until it is given plan and ring";

/// Looks at the folder of one node, or of `dev` with all its nodes.
pub fn check(folder: &Path, output: Output) -> Exit {
    if !dev::is_folder(folder) {
        let look = look::look(folder);
        out::answer(&shown(folder, &look, output));
        return exit(&look.refusals);
    }
    let look = dev::look(folder);
    let mut ends = exit(&look.refusals);
    for (folder, node) in &look.nodes {
        out::answer(&shown(folder, node, output));
        ends = ends.max(exit(&node.refusals));
    }
    out::answer(&shown_dev(folder, &look, output, ends));
    ends
}

fn exit(refusals: &[Error]) -> Exit {
    if refusals.is_empty() { Exit::Done } else { Exit::Refused }
}

fn shown(folder: &Path, look: &Look, output: Output) -> String {
    match output {
        Output::Text => [first_line(folder, &look.refusals, true), lines(look)].concat().join("\n"),
        Output::Json => object(folder, look).to_string(),
    }
}

/// Whether it would start, and if not, why, with the ways out.
fn first_line(folder: &Path, refusals: &[Error], starts: bool) -> Vec<String> {
    let name = folder.display();
    let Some((first, more)) = refusals.split_first() else {
        let starts = if starts { "would start" } else { "would not start: see its nodes" };
        return vec![format!("{name}: {starts}")];
    };
    let way = |error: &Error| way_out(&text(error), folder).map(|way| format!("  way out: {way}"));
    let mut lines = vec![format!("{name}: would not start: {}", text(first))];
    lines.extend(way(first));
    for error in more {
        lines.push(format!("  and: {}", text(error)));
        lines.extend(way(error));
    }
    lines
}

fn text(error: &Error) -> String {
    format!("{error:#}")
}

fn lines(look: &Look) -> Vec<String> {
    let mut lines = Vec::new();
    match &look.store.owner {
        Some(Owner { id, plan_uid, ordinal }) => {
            let next =
                look.store.incarnation.map_or(String::new(), |next| format!("; start {next} comes next"));
            lines.push(format!("  store {id:032x} of node {ordinal} of the plan with uid {plan_uid}{next}"));
        }
        None if look.refusals.is_empty() => lines.push("  no store yet: a start makes one".to_owned()),
        None => {}
    }
    match &look.configuration {
        Some(Configuration { plan, adopted_by, numbers, slots, slots_owned }) => {
            let Numbers { revision, generation } = numbers;
            let adopted = if adopted_by.is_empty() { "" } else { ", which has adopted it" };
            lines.push(format!(
                "  plan {plan}{adopted}, generation {generation}; ring of revision {revision}: {slots_owned} of {slots} slots"
            ));
        }
        None if look.log.is_some() => lines.push(format!("  no plan and ring that can be used: {WAITS}")),
        None => {}
    }
    let Some(log) = &look.log else { return lines };
    let Opened { records, segments, torn_bytes, renewed, position: _ } = log.opened;
    lines.push(format!("  log: records: {records}, segments: {segments}"));
    if renewed > 0 {
        lines.push(format!(
            "  log: records that nobody was told of yet, and that a start writes anew: {renewed}"
        ));
    }
    if torn_bytes > 0 {
        lines.push(format!("  log: bytes of a torn end, which a start cuts: {torn_bytes}"));
    }
    let broken = |fault| format!("  snapshots: broken, and the one before is taken: {fault}");
    lines.extend(look.faults.iter().map(broken));
    let changed = |place| format!("  log: changed, and nothing is lost by it: {place}");
    lines.extend(log.warnings.iter().map(changed));
    lines
}

fn object(folder: &Path, look: &Look) -> Value {
    let mut object = json!({
        "folder": folder, "starts": look.refusals.is_empty(), "inUse": look.store.in_use,
        "hadRing": look.store.had_ring, "incarnation": look.store.incarnation,
        "refusals": refusals(&look.refusals, folder),
    });
    if let Some(Owner { id, plan_uid, ordinal }) = &look.store.owner {
        object["store"] = format!("{id:032x}").into();
        object["planUid"] = plan_uid.as_str().into();
        object["ordinal"] = (*ordinal).into();
    }
    if let Some(Configuration { plan, adopted_by, numbers, slots, slots_owned }) = &look.configuration {
        object["configuration"] = json!({
            "plan": plan, "adoptedBy": adopted_by, "generation": numbers.generation, "revision": numbers.revision,
            "slots": slots, "slotsOwned": slots_owned,
        });
    }
    if let Some(log) = &look.log {
        let warnings: Vec<String> = log.warnings.iter().map(ToString::to_string).collect();
        object["log"] = json!({
            "records": log.opened.records, "segments": log.opened.segments, "renewed": log.opened.renewed,
            "tornBytes": log.opened.torn_bytes, "warnings": warnings,
        });
        let faults: Vec<String> = look.faults.iter().map(ToString::to_string).collect();
        object["brokenSnapshots"] = faults.into();
    }
    if let Some(damage) = &look.damage {
        object["damage"] = damaged(damage);
    }
    object
}

fn damaged(damage: &Damage) -> Value {
    let Damage { broken, lost, unnamed } = damage;
    let places: Vec<Value> = broken
        .iter()
        .map(|place| json!({"segment": place.segment, "at": place.at, "why": place.why}))
        .collect();
    let slot = |&Lost { slot, after, to }: &Lost| json!({"slot": slot, "firstLsn": after + 1, "lastLsn": to});
    let slots: Vec<Value> = lost.iter().map(slot).collect();
    json!({"places": places, "slots": slots, "othersToo": unnamed})
}

fn refusals(refusals: &[Error], folder: &Path) -> Vec<Value> {
    let each = |error: &Error| {
        let text = text(error);
        json!({"wayOut": way_out(&text, folder), "error": text})
    };
    refusals.iter().map(each).collect()
}

fn shown_dev(folder: &Path, look: &dev::Look, output: Output, ends: Exit) -> String {
    let starts = ends == Exit::Done;
    if output == Output::Json {
        let plan = look.plan.as_ref();
        return json!({
            "folder": folder, "starts": starts, "plan": plan.map(|plan| &plan.name),
            "generation": plan.map(|plan| plan.generation), "nodes": plan.map(|plan| plan.nodes),
            "revision": look.revision, "refusals": refusals(&look.refusals, folder),
        })
        .to_string();
    }
    let mut lines = first_line(folder, &look.refusals, starts);
    if let Some(plan) = &look.plan {
        let ring =
            look.revision.map_or("no ring yet".to_owned(), |revision| format!("ring of revision {revision}"));
        lines.push(format!(
            "  plan {}, generation {}, nodes: {}; {ring}",
            plan.name, plan.generation, plan.nodes
        ));
    }
    lines.join("\n")
}

/// What the page says of an error, for this folder.
fn way_out(error: &str, folder: &Path) -> Option<String> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let (_, rest) = rows.into_iter().find(|(text, _)| error.contains(text))?;
    let (_, way) = rest.trim_end().strip_suffix(" |")?.split_once(" | ")?;
    Some(without_links(way).replace("DATA", &folder.display().to_string()))
}

/// `[text](target)` is its text.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    for (n, part) in text.split("](").enumerate() {
        let part = if n == 0 { part } else { part.split_once(')').map_or(part, |(_, rest)| rest) };
        plain.push_str(&part.replace('[', ""));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_out_is_that_of_the_page() {
        let way = |error: &str| way_out(error, Path::new("/data"));
        assert_eq!(
            way("/data/incarnation is damaged: the file is missing; write the number 4"),
            Some("write the number that the text asks for into the file".to_owned())
        );
        assert!(way("it was restored to an earlier state: x").unwrap().contains("into `/data/incarnation`"));
        assert!(
            way("it belongs to the plan with uid 7").unwrap().contains("adopt its volumes; or begin anew")
        );
        assert_eq!(way("something else"), None);
    }
}
